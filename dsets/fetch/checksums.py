"""What a host's answer says of the bytes that it carries, where it says anything."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping

import google_crc32c

_MD5 = re.compile(r'"([0-9a-fA-F]{32})"')
_AMAZON = {"sha256": "sha256", "sha1": "sha1", "crc32": "crc32", "crc32c": "crc32c"}
_GOOGLE = {"md5": "md5", "crc32c": "crc32c"}


def published(headers: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Algorithm and digest of the whole body, which came neither as a range nor encoded.

    Read are ``x-amz-checksum-*`` of whole objects, ``x-goog-hash`` and ``Content-MD5``.
    """
    for kind, algorithm in _AMAZON.items():
        yield from _one(algorithm, headers.get(f"x-amz-checksum-{kind}", ""))
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in _GOOGLE:
            yield from _one(_GOOGLE[kind], value)
    yield from _one("md5", headers.get("Content-MD5", ""))


def tag(headers: Mapping[str, str]) -> tuple[bytes, bool] | None:
    """A strong ETag of 32 hex digits, and whether the host is known to make an MD5 of it.

    S3 does, but for parts (whose tags have a hyphen) and for what a customer's key encrypts.
    """
    found = _MD5.fullmatch(headers.get("ETag", "").strip())
    if not found:
        return None
    names = {name.lower() for name in headers}
    amazon = headers.get("Server", "") == "AmazonS3" or "x-amz-request-id" in names
    ciphered = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    ciphered |= "x-amz-server-side-encryption-customer-algorithm" in names
    return bytes.fromhex(found[1]), amazon and not ciphered


def digest(algorithm: str, data: bytes | bytearray) -> bytes:
    """Of ``crc32``, ``crc32c`` (both as four bytes, the highest first), or one of hashlib's."""
    if algorithm == "crc32":
        return zlib.crc32(data).to_bytes(4, "big")
    if algorithm == "crc32c":
        return int(google_crc32c.value(bytes(data))).to_bytes(4, "big")
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()


def _one(algorithm: str, value: str) -> Iterator[tuple[str, bytes]]:
    """What Base64 says, unless it is none of the algorithm's length (a checksum of parts)."""
    try:
        found = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return
    if len(found) == len(digest(algorithm, b"")):
        yield algorithm, found
