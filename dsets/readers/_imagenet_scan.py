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

from dsets.archive import tarindex, zipindex
from dsets.archive.tarindex import Members
from dsets.errors import AbsentError, DataError
from dsets.manifest.schema import Source
from dsets.readers import _imagenet_names, _listing, _rows
from dsets.readers._imagenet_options import Options

#: No larger picture is read; a hostile archive may declare anything.
PICTURE_BYTES = 256 << 20
#: What ``bytes`` says of every picture that is larger.
TOO_LARGE = PICTURE_BYTES + 1
#: Of a zip's members, besides where they are: end, packed size, CRC-32, method (see ``Member``).
ZIPPED = 4
_HIDDEN = "hidden archives, passed over"
_LARGE = f"pictures of more than {PICTURE_BYTES:,} bytes, which no pack will have"
_DIGEST_BYTES = 32
_PLACED = ("place", "suffix", "offset", "bytes")
#: The columns that are gathered, with their types and the numbers in a row.
_GATHERED = {
    "label": (np.int32, 1),
    "number": (np.int32, 1),
    "place": (np.int32, 1),
    "suffix": (np.int32, 1),
    "offset": (np.int64, 1),
    "bytes": (np.int32, 1),
    "sha256": (np.uint8, _DIGEST_BYTES),
    "zipped": (np.int64, ZIPPED),
}


@dataclass(frozen=True, slots=True)
class Pictures:
    """One row a picture, in order. ``columns``: label (-1: not known here), number, place, suffix,
    offset, bytes (at most TOO_LARGE); sha256 (n, 32) where a listing has it; zipped (n, ZIPPED)
    where a zip holds them; patched (n,), 1 where the patches hold the picture, if there are any.

    ``places`` and ``suffixes`` are what the columns of those names count: the inner archive that
    holds the picture, or (offset 0) the folder below the listing's; and the end of the file's name.
    ``notes`` are for people: what of the archive is passed over, or will be.
    """

    stem: str
    places: tuple[str, ...]
    suffixes: tuple[str, ...]
    classes: tuple[str, ...]
    columns: dict[str, npt.NDArray[Any]]
    notes: tuple[str, ...] = ()


def scan(source: Source, options: Options) -> Pictures:
    """The pictures of the split, the patched ones where their patches lie. Raises DataError."""
    path = source.path(options.images)
    found = _Gathering(path, options.classes, options.pictures)
    if options.layout == "listing":
        for members, digests in _listed(path):
            found.add(members, digests=digests)
    elif options.layout == "zip":
        for members, zipped in _zipped(path, _rows.remedy(source)):
            found.add(members, zipped=zipped)
    else:
        nested = options.layout == "tar of tars"
        for members in tarindex.walk(path, nested=nested, remedy=_rows.remedy(source)):
            found.add(members)
    pictures = found.ordered()
    return _patched(source, options, pictures) if options.patches else pictures


def _patched(source: Source, options: Options, pictures: Pictures) -> Pictures:
    """The pictures, with those that the archive of patches has, too, taken from there.

    A patch replaces the one picture of its name, wherever in the archive it lies; patches of other
    kinds of pictures belong to other splits. One of a picture that is not there is refused, unless
    the pictures are not the published archive: a part of it does not need every patch.
    """
    path = source.path(options.patches)
    found = _Gathering(path, pictures.classes, _imagenet_names.kind(pictures.stem))
    for members in tarindex.walk(path, nested=False, remedy=_rows.remedy(source)):
        found.add(members, folders=False)
    patches = found.ordered(empty=True)
    columns = pictures.columns
    code = codes(columns["label"], columns["number"], pictures.stem)
    wanted = codes(patches.columns["label"], patches.columns["number"], patches.stem)
    rows = np.minimum(np.searchsorted(code, wanted), len(code) - 1)
    there = code[rows] == wanted
    if not there.all() and not source.manifest.file(options.images).unverified:
        raise error(
            path,
            f"a patch of a picture that is not there ({np.count_nonzero(~there)} such patches)",
            f"pictures of {options.images}",
            _imagenet_names.key(*_named(pictures, patches.columns, int(np.flatnonzero(~there)[0]))),
        )
    rows, taken = rows[there], np.flatnonzero(there)
    places = (*pictures.places, options.patches)
    suffixes = tuple(dict.fromkeys((*pictures.suffixes, *patches.suffixes)))
    position = np.array([suffixes.index(one) for one in patches.suffixes], np.int32)
    columns["patched"] = np.zeros(len(code), np.uint8)
    columns["patched"][rows] = 1
    columns["place"][rows] = len(places) - 1
    columns["suffix"][rows] = position[patches.columns["suffix"][taken]]
    for name in ("offset", "bytes"):
        columns[name][rows] = patches.columns[name][taken]
    return Pictures(pictures.stem, places, suffixes, pictures.classes, columns, pictures.notes)


def _named(
    pictures: Pictures, columns: dict[str, npt.NDArray[Any]], row: int
) -> tuple[str, str, int]:
    label = int(columns["label"][row])
    wnid = pictures.classes[label] if label >= 0 else ""
    return wnid, pictures.stem, int(columns["number"][row])


def _zipped(path: Path, remedy: str) -> Iterator[tuple[Members, npt.NDArray[np.int64]]]:
    """The members of a zip that can be pictures, and what else reading them needs."""
    found = zipindex.members(path, remedy=remedy)
    names = [name for name in found if _imagenet_names.parsed(name.rpartition("/")[2])]
    for start in range(0, max(len(names), 1), tarindex.BATCH):
        some = names[start : start + tarindex.BATCH]
        facts = np.array([found[name] for name in some], np.int64).reshape(-1, 6)
        yield Members("", some, facts[:, 0], facts[:, 3]), facts[:, [1, 2, 4, 5]]


def _listed(path: Path) -> Iterator[tuple[Members, bytes]]:
    """What a listing lists: loose files with their digests, and the members of its tars."""
    folder = _listing.folder(path)
    loose: list[_listing.Entry] = []
    for entry in _listing.entries(path):
        if entry.path.lower().endswith(tarindex.INNER):
            for members in tarindex.walk(folder / entry.path, nested=False, remedy=_listing.REMEDY):
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
    """Pictures as they are found, in columns: of one kind only, if ``kind`` names one.

    Without ``classes`` they are those of the pictures found; labels are the wnids' numbers first.
    """

    def __init__(self, path: Path, classes: tuple[str, ...], kind: str = "") -> None:
        self._path = path
        self._label = {wnid: index for index, wnid in enumerate(classes)}
        self._classes = classes
        self._kind = kind
        self._stem: str | None = None
        self._places: dict[str, int] = {}
        self._suffixes: dict[str, int] = {}
        # Bytes of the columns: they grow in place, where many arrays would take the memory twice.
        self._columns = {name: bytearray() for name in _GATHERED}
        self._rows = 0
        self._passed_over = ""
        #: What is told of → how many there are, and the first one.
        self._noted: dict[str, tuple[int, str]] = {}

    def add(
        self,
        members: Members,
        *,
        digests: bytes = b"",
        zipped: npt.NDArray[np.int64] | None = None,
        folders: bool = True,
    ) -> None:
        """The pictures among ``members``; anything else is passed over.

        ``folders`` says that one called after a class has pictures of that class only.
        """
        rows = []
        kept = []
        for row, name in enumerate(members.names):
            folder, _, base = name.rpartition("/")
            picture = _imagenet_names.parsed(base)
            if picture is None:
                self._passed_over = self._passed_over or name
                if base.lower().endswith(tarindex.INNER) and tarindex.hidden(name):
                    self._note(_HIDDEN, name)
                continue
            if self._kind and self._kind != _imagenet_names.kind(picture.stem):
                continue
            self._check_kind(picture, name)
            home = _imagenet_names.home(folder, members.archive) if folders else ""
            label = self._labelled(picture, home, name)
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
        sizes = members.bytes[rows]
        packed = sizes if zipped is None else zipped[rows, 1]
        large = np.maximum(sizes, packed) > PICTURE_BYTES
        for one in np.flatnonzero(large).tolist():
            self._note(_LARGE, members.names[rows[one]])
        sizes = np.where(large, TOO_LARGE, sizes)
        label, number, place, suffix = np.array(kept, np.int32).T
        part = {"label": label, "number": number, "place": place, "suffix": suffix}
        part |= {"offset": members.offsets[rows], "bytes": sizes.astype(np.int32)}
        if zipped is not None:
            part["zipped"] = zipped[rows]
        for name, column in part.items():
            self._columns[name] += column.tobytes()
        hashed = self._columns["sha256"]
        if digests:
            hashed += bytes(_DIGEST_BYTES * self._rows - len(hashed))  # of members of archives
            hashed += np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)[rows].tobytes()
        self._rows += len(rows)

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
        if not self._classes:
            return _imagenet_names.number(wnid)
        if wnid not in self._label:
            raise error(self._path, "a picture of a class that is not in the manifest", None, name)
        return self._label[wnid]

    def ordered(self, *, empty: bool = False) -> Pictures:
        """All of it, in order; no picture is there twice. There may be none if ``empty``.

        Of each column there is one copy at a time, and those of the other rows' order besides.
        """
        if not self._rows and empty:
            nothing = {name: np.zeros(0, np.int64) for name in ("label", "number", *_PLACED)}
            return Pictures("", (), (), self._classes, nothing)
        if not self._rows and self._kind:
            raise AbsentError(f"no pictures of {self._kind}", where=self._path)
        if not self._rows:
            raise error(
                self._path, "no pictures", "names like n01440764_10026.JPEG", self._passed_over
            )
        if hashed := self._columns["sha256"]:  # a listing may have archives after loose pictures
            hashed += bytes(_DIGEST_BYTES * self._rows - len(hashed))
        columns: dict[str, npt.NDArray[Any]] = {}
        for name, (dtype, width) in _GATHERED.items():
            if data := self._columns.pop(name):
                shape = (self._rows, width) if width > 1 else (self._rows,)
                columns[name] = np.frombuffer(data, dtype).reshape(shape)
        if not self._classes and not self._stem:
            numbers = np.unique(columns["label"])
            columns["label"] = np.searchsorted(numbers, columns["label"]).astype(np.int32)
            self._classes = tuple(map(_imagenet_names.wnid, numbers.tolist()))
        code = codes(columns["label"], columns["number"], self._stem or "")
        if (code[1:] <= code[:-1]).any():
            order = np.argsort(code, kind="stable")
            code = code[order]
            if (twice := np.flatnonzero(code[1:] == code[:-1])).size:
                self._refuse_twice(columns, order[twice[0] : twice[0] + 2])
            for name in columns:
                columns[name] = columns[name][order]
        return Pictures(
            self._stem or "",
            tuple(self._places),
            tuple(self._suffixes),
            self._classes,
            columns,
            tuple(
                f"{self._path.name}: {what}: {count:,}, the first {name}"
                for what, (count, name) in self._noted.items()
            ),
        )

    def _note(self, what: str, name: str) -> None:
        count, first = self._noted.get(what, (0, name))
        self._noted[what] = count + 1, first

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
    code = np.zeros(len(labels), np.int64) if stem else labels.astype(np.int64)
    code <<= 32
    code |= numbers
    return code
