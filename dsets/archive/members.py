"""What a downloaded file holds, one member after the other: a tar's files, or the file itself."""

from __future__ import annotations

from collections.abc import Iterator

from dsets.archive import tar
from dsets.archive.stream import CHUNK_BYTES, Stream


def chunks(stream: Stream) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The name and the bytes, in pieces, of every member of ``stream``, compressed or not.

    What is no tar archive has one member: itself, without the ``.gz`` it may have been packed in.
    The pieces of one member are read before the next member is asked for.

    Raises:
        DataError: the file is damaged, cut short or hostile.
    """
    if tar.looks_like(stream.peek(tar.BLOCK_BYTES)):
        for entry, body in tar.walk(stream):
            yield entry.name, body.chunks()
        return
    name = stream.path.name
    yield name.removesuffix(".gz") if stream.gzip else name, _all(stream)


def _all(stream: Stream) -> Iterator[bytes]:
    while data := stream.read(CHUNK_BYTES):
        yield data
