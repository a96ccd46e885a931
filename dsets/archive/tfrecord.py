"""TFRecord: records one after the other, each with its length and two checksums.

    uint64    length of the data
    uint32    masked CRC-32C of these eight bytes
    bytes     the data
    uint32    masked CRC-32C of the data

All little-endian; the mask is ((crc >> 15) | (crc << 17)) + 0xa282ead8, modulo 2**32. The file
may be a gzip or a zlib stream, as TensorFlow's writer makes them: found by its first bytes, since a
length that its checksum proves is no compression. (tensorflow/core/lib/io/record_writer.h.)

Memory: one record, or one block of small ones, and 8 bytes a record in the index.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c

from dsets.archive.gz import MAGIC
from dsets.archive.stream import CHUNK_BYTES, REMEDY, Stream
from dsets.closing import Closing
from dsets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RECORD_BYTES = (1 << 31) - 1  # protobuf reads no larger message
RECORDS = 1 << 24  # a file of empty records would be an index half its size
BLOCK_BYTES = 1 << 20  # in a cache of the second level: four times this halves the rate
_INFLATED_BYTES = 1 << 44
_HEAD = struct.Struct("<QI")
_SUM = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
AROUND_BYTES = _HEAD.size + _SUM.size


def masked(crc: int) -> int:
    """A CRC-32C as it stands in the file."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def compression(path: Path, remedy: str = REMEDY) -> str:
    """How a file is compressed: "gzip", "zlib" or "" for not at all.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError("no such file", where=path, remedy=remedy)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, remedy=remedy) from error
    if len(head) == _HEAD.size and _right(head):
        return ""
    if head[:2] == MAGIC:
        return "gzip"
    deflate = len(head) >= 2 and head[0] & 0x8F == 8 and (head[0] << 8 | head[1]) % 31 == 0
    return "zlib" if deflate else ""


def begins(path: Path) -> bool:
    """Whether a file is empty, compressed, or begins with a record's length: 12 bytes tell.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    if compression(path):
        return True
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
    return not head or (len(head) == _HEAD.size and _right(head))


def _right(head: bytes | bytearray) -> bool:
    return bool(_SUM.unpack_from(head, 8)[0] == masked(google_crc32c.value(bytes(head[:8]))))


def records(path: Path, *, limit: int = RECORD_BYTES, remedy: str = REMEDY) -> Iterator[bytes]:
    """The data of every record of a file, in order, each proved by its checksum.

    An empty file has none. ``limit`` is the most that one record may hold.

    Raises:
        DataError: the file is no TFRecord file, damaged, cut short, or a record is over the limit;
            it names file, offset (in the inflated bytes), what was expected and what was there.
    """
    with Records(path, remedy=remedy, limit=limit) as opened:
        for block in opened.blocks():
            bounds = block.bounds.tolist()
            for number in range(len(block)):
                if problem := block.problems.get(number):
                    raise problem
                yield block.data[bounds[2 * number] : bounds[2 * number + 1]]
            if block.end:
                raise block.end


def _whole(data: bytes, limit: int) -> list[int]:
    """The lengths of the records that lie whole in ``data``, as far as lengths can be believed."""
    lengths: list[int] = []
    at, stop = 0, len(data) - AROUND_BYTES
    while at <= stop:
        (length,) = _LENGTH.unpack_from(data, at)
        at += length + AROUND_BYTES
        if at > len(data) or length > limit:
            break
        lengths.append(length)
    return lengths


def _masked(sums: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """``masked`` of many."""
    import numpy as np

    return ((sums >> np.uint32(15)) | (sums << np.uint32(17))) + np.uint32(0xA282EAD8)


def _words(whole: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """The uint32 at each of these places."""
    import numpy as np

    words: npt.NDArray[np.uint32] = whole[places[:, None] + np.arange(4)].view("<u4").reshape(-1)
    return words


@dataclass(frozen=True, slots=True)
class Index:
    """Where the records lie: ``offsets`` and ``lengths`` of their data, int64 (n,).

    ``end`` is what ended the walk before the end of the file, if anything did: behind a broken
    length nothing can be found.
    """

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    end: DataError | None = None

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(frozen=True, slots=True)
class Block:
    """Some records: record i is ``data[bounds[2 * i] : bounds[2 * i + 1]]`` of the file's bytes.

    ``offset`` is that of ``data`` in the file; ``bounds`` int64 (2 n,). ``problems`` has the
    records whose checksum is wrong; ``end`` is as in the index.
    """

    data: bytes
    offset: int
    bounds: npt.NDArray[np.int64]
    problems: dict[int, DataError]
    end: DataError | None = None

    def __len__(self) -> int:
        return len(self.bounds) // 2

    @property
    def used(self) -> int:
        """How many bytes of ``data`` the records take."""
        return int(self.bounds[-1]) + _SUM.size if len(self.bounds) else 0

    @property
    def follows(self) -> bool:
        """Whether another record's length, proved by its checksum, is in ``data`` behind them."""
        head = self.data[self.used : self.used + _HEAD.size]
        return len(head) == _HEAD.size and _right(head)


class Records(Closing):
    """A file of records, to be read in order or by offset; each thread opens its own."""

    def __init__(self, path: Path, *, limit: int = RECORD_BYTES, remedy: str = REMEDY) -> None:
        """Raises DataError when there is no such file, or it cannot be opened."""
        self.path = path
        self.limit = limit
        self.remedy = remedy
        self.compression = compression(path, remedy)
        try:
            self._file = path.open("rb", buffering=1 << 16)
        except OSError as error:
            raise self.error(f"cannot be opened ({error.strerror})", 0) from error
        self.bytes = os.fstat(self._file.fileno()).st_size
        self._stream: Stream | None = None

    def index(self) -> Index:
        """Where the records lie, by their lengths alone: the data are passed over.

        In a compressed file the offsets are those of the inflated bytes.
        """
        import numpy as np

        lengths = array("q")
        end = None
        try:
            for length in self._lengths():
                lengths.append(length)
                if len(lengths) > RECORDS:
                    raise self.error("too many records", 0, f"at most {RECORDS:,}", "more")
        except DataError as error:
            end = error
        sizes = np.array(lengths, np.int64)
        offsets = np.cumsum(sizes + AROUND_BYTES) - sizes - _SUM.size
        return Index(offsets, sizes, end)

    def blocks(self) -> Iterator[Block]:
        """Every record in order, as many at a time as ``BLOCK_BYTES`` hold, or one larger."""
        data, at, need, over = b"", 0, 1, False
        while not over:
            more, over, wrong = self._more(at + len(data), max(BLOCK_BYTES, need - len(data)))
            data = data + more if data else more
            del more
            block = self._checked(data, at, _whole(data, self.limit), wrong)
            used = block.used
            rest, at = data[used:], at + used
            if block.end is None:
                try:
                    need = self._needed(rest, at, over)
                except DataError as error:
                    block = replace(block, end=error)
            over = over or block.end is not None
            # To read the beginning of a record once more costs less than to join two pieces.
            data = rest if self.compression else b""
            if len(block) or block.end:
                yield block

    def _more(self, at: int, size: int) -> tuple[bytes, bool, DataError | None]:
        """Up to ``size`` bytes that follow, whether the file ends, and what ended it wrongly."""
        if not self.compression:
            data = os.pread(self._file.fileno(), size, at)
            return data, at + len(data) >= self.bytes or not data, None
        stream = self._stream_at(at)
        grown = bytearray()  # with what is there, whatever a length says
        try:
            while len(grown) < size:
                piece = stream.read(min(size - len(grown), CHUNK_BYTES))
                if not piece:
                    return bytes(grown), True, None
                grown += piece
        except DataError as error:
            return bytes(grown), True, self.error(error.what, at + len(grown))
        return bytes(grown), False, None

    def _needed(self, rest: bytes, at: int, over: bool) -> int:
        """How many bytes a record takes of which ``rest`` is all that was read."""
        if len(rest) < _HEAD.size:
            if over and rest:
                self._length(rest, at)
            return _HEAD.size
        size = self._length(rest[: _HEAD.size], at) + AROUND_BYTES
        if over or (not self.compression and at + size > self.bytes):
            there = len(rest) if self.compression else self.bytes - at
            raise self.error("cut short in a record", at, f"{size:,} bytes", f"{there:,}")
        return size

    def read(self, offsets: Sequence[int], lengths: Sequence[int]) -> Iterator[Block]:
        """Records at these places, in this order; neighbours are read together.

        Raises:
            DataError: the file ends before one of them, or no record of that length begins there.
        """
        places = list(zip(offsets, lengths, strict=True))
        at = 0
        while at < len(places):
            last = at + 1
            size = places[at][1] + AROUND_BYTES
            while (
                last < len(places)
                and places[last][0] == sum(places[last - 1]) + AROUND_BYTES
                and size + places[last][1] <= BLOCK_BYTES
            ):
                size += places[last][1] + AROUND_BYTES
                last += 1
            start = places[at][0] - _HEAD.size
            wanted = [length for _, length in places[at:last]]
            data, _, wrong = self._more(start, size)
            if wrong:
                raise wrong
            if _whole(data, self.limit) != wanted:
                raise self.error("the file is another than it was, or cut short", start)
            block = self._checked(data, start, wanted)
            if block.end:
                raise block.end
            yield block
            at = last

    def _lengths(self) -> Iterator[int]:
        """Each record's length in order; the walk ends with the file or raises DataError."""
        if self.compression:
            yield from self._inflated_lengths()
            return
        at = 0
        file = self._file
        while at < self.bytes:
            file.seek(at)
            head = file.read(_HEAD.size)
            length = self._length(head, at)
            if at + length + AROUND_BYTES > self.bytes:
                raise self.error(
                    "cut short in a record",
                    at,
                    f"{length + AROUND_BYTES:,} bytes",
                    f"{self.bytes - at:,}",
                )
            yield length
            at += length + AROUND_BYTES

    def _length(self, head: bytes | bytearray, at: int) -> int:
        if len(head) < _HEAD.size:
            raise self.error("cut short before a record", at, f"{_HEAD.size} bytes", len(head))
        length, crc = _HEAD.unpack(head)
        if not _right(head):
            got = f"{crc:#010x} for a length of {length:,}"
            expected = (
                f"a length with its masked CRC-32C, {masked(google_crc32c.value(head[:8])):#010x}"
            )
            raise self.error("no record begins here, or its length is damaged", at, expected, got)
        if length > self.limit:
            raise self.error("record too long", at, f"at most {self.limit:,} bytes", f"{length:,}")
        return int(length)

    def _inflated_lengths(self) -> Iterator[int]:
        """As ``_lengths``: a stream of its own, since the records are asked for between."""
        with self._opened() as stream:
            while head := stream.peek(_HEAD.size):
                at = stream.offset
                length = self._length(head, at)
                with self._at(at):
                    stream.skip(length + AROUND_BYTES, "a record")
                yield length

    def _opened(self) -> Stream:
        zlib = self.compression == "zlib"
        return Stream(self.path, _INFLATED_BYTES, remedy=self.remedy, zlib=zlib)

    @contextmanager
    def _at(self, offset: int) -> Iterator[None]:
        """Name the offset in what the stream says."""
        try:
            yield
        except DataError as error:
            raise self.error(error.what, offset, error.expected, error.got) from error

    def _stream_at(self, offset: int) -> Stream:
        """The inflated bytes from ``offset`` on; going back is to begin again."""
        if self._stream is None or self._stream.offset > offset:
            if self._stream:
                self._stream.close()
            self._stream = self._opened()
        with self._at(offset):
            self._stream.skip(offset - self._stream.offset, "what comes before a record")
        return self._stream

    def _checked(
        self, data: bytes, start: int, lengths: Sequence[int], end: DataError | None = None
    ) -> Block:
        """The records of these lengths at the beginning of ``data``, up to a damaged length."""
        import numpy as np

        from dsets.pack import checksums

        whole = np.frombuffer(data, np.uint8)
        sizes = np.array(lengths, np.int64) + AROUND_BYTES
        heads = np.cumsum(sizes) - sizes
        starts, ends = heads + _HEAD.size, heads + sizes - _SUM.size
        ranges = np.stack([heads, heads + 8, starts, ends], 1).reshape(-1)
        sums = checksums.of_ranges(whole, ranges) if len(ranges) else np.empty(0, np.uint32)
        wrong = np.flatnonzero(_masked(sums[0::4]) != _words(whole, heads + 8)).tolist()
        count = wrong[0] if wrong else len(lengths)
        if wrong:
            head = int(heads[count])
            try:
                self._length(data[head : head + _HEAD.size], start + head)
            except DataError as error:
                end = error
        sums, starts, ends = _masked(sums[2::4][:count]), starts[:count], ends[:count]
        written = _words(whole, ends)
        problems = {
            number: self.error(
                "damaged record",
                start + int(starts[number]),
                f"masked CRC-32C {written[number]:#010x}",
                f"{sums[number]:#010x}",
            )
            for number in np.flatnonzero(sums != written).tolist()
        }
        return Block(data, start, np.stack([starts, ends], 1).reshape(-1), problems, end)

    def error(
        self, what: str, offset: int, expected: object = None, got: object = None
    ) -> DataError:
        """A DataError about this file at an offset, for the caller to raise."""
        where = f"{self.path}, offset {offset:,}"
        return DataError(what, where=where, expected=expected, got=got, remedy=self.remedy)

    def close(self) -> None:
        self._file.close()
        if self._stream:
            self._stream.close()
