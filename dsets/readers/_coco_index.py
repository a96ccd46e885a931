"""The index of a COCO split: images, where they lie, and their annotations, as columns.

Made once from the JSON, which may take a minute; kept in the store and opened by memory map.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsets import atomic, store
from dsets.archive import zipindex
from dsets.archive.blobs import Blobs
from dsets.archive.zipindex import Member
from dsets.codecs import rle
from dsets.errors import AbsentError, DataError
from dsets.manifest.schema import Source
from dsets.readers import _coco_columns, _coco_json, _index_file, _rows
from dsets.readers._coco_columns import Rows
from dsets.readers._coco_json import File, Image
from dsets.readers._coco_options import Options

VERSION = 3
IMAGE_BYTES = 256 << 20
_MEMBER = ("header", "end", "packed", "size", "crc", "method")
_NUMBERS = {"id": "<i8", "label": "<i4", "area": "<f8", "crowd": "|i1", "end": "<i8"}
_NUMBERS |= dict.fromkeys(("x", "y", "width", "height"), "<f8")
_TEXT = {"text": "|u1", "text_start": "<i8", "text_end": "<i8", "end": "<i8"}
#: Columns by what they are about: "object.label".
DTYPES = {
    "image": dict.fromkeys(("id", "width", "height"), "<i8"),
    "name": {"text": "|u1", "text_start": "<i8", "text_end": "<i8"},
    "file": dict.fromkeys(_MEMBER, "<i8"),
    "object": _NUMBERS | _TEXT | {"has": "|i1", "keypoints": "<f4"},
    "person": {"row": "<i8", "keypoints": "<f4"},
    "caption": _TEXT,
    "stuff": _NUMBERS | _TEXT | {"has": "|i1", "keypoints": "<f4"},
    "segment": _NUMBERS,
    "map": dict.fromkeys(_MEMBER, "<i8"),
    "fault": {"row": "<i8", "text": "|u1", "text_start": "<i8", "text_end": "<i8"},
}
_FLAT = {f"{about}.{name}": t for about, names in DTYPES.items() for name, t in names.items()}


class Index(NamedTuple):
    """``maps`` is the file that holds the panoptic maps, where there are any; ``remarks`` are about
    annotations that no image has, and what was mended."""

    columns: dict[str, npt.NDArray[Any]]
    maps: str
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["image.id"])

    def span(self, about: str, row: int) -> slice:
        """The annotations of an image."""
        ends = self.columns[f"{about}.end"]
        return slice(int(ends[row - 1]) if row else 0, int(ends[row]))

    def text(self, about: str, number: int) -> bytes:
        start = int(self.columns[f"{about}.text_start"][number])
        end = int(self.columns[f"{about}.text_end"][number])
        return self.columns[f"{about}.text"][start:end].tobytes()

    def member(self, about: str, row: int) -> Member | None:
        found = Member(*(int(self.columns[f"{about}.{name}"][row]) for name in _MEMBER))
        return None if found.header < 0 else found

    def fault(self, row: int) -> tuple[str, str] | None:
        """What is wrong with an annotation of an image, in fixed words, and in full."""
        rows = self.columns["fault.row"]
        number = int(np.searchsorted(rows, row))
        if number == len(rows) or rows[number] != row:
            return None
        what, _, full = self.text("fault", number).decode().partition("\n")
        return what, full

    def key(self, row: int) -> str:
        return PurePosixPath(self.text("name", row).decode()).stem


_OPEN: dict[str, Index] = {}  # the last one: its columns are mapped, so it takes no memory


def opened(source: Source, options: Options) -> Index:
    """The split's index: open already, from the store, or else made now. Raises DataError."""
    files = [_index_file.identity(source.path(name)) for name in options.files]
    key = [VERSION, source.manifest.digest, source.split.name, repr(options), *files]
    if found := _OPEN.get(repr(key)):
        return found
    made = _index_file.opened(
        source,
        lambda path: _read(path, key),
        lambda: _made(source, options),
        lambda path, index: _index_file.write(
            path, key, {"maps": index.maps, "remarks": index.remarks}, index.columns
        ),
    )
    found = _read(_index_file.path(source), key) or made  # mapped, where it could be written
    _OPEN.clear()
    _OPEN[repr(key)] = found
    return found


def _read(path: Path, key: list[Any]) -> Index | None:
    kept = _index_file.read(path, key, _FLAT)
    if kept is None or type(kept.facts.get("maps")) is not str:
        return None
    remarks = kept.facts.get("remarks")
    if type(remarks) is not list or not all(type(one) is str for one in remarks):
        return None
    columns = kept.columns
    if not {"image.id", "fault.row"} <= set(columns) or not len(columns["image.id"]):
        return None
    rows = len(columns["image.id"])
    for name, column in columns.items():
        about, _, what = name.partition(".")
        ends = what == "end" and about not in ("file", "map")
        if ends and (len(column) != rows or (np.diff(column, prepend=0) < 0).any()):
            return None
        if what == "text_end":
            text, starts = (columns.get(f"{about}.{one}") for one in ("text", "text_start"))
            if text is None or starts is None or starts.shape != column.shape:
                return None
            if not ((starts >= 0) & (starts <= column) & (column <= len(text))).all():
                return None
    return Index(columns, kept.facts["maps"], tuple(remarks))


def _made(source: Source, options: Options) -> Index:
    remedy = _rows.remedy(source)
    info = read_json(source, options, options.outline)
    images, files = info.images, [info]
    if not images:
        raise AbsentError("no images in the JSON", where=info.where)

    def file_of(kind: str) -> File:
        if kind == options.outline:
            return info
        files.append(read_json(source, options, kind))
        return files[-1]

    rows = Rows({image.id: row for row, image in enumerate(images)}, len(images))
    found: dict[str, Mapping[str, npt.NDArray[Any]]] = {}
    if "instances" in options.kinds or "keypoints" in options.kinds:
        kind = "instances" if "instances" in options.kinds else "keypoints"
        first = file_of(kind)
        found["object"] = _coco_columns.objects(first, rows, options.labels)
        if options.drop:
            counts = np.diff(found["object"]["end"], prepend=0)
            kept = counts > 0
            kept[[rows.of[one] for one in first.faults if one in rows.of]] = True
            rows = _renumbered(images, kept)
            images = [image for image, there in zip(images, kept, strict=True) if there]
            if not images:
                raise AbsentError("no image has an instance", where=first.where)
            found["object"] = {**found["object"], "end": np.cumsum(counts[kept])}
        if kind == "instances" and "keypoints" in options.kinds:
            people = file_of("keypoints")
            found["person"] = _persons(people, options, rows, found["object"]["id"])
    if "captions" in options.kinds:
        found["caption"] = _coco_columns.captions(file_of("captions"), rows)
    if "stuff" in options.kinds:
        found["stuff"] = _coco_columns.objects(file_of("stuff"), rows, options.stuff_labels)
    maps = ""
    if "panoptic" in options.kinds:
        file = file_of("panoptic")
        found["segment"], pngs = _coco_columns.panoptic(file, rows, options.segment_labels)
        maps, found["map"] = _maps(source, options, pngs, len(images))
        for row, name in pngs.items():
            if found["map"]["header"][row] < 0:
                file.fault(images[row].id, "the panoptic map is not there", name)
    found["fault"] = _faults(files, rows)
    found["image"] = {
        name: np.array([getattr(image, name) for image in images], np.int64)
        for name in ("id", "width", "height")
    }
    found["name"] = _texts([image.file_name.encode() for image in images])
    archive = zipindex.members(source.path(options.images), remedy=remedy)
    places = [f"{options.folder}/{image.file_name}" for image in images]
    if missing := [place for place in places if place not in archive]:
        raise _error(
            source, options, f"{len(missing)} images are missing, the first is {missing[0]}"
        )
    found["file"] = _members([archive[place] for place in places])
    columns = {
        f"{about}.{name}": np.ascontiguousarray(column, DTYPES[about][name])
        for about, given in found.items()
        for name, column in given.items()
        if name in DTYPES[about]
    }
    return Index(columns, maps, tuple(one for file in files for one in file.remarks))


def _renumbered(images: list[Image], kept: npt.NDArray[np.bool_]) -> Rows:
    """Rows of the images that are kept alone."""
    row = np.where(kept, np.cumsum(kept) - 1, -1).tolist()
    return Rows({image.id: row[i] for i, image in enumerate(images)}, int(kept.sum()))


def _faults(files: list[File], rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """The first fault of each image that has any, and what of the others is of no image."""
    first: dict[int, bytes] = {}
    for file in files:
        for image, texts in file.faults.items():
            if (row := rows.of.get(image)) is None:
                file.stray(f"of image {image}")
            elif row >= 0:
                first.setdefault(row, "\n".join(texts).encode())
    order = sorted(first)
    return {"row": np.array(order, np.int64), **_texts([first[row] for row in order])}


def _texts(texts: list[bytes]) -> dict[str, npt.NDArray[Any]]:
    """Texts one after the other, and where each begins and ends."""
    text, ends = rle.join(texts)
    return {"text": text, "text_start": np.append(0, ends)[:-1], "text_end": ends}


def _error(source: Source, options: Options, what: str) -> DataError:
    return DataError(what, where=source.path(options.images), remedy=_rows.remedy(source))


def _members(members: list[Member]) -> dict[str, npt.NDArray[Any]]:
    table = np.array(members, np.int64).reshape(-1, len(_MEMBER))
    return {name: table[:, column] for column, name in enumerate(_MEMBER)}


def read_json(source: Source, options: Options, kind: str) -> File:
    """The JSON of a kind of annotation. Raises DataError."""
    path = source.path(options.kinds[kind])
    name = options.member(kind, ".json")
    with Blobs(path, _rows.remedy(source)) as blobs:
        return _coco_json.outline(json_member(source, blobs, name), f"{path}: {name}")


def json_member(source: Source, blobs: Blobs, name: str) -> bytearray:
    """The bytes of the one member of that name, in whatever folder. Raises DataError."""
    member = _find(blobs, zipindex.members(blobs.path, remedy=_rows.remedy(source)), name)
    most = max(member.packed * _coco_json.BOMB_RATIO, _coco_json.BOMB_BYTES)
    if member.size > most:
        raise blobs.error(
            f"zip member {name} is a bomb",
            expected=f"at most {most:,} bytes from {member.packed:,}",
            got=f"{member.size:,}",
        )
    return zipindex.read(blobs, name, member, _coco_json.JSON_BYTES)


def _find(blobs: Blobs, members: Mapping[str, Member], name: str) -> Member:
    """The one member of that name, in whatever folder."""
    found = [member for path, member in members.items() if PurePosixPath(path).name == name]
    if not found:
        there = ", ".join(sorted(PurePosixPath(path).name for path in members))
        raise AbsentError(f"no {name}", where=blobs.path, expected=name, got=there[:400] or "none")
    if len(found) != 1:
        raise blobs.error(f"{len(found)} members are called {name}", expected="one")
    return found[0]


def _persons(
    file: File, options: Options, rows: Rows, ids: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """``row`` (objects,): which row of ``keypoints`` an object has, or -1."""
    found = _coco_columns.objects(file, rows, options.labels)
    owners = found["id"][found["has"] > 0]
    row = np.full(len(ids), -1, np.int64)
    order = np.argsort(ids, kind="stable")
    place = np.searchsorted(ids[order], owners)
    known = place < len(ids)
    known[known] = ids[order][place[known]] == owners[known]
    row[order[place[known]]] = np.flatnonzero(known)
    return {"row": row, "keypoints": found["keypoints"]}


def _maps(
    source: Source, options: Options, pngs: Mapping[int, str], count: int
) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """The PNGs of a zip within the zip: read in place where it is stored, else inflated once."""
    path, remedy = source.path(options.kinds["panoptic"]), _rows.remedy(source)
    name = options.member("panoptic", ".zip")
    with Blobs(path, remedy) as blobs:
        member = _find(blobs, zipindex.members(path, remedy=remedy), name)
        if member.method == zipindex.STORED:
            begin = zipindex.start(blobs, name, member)
            inner = zipindex.members(path, start=begin, size=member.size, remedy=remedy)
        else:
            path = _inflated(source, blobs, name, member)
            inner = zipindex.members(path, remedy=remedy)
    by_name = {PurePosixPath(place).name: one for place, one in inner.items()}
    nowhere = Member(-1, 0, 0, 0, 0, 0)
    members = [by_name.get(pngs.get(row, ""), nowhere) for row in range(count)]
    return str(path), _members(members)


def _inflated(source: Source, blobs: Blobs, name: str, member: Member) -> Path:
    target = (
        store.index(source.manifest.name) / f"{member.crc:08x}-{PurePosixPath(name).stem}.inner.zip"
    )
    if not (target.is_file() and target.stat().st_size == member.size):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(target) as part, part.open("wb") as file:
            for piece in zipindex.chunks(blobs, name, member):
                file.write(piece)
    return target
