"""A body that came compressed though nobody asked for it, as the bytes of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsets.archive.gz import Damaged, Inflater

if TYPE_CHECKING:
    from requests import Response

_CHUNK = 1 << 16
_HEAD = 2  # bytes by which zlib's format is told from bare deflate; servers call both deflate


class Inflated:
    """Unlike urllib3's decoder this one knows whether the compressed data came to their end."""

    def __init__(self, response: Response) -> None:
        self._raw = response.raw
        self._kind = response.headers["Content-Encoding"].strip().lower()
        self._head = b""
        self._inflater: Inflater | None = None

    def read1(self, size: int) -> bytes:
        """From 1 to ``size`` bytes; none only at the end.

        Raises ConnectionError where the data are damaged or end too early; and what urllib3 raises.
        """
        if self._inflater is None:
            while len(self._head) < _HEAD and (
                data := self._raw.read1(_CHUNK, decode_content=False)
            ):
                self._head += data
            if not self._head:
                return b""  # an empty answer is an empty file
            self._inflater = Inflater(self, self._format())
        try:
            return self._inflater.read(size)
        except Damaged as error:
            raise ConnectionError(str(error)) from error

    def read(self, size: int) -> bytes:
        """The compressed bytes, for the inflater: what has arrived."""
        head, self._head = self._head, b""
        data: bytes = head or self._raw.read1(size, decode_content=False)
        return data

    def _format(self) -> str:
        if self._kind != "deflate":
            return "gzip"
        first = int.from_bytes(self._head[:_HEAD], "big")
        return "zlib" if first >> 8 & 15 == 8 and first % 31 == 0 else "deflate"
