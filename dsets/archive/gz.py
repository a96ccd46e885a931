"""Gzip, zlib and bare deflate, inflated as a stream.

``zlib`` checks each member's CRC-32 and length when its end is reached. Members may follow one
another, as ``cat a.gz b.gz`` makes them; after the last one only zeros may follow (tapes pad).
"""

from __future__ import annotations

import zlib
from typing import Protocol

MAGIC = b"\x1f\x8b"
MEMBERS = 10_000  # an empty member takes 20 bytes: without a bound, a small file is hours of work

_INPUT_BYTES = 1 << 16
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_FORMATS = {"gzip": _GZIP_FORMAT, "zlib": zlib.MAX_WBITS, "deflate": -zlib.MAX_WBITS}


class Damaged(Exception):
    """The file is not whole gzip or zlib data; the message says why. ``Stream`` makes DataError."""


class _File(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, and none only at the end."""


class Inflater:
    """The bytes inside a gzip file, or in a stream of zlib's or of bare deflate, in order."""

    def __init__(self, file: _File, compression: str = "gzip") -> None:
        self._file = file
        self._name = compression
        self._inflate = zlib.decompressobj(_FORMATS[compression])
        self._input = b""
        self._members = 1
        self._ended = False

    def read(self, size: int) -> bytes:
        """From 1 to ``size`` bytes; none only at the end, which is then known to be sound.

        Raises:
            Damaged: the data are not what deflate, a CRC or a length says, or they are cut short.
        """
        while not self._ended:
            if self._inflate.eof:
                self._next_member()
                continue
            # zlib may hold output back although it has consumed its input: ask it first, then read.
            try:
                output = self._inflate.decompress(self._input, size)
            except zlib.error as error:
                raise Damaged(f"damaged {self._name} data ({error})") from error
            self._input = self._inflate.unconsumed_tail
            if output:
                return output
            if not self._inflate.eof and not self._input:
                self._input = self._file.read(_INPUT_BYTES)
                if not self._input:
                    raise Damaged(f"{self._name} data cut short")
        return b""

    def _next_member(self) -> None:
        rest = self._inflate.unused_data or self._file.read(_INPUT_BYTES)
        if rest[:1] == b"\0" or not rest:
            while rest:
                if rest.count(0) != len(rest):
                    raise Damaged(f"foreign bytes after the end of the {self._name} data")
                rest = self._file.read(_INPUT_BYTES)
            self._ended = True
            return
        if len(rest) == 1:
            rest += self._file.read(_INPUT_BYTES)
        if rest[:2] != MAGIC or self._name != "gzip":
            raise Damaged(f"foreign bytes after the end of the {self._name} data")
        self._members += 1
        if self._members > MEMBERS:
            raise Damaged(f"more than {MEMBERS:,} gzip members in one file")
        self._inflate = zlib.decompressobj(_GZIP_FORMAT)
        self._input = rest
