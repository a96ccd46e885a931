"""The ground truth of a development kit, unpacked or not, told by the digests of its members."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from dsets.adopt.parts import Stranger
from dsets.archive import tar
from dsets.archive.stream import Stream
from dsets.errors import DataError
from dsets.fetch.hashing import digests
from dsets.manifest import File, Member

SUFFIX = "_validation_ground_truth.txt"
_KIT_BYTES = 256 << 20  # of a development kit, inflated


def proved(paths: Sequence[str], kit: File) -> Stranger | None:
    """The first of ``paths`` that has the published bytes of a member of the archive ``kit``."""
    members = [member for member in kit.members if member.name.endswith(SUFFIX)]
    for path in paths:
        for member in members:
            if _is(path, member):
                why = f"unpacked; its bytes are the published ones, but not those of {kit.name}"
                return Stranger(os.path.basename(member.name), Path(path), why)
    return None


def unproved(paths: Sequence[str], kit: File) -> Stranger | None:
    """The first of ``paths``, whatever is in it."""
    if not paths:
        return None
    why = f"no published digest of {kit.name} or its members proves it"
    return Stranger(f"ILSVRC{SUFFIX}", Path(paths[0]), why)


def within(path: Path) -> bytes | None:
    """The ground truth in an archive that is not the official one; None where there is none."""
    try:
        with Stream(path, _KIT_BYTES) as stream:
            if not tar.looks_like(stream.peek(tar.BLOCK_BYTES)):
                return None
            for entry, body in tar.walk(stream):
                if entry.name.endswith(SUFFIX):
                    return bytes(body.whole())
    except DataError:  # no kit, or damaged before its ground truth
        return None
    return None


def published(data: bytes, kit: File) -> bool:
    """Whether these are the bytes of a ground truth that the archive ``kit`` officially has."""
    return any(
        member.bytes == len(data)
        and (known := _digests(member))
        and known == {name: hashlib.new(name, data).hexdigest() for name in known}
        for member in kit.members
        if member.name.endswith(SUFFIX)
    )


def _digests(member: Member) -> dict[str, str]:
    return {
        name: digest
        for name in ("sha256", "sha1", "md5")
        if (digest := getattr(member, name)) is not None
    }


def _is(path: str, member: Member) -> bool:
    known = _digests(member)
    try:
        if not known or member.bytes is None or os.stat(path).st_size != member.bytes:
            return False
        return digests(Path(path), known) == known
    except OSError:
        return False
