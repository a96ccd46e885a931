"""A body that came compressed though nobody asked for it, as the bytes of the file."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response

CHUNK = 1 << 16
_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's window bits; what is called deflate may be either


class Inflated:
    """Unlike urllib3's decoder this one knows whether the compressed data came to their end."""

    def __init__(self, response: Response) -> None:
        self._raw = response.raw
        kind = response.headers["Content-Encoding"].strip().lower()
        self._bits = _ZLIB if kind == "deflate" else _GZIP
        self._inflater = zlib.decompressobj(self._bits)
        self._packed = b""
        self._more = False  # what was inflated already may not all have been given out
        self._began = False
        self._over = False

    def read1(self, size: int) -> bytes:
        """From 1 to ``size`` bytes; none only at the end.

        Raises ConnectionError where the data end too early, or are none; and what urllib3 raises.
        """
        while not self._over:
            if not self._packed and not self._more:
                self._packed = self._raw.read1(CHUNK, decode_content=False)
                if not self._packed:
                    if self._began and not self._inflater.eof:
                        raise ConnectionError("the compressed data end early")
                    break
            if self._inflater.eof:
                if self._bits != _GZIP or not self._packed.startswith(b"\x1f"):
                    break  # padding, or garbage
                self._inflater = zlib.decompressobj(self._bits)
            if data := self._inflate(size):
                return data
        self._over = True
        return b""

    def _inflate(self, size: int) -> bytes:
        packed = self._packed
        try:
            data = self._inflater.decompress(packed, size)
        except zlib.error as error:
            if self._bits != _ZLIB or self._began:
                raise ConnectionError(f"not compressed as it should be: {error}") from error
            self._bits = _BARE
            self._inflater = zlib.decompressobj(_BARE)
            return self._inflate(size)
        self._began = True
        self._packed = self._inflater.unconsumed_tail or self._inflater.unused_data
        self._more = len(data) == size and not self._inflater.eof
        return data
