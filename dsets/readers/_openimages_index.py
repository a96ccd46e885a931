"""The index of an Open Images split: where the pictures lie, and their annotations, as columns.

Made once from gigabytes of CSV in a bounded memory, kept in the store and opened by memory map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsets.archive.zipindex import Member
from dsets.errors import AbsentError
from dsets.manifest.schema import Source
from dsets.readers import (
    _index_file,
    _openimages_annotations,
    _openimages_masks,
    _openimages_pictures,
)
from dsets.readers._openimages_options import Options
from dsets.readers._openimages_table import Table

VERSION = 3
_DTYPES = {
    "image": {"id": "<u8", "archive": "<i2", "offset": "<i8", "bytes": "<i8", "rotation": "<f4"},
    **_openimages_annotations.COLUMNS,
    "mask": {**_openimages_masks.COLUMNS, "end": "<i8"},
    "mid": {"text": "|u1", "end": "<i8"},
    "gzip": {"points": "|u1", "end": "<i8"},
}
_FLAT = {f"{about}.{name}": t for about, names in _DTYPES.items() for name, t in names.items()}


class Index(NamedTuple):
    """One row a picture. ``absent``: kind of annotation → (rows, pictures, a picture's id) of what
    speaks of pictures that are not in the archives, and was passed over."""

    columns: dict[str, npt.NDArray[Any]]
    absent: dict[str, tuple[int, int, str]]

    def __len__(self) -> int:
        return len(self.columns["image.id"])

    def key(self, row: int) -> str:
        return f"{int(self.columns['image.id'][row]):016x}"

    def span(self, about: str, row: int) -> slice:
        """The annotations of a picture."""
        return _span(self.columns[f"{about}.end"], row)

    def mids(self, codes: npt.NDArray[Any]) -> list[bytes]:
        """The identifiers that stand for these codes."""
        text, ends = self.columns["mid.text"], self.columns["mid.end"]
        return [text[_span(ends, code)].tobytes() for code in codes.tolist()]

    def mask(self, number: int) -> tuple[int, Member]:
        """The zip that a mask is in, and where."""
        return int(self.columns["mask.archive"][number]), Member(
            *(int(value) for value in self.columns["mask.member"][number])
        )

    @property
    def points(self) -> tuple[npt.NDArray[np.uint8], ...]:
        """Where each archive can be entered, if it is a compressed one."""
        text, ends = self.columns["gzip.points"], self.columns["gzip.end"]
        return tuple(text[_span(ends, i)] for i in range(len(ends)))


def _span(ends: npt.NDArray[Any], row: int) -> slice:
    return slice(int(ends[row - 1]) if row else 0, int(ends[row]))


_OPEN: dict[str, Index] = {}  # the last one: its columns are mapped, so it takes no memory


def opened(source: Source, options: Options) -> Index:
    """The split's index: open already, from the store, or else made now. Raises DataError."""
    there = [name for name in options.files if source.path(name).is_file()]
    files = [_index_file.identity(source.path(name)) for name in there]
    key = [VERSION, source.manifest.digest, source.split.name, repr(options), *files]
    if found := _OPEN.get(repr(key)):
        return found
    made = _index_file.opened(
        source,
        lambda path: _read(path, key, options),
        lambda: _made(source, options),
        lambda path, index: _index_file.write(path, key, {"absent": index.absent}, index.columns),
    )
    found = _read(_index_file.path(source), key, options) or made  # mapped, if it was written
    _OPEN.clear()
    _OPEN[repr(key)] = found
    return found


def _read(path: Path, key: list[Any], options: Options) -> Index | None:
    """The index in a file, or None unless every value that leads anywhere can be."""
    kept = _index_file.read(path, key, _FLAT)
    absent: Any = kept.facts.get("absent") if kept else None
    if kept is None or not isinstance(absent, dict):
        return None
    columns = kept.columns
    rows = len(columns.get("image.id", ()))
    if not rows or not {"mid.text", "mid.end", "gzip.points", "gzip.end"} <= set(columns):
        return None
    ends = {
        "mid.end": len(columns["mid.text"]),
        "gzip.end": len(columns["gzip.points"]),
        **{
            f"{about}.end": len(columns[f"{about}.{names[0]}"])
            for about, names in ((a, list(n)) for a, n in _DTYPES.items())
            if f"{about}.end" in columns and about not in ("mid", "gzip")
        },
    }
    for name, total in ends.items():
        column = columns[name]
        if name.partition(".")[0] not in ("mid", "gzip") and len(column) != rows:
            return None
        if (np.diff(column, prepend=0) < 0).any() or (len(column) and column[-1] > total):
            return None
    for name, count in (
        ("image.archive", len(options.images)),
        ("mask.archive", len(options.masks)),
        ("mask.label", len(options.mids)),
    ):
        column = columns.get(name, np.empty(0))
        if len(column) and not 0 <= column.min() <= column.max() < count:
            return None
    if len(columns["gzip.end"]) != len(options.images):
        return None
    return Index(columns, {name: tuple(value) for name, value in absent.items()})


def _made(source: Source, options: Options) -> Index:
    folder = _index_file.path(source).parent
    scratch = folder if folder.is_dir() else None
    pictures = _openimages_pictures.scan(source, options, scratch)
    image, absent = pictures.columns, {}
    found: dict[str, npt.NDArray[Any]] = {}
    vocabulary: dict[str, int] = {}
    joined = _openimages_annotations.Joined(image["id"], options, vocabulary, scratch)
    for kind, names in options.csvs.items():
        there = [n for n in names if n in options.needed or source.path(n).is_file()]
        if there:
            tables = [Table(source.path(name), source.split.name) for name in there]
            columns, absent[kind] = joined.read(kind, tables)
            found |= columns
    if options.masks:
        columns, absent["masks"] = _openimages_masks.scan(source, options, image["id"], scratch)
        found |= columns
    if options.drop:
        image, found = _kept(image, found)
    columns = {f"image.{name}": column for name, column in image.items()} | found
    columns |= _texts("mid", "text", [mid.encode() for mid in vocabulary])
    columns |= {"gzip.points": pictures.points, "gzip.end": pictures.ends}
    made = {
        name: np.ascontiguousarray(column, _FLAT[name]) if column.dtype != _FLAT[name] else column
        for name, column in columns.items()
    }
    return Index(made, {kind: value for kind, value in absent.items() if value[0]})


def _texts(about: str, name: str, texts: list[bytes]) -> dict[str, npt.NDArray[Any]]:
    return {
        f"{about}.{name}": np.frombuffer(b"".join(texts), np.uint8),
        f"{about}.end": np.cumsum([0, *map(len, texts)], dtype=np.int64)[1:],
    }


def _kept(
    image: dict[str, npt.NDArray[Any]], found: dict[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Without the pictures that have no objects."""
    about = "mask" if "mask.end" in found else "box"
    there = np.diff(found[f"{about}.end"], prepend=0) > 0
    if not there.any():
        raise AbsentError("no picture has an object")
    image = {name: column[there] for name, column in image.items()}
    # Other annotations of those that go stay in their columns, where no span leads to them: that
    # would need starts too. So the kinds of a split that drops pictures are its objects alone.
    return image, {
        name: column[there] if name == f"{about}.end" else column
        for name, column in found.items()
        if name.partition(".")[0] == about
    }
