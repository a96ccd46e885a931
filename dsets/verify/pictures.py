"""Pictures decoded in threads, to find those that no pipeline will be able to use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from dsets import codecs
from dsets.cores import cores
from dsets.errors import DataError
from dsets.readers import Sample

WAITING = 64  # samples read ahead of the one that is judged
WAITING_BYTES = 32 << 20  # of their pictures; a single longer one passes
THREADS = 16
_PROFILE = codecs.profile("fast")


class Judged(NamedTuple):
    """A row, its sample or why it cannot be read, and what is wrong with its picture, if any."""

    row: int
    sample: Sample | DataError
    wrong: DataError | None


def judged(rows: Iterable[tuple[int, Sample | DataError]]) -> Iterator[Judged]:
    """The same rows in their order, each encoded ``image`` decoded by then, some in advance.

    In memory are at most WAITING samples, those of WAITING_BYTES, and the pixels of one picture a
    thread, of which a JPEG's are an eighth of its size.
    """
    threads = min(cores(), THREADS)
    waiting: deque[tuple[int, Sample | DataError, Future[DataError | None] | None, int]] = deque()
    held = 0
    with ThreadPoolExecutor(threads, "dsets-verify") as pool:
        for row, sample in rows:
            image = _image(sample)
            future = pool.submit(_wrong, image) if image is not None else None
            waiting.append((row, sample, future, len(image or b"")))
            held += waiting[-1][-1]
            while len(waiting) > WAITING or (held > WAITING_BYTES and len(waiting) > 1):
                held -= waiting[0][-1]
                yield _judged(*waiting.popleft()[:3])
        while waiting:
            yield _judged(*waiting.popleft()[:3])


def _judged(
    row: int, sample: Sample | DataError, future: Future[DataError | None] | None
) -> Judged:
    return Judged(row, sample, future.result() if future else None)


def _image(sample: Sample | DataError) -> bytes | None:
    """The encoded picture of a sample that has no other problem."""
    if isinstance(sample, DataError) or sample.problem:
        return None
    image = sample.values.get("image")
    return image if isinstance(image, bytes) else None


def _wrong(data: bytes) -> DataError | None:
    """As pipelines find it: all bytes of a JPEG go through the decoder, whatever its scale."""
    try:
        codecs.resized(data, _eighth, _PROFILE)
    except DataError as error:
        kind = codecs.format_of(data)
        begins = f"that begin like a {kind}" if kind else f"that begin {data[:16]!r}"
        got = f"{len(data):,} bytes {begins}" if data else "nothing"
        return DataError(error.what, expected=error.expected, got=got)
    return None


def _eighth(width: int, height: int) -> codecs.Resize:
    across, down = max(width // 8, 1), max(height // 8, 1)
    return codecs.Resize(across, down, 0, 0, across, down)
