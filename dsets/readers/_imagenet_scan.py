"""Every picture of a split, found in whatever holds them, put in the split's own order.

The order is that of the names: by class and number where pictures are called after their class,
else by number. It is the same for every layout, and so are the keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.archive import tarindex
from dsets.archive.stream import REMEDY
from dsets.archive.tarindex import Members
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import _imagenet_names, _listing, _rows
from dsets.readers._imagenet_options import Options

#: No picture is larger; a hostile archive may declare anything.
PICTURE_BYTES = 256 << 20
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pictures:
    """One row a picture, in order. ``columns``: label (-1: not known here), number, place, suffix,
    offset, bytes; sha256 (n, 32) where a listing has it.

    ``places`` and ``suffixes`` are what the columns of those names count: the inner archive that
    holds the picture, or (offset 0) the folder below the listing's; and the end of the file's name.
    """

    stem: str
    places: tuple[str, ...]
    suffixes: tuple[str, ...]
    columns: dict[str, npt.NDArray[Any]]


def scan(source: Source, options: Options) -> Pictures:
    """The pictures of the split. Raises DataError."""
    path = source.path(options.images)
    found = _Gathering(path, options.classes)
    if options.layout == "listing":
        for members, digests in _listed(path):
            found.add(members, digests)
    else:
        nested = options.layout == "tar of tars"
        for members in tarindex.walk(path, nested=nested, remedy=_rows.remedy(source)):
            found.add(members)
    return found.ordered()


def _listed(path: Path) -> Iterator[tuple[Members, bytes]]:
    """What a listing lists: loose files with their digests, and the members of its tars."""
    folder = _listing.folder(path)
    loose: list[_listing.Entry] = []
    for entry in _listing.entries(path):
        if entry.path.lower().endswith(tarindex.INNER):
            for members in tarindex.walk(folder / entry.path, nested=False, remedy=REMEDY):
                inner = Members(entry.path, members.names, members.offsets, members.bytes)
                yield inner, b""
            continue
        loose.append(entry)
        if len(loose) == tarindex.BATCH:
            yield _loose(loose)
            loose = []
    if loose:
        yield _loose(loose)


def _loose(entries: list[_listing.Entry]) -> tuple[Members, bytes]:
    names = [entry.path for entry in entries]
    sizes = np.array([entry.bytes for entry in entries], np.int64)
    return Members("", names, np.zeros(len(names), np.int64), sizes), b"".join(
        entry.sha256 for entry in entries
    )


class _Gathering:
    """Pictures as they are found, in columns."""

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        self._path = path
        self._label = {wnid: index for index, wnid in enumerate(classes)}
        self._classes = classes
        self._stem: str | None = None
        self._places: dict[str, int] = {}
        self._suffixes: dict[str, int] = {}
        self._parts: list[dict[str, npt.NDArray[Any]]] = []
        self._passed_over = ""

    def add(self, members: Members, digests: bytes = b"") -> None:
        """The pictures among ``members``; anything else is passed over."""
        rows = []
        kept = []
        for row, name in enumerate(members.names):
            folder, _, base = name.rpartition("/")
            picture = _imagenet_names.parsed(base)
            if picture is None:
                self._passed_over = self._passed_over or name
                continue
            self._check_kind(picture, name)
            label = self._labelled(picture, _imagenet_names.home(folder, members.archive), name)
            place = members.archive or (folder if digests else "")
            rows.append(row)
            kept.append(
                (
                    label,
                    picture.number,
                    self._places.setdefault(place, len(self._places)),
                    self._suffixes.setdefault(picture.suffix, len(self._suffixes)),
                )
            )
        if not rows:
            return
        label, number, place, suffix = np.array(kept, np.int32).T
        part = {"label": label, "number": number, "place": place, "suffix": suffix}
        part |= {"offset": members.offsets[rows], "bytes": members.bytes[rows]}
        if digests:
            part["sha256"] = np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)[rows]
        else:
            part["sha256"] = np.zeros((len(rows), 0), np.uint8)
        if (large := np.flatnonzero(part["bytes"] > PICTURE_BYTES)).size:
            name = members.names[rows[large[0]]]
            raise error(
                self._path, f"picture {name} is too large", f"{PICTURE_BYTES:,} bytes at most"
            )
        self._parts.append(part)

    def _check_kind(self, picture: _imagenet_names.Name, name: str) -> None:
        if self._stem is None:
            self._stem = picture.stem
        elif self._stem != picture.stem:
            raise error(
                self._path,
                "pictures of different splits lie together",
                f"{self._stem or '<wnid>_'}….JPEG, as the first one",
                name,
            )

    def _labelled(self, picture: _imagenet_names.Name, home: str, name: str) -> int:
        wnid = picture.wnid or home
        if not wnid:
            return -1
        if picture.wnid and home and picture.wnid != home:
            raise error(self._path, "a picture lies with another class", home, name)
        if wnid not in self._label:
            raise error(self._path, "a picture of a class that is not in the manifest", None, name)
        return self._label[wnid]

    def ordered(self) -> Pictures:
        """All of it, in order; no picture is there twice."""
        if not self._parts:
            raise error(
                self._path, "no pictures", "names like n01440764_10026.JPEG", self._passed_over
            )
        widths = {part["sha256"].shape[1] for part in self._parts}
        for part in self._parts:  # a listing may have both loose pictures and archives
            if part["sha256"].shape[1] < max(widths):
                part["sha256"] = np.zeros((len(part["label"]), _DIGEST_BYTES), np.uint8)
        columns = {
            name: np.concatenate([part.pop(name) for part in self._parts])
            for name in list(self._parts[0])
        }
        if not columns["sha256"].size:
            del columns["sha256"]
        code = codes(columns["label"], columns["number"], self._stem or "")
        order = np.argsort(code, kind="stable")
        code = code[order]
        if (twice := np.flatnonzero(code[1:] == code[:-1])).size:
            self._refuse_twice(columns, order[twice[0] : twice[0] + 2])
        columns = {name: column[order] for name, column in columns.items()}
        return Pictures(self._stem or "", tuple(self._places), tuple(self._suffixes), columns)

    def _refuse_twice(self, columns: dict[str, npt.NDArray[Any]], rows: npt.NDArray[Any]) -> None:
        wnid = self._classes[columns["label"][rows[0]]]
        key = _imagenet_names.key(wnid, self._stem or "", int(columns["number"][rows[0]]))
        places = tuple(self._places)
        where = [
            f"{places[columns['place'][row]]} at byte {columns['offset'][row]}" for row in rows
        ]
        raise error(self._path, f"picture {key} is there twice", "each once", " and ".join(where))


def error(path: Path, what: str, expected: str | None = None, got: str = "") -> DataError:
    """A DataError about what holds the pictures, for the caller to raise."""
    return DataError(what, where=path, expected=expected, got=got or None)


def codes(labels: npt.NDArray[Any], numbers: npt.NDArray[Any], stem: str) -> npt.NDArray[np.int64]:
    """int64 (n,): what the order is the order of, different for different pictures."""
    major = np.zeros(len(labels), np.int64) if stem else labels.astype(np.int64)
    return (major << 32) | numbers.astype(np.int64)
