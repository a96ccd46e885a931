"""Where the pictures lie: in tars, plain or compressed, in whatever folders; known by their names.

The order of a split is that in which they lie, archive after archive: a compressed archive is then
inflated once from front to back.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.archive import gzindex, tarindex
from dsets.archive.blobs import Blobs
from dsets.archive.gzindex import Inflated
from dsets.archive.tarindex import Members
from dsets.closing import Closing
from dsets.errors import AbsentError, DataError
from dsets.manifest.schema import Source
from dsets.readers import _rows
from dsets.readers._openimages_options import Options

#: No larger picture is read, and no archive inflates to more; a hostile one may declare anything.
PICTURE_BYTES = 256 << 20
ARCHIVE_BYTES = 1 << 40
_NAME = re.compile(r"(?:.*/)?([0-9a-f]{16})\.jpe?g", re.IGNORECASE)
_OPEN = 4
_AHEAD = 16  # pictures of which the kernel is told


@dataclass(frozen=True, slots=True)
class Pictures:
    """Columns, one row a picture: id uint64, archive (of the options' images), offset, bytes.

    ``points`` are those of all archives, mapped from a file without a name, and ``ends`` where
    each one's end: int64 (archives,). A plain archive has none.
    """

    columns: dict[str, npt.NDArray[Any]]
    points: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]


def scan(source: Source, options: Options, folder: Path | None) -> Pictures:
    """The pictures of the split. ``folder``: a place on disk (None: the system's). Raises
    DataError."""
    with tempfile.TemporaryFile(dir=folder) as kept:
        columns, sizes = _scanned(source, options, kept.fileno())
        ends = np.cumsum(sizes, dtype=np.int64)
        points: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        if ends[-1]:
            points = np.memmap(kept, np.uint8, "r", shape=(int(ends[-1]),))
        return Pictures(columns, points, ends)


def _scanned(
    source: Source, options: Options, kept: int
) -> tuple[dict[str, npt.NDArray[Any]], list[int]]:
    """The columns, and how many bytes of points were written, to ``kept``, for each archive."""
    remedy = _rows.remedy(source)
    if missing := [name for name in options.images if not source.path(name).is_file()]:
        raise DataError(
            f"{len(missing)} of {len(options.images)} archives are not here",
            where=source.root,
            got=", ".join(missing),
            remedy=f"run 'dsets fetch {source.manifest.name}'",
        )
    found: list[tuple[npt.NDArray[np.uint64], ...]] = []
    points: list[int] = []
    for number, name in enumerate(options.images):
        path = source.path(name)
        compressed = gzindex.compressed(path)
        if compressed:
            walk = tarindex.inflated(path, ARCHIVE_BYTES, remedy=remedy)
        else:
            walk = tarindex.walk(path, nested=False, remedy=remedy)
        for members in walk:
            found.extend(_pictures(path, members, number))
        points.append(gzindex.points(path, kept) if compressed else 0)
    if not found:
        names = ", ".join(options.images[:3])
        raise AbsentError("no pictures", where=f"{source.root}: {names}", expected="<id>.jpg")
    ids, archive, offset, size = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(ids, kind="stable")
    if (twice := np.flatnonzero(ids[order][1:] == ids[order][:-1])).size:
        rows = order[twice[0] : twice[0] + 2]
        places = " and ".join(
            f"{options.images[archive[row]]} at byte {offset[row]:,}" for row in rows
        )
        raise DataError(
            f"picture {ids[rows[0]]:016x} is there twice ({twice.size:,} such)",
            where=source.root,
            expected="each once",
            got=places,
        )
    return {"id": ids, "archive": archive, "offset": offset, "bytes": size}, points


def _pictures(path: Path, members: Members, archive: int) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    named = [
        (row, found[1]) for row, one in enumerate(members.names) if (found := _NAME.fullmatch(one))
    ]
    if not named:
        return
    rows = np.array([row for row, _ in named])
    sizes = members.bytes[rows]
    ids = np.array([int(name, 16) for _, name in named], np.uint64)
    yield ids, np.full(len(rows), archive, np.int16), members.offsets[rows], sizes


class Archives(Closing):
    """The archives of a split, each opened when it is first read; the last few stay open."""

    def __init__(
        self, source: Source, options: Options, points: tuple[npt.NDArray[np.uint8], ...]
    ) -> None:
        self._source = source
        self._options = options
        self._points = points
        self._open: dict[int, Blobs | Inflated] = {}

    def get(self, archive: int) -> Blobs | Inflated:
        """An archive by its number. Raises DataError when it cannot be opened."""
        if archive not in self._open:
            if len(self._open) == _OPEN:
                self._open.pop(next(iter(self._open))).close()
            path = self._source.path(self._options.images[archive])
            remedy = _rows.remedy(self._source)
            points = self._points[archive]
            self._open[archive] = (
                Inflated(path, points, remedy) if len(points) else Blobs(path, remedy)
            )
        return self._open[archive]

    def close(self) -> None:
        for blobs in self._open.values():
            blobs.close()
        self._open.clear()


def read(
    archives: Archives, columns: Mapping[str, npt.NDArray[Any]], rows: Sequence[int]
) -> Iterator[tuple[int, bytes | DataError]]:
    """Each of these rows of an index with its picture, or what is wrong with this picture alone,
    in fixed words.

    Raises:
        DataError: an archive cannot be read, or has changed.
    """
    archive, offset, size = (columns[f"image.{name}"] for name in ("archive", "offset", "bytes"))
    for number, row in enumerate(rows):
        if number % _AHEAD == 0:
            for coming in rows[number + _AHEAD * (number > 0) : number + 2 * _AHEAD]:
                if size[coming] <= PICTURE_BYTES:
                    archives.get(int(archive[coming])).announce(
                        int(offset[coming]), int(size[coming])
                    )
        if size[row] > PICTURE_BYTES:
            limit = f"at most {PICTURE_BYTES} bytes"
            yield row, DataError("picture file too large", expected=limit)
        else:
            what = f"picture {int(columns['image.id'][row]):016x}"
            blobs = archives.get(int(archive[row]))
            yield row, blobs.read(int(offset[row]), int(size[row]), what)
