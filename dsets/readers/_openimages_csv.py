"""The CSV files of Open Images, a piece at a time: columns by name and meaning, never by place.

The releases differ in which columns there are, how they are spelt (``Condidence``, ``ImageId``),
and whether a header says so. A file without a header has the columns of the release with that many.
Values that cannot be are refused with the number of their line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.archive.stream import guess
from dsets.errors import DataError
from dsets.readers import _openimages_lines
from dsets.readers._openimages_lines import LINE_BYTES, REMEDY, Counted, Layout

if TYPE_CHECKING:
    import pandas as pd

PIECE = 1 << 18  # rows that are in memory at a time
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_ID = re.compile(r'"?[0-9a-fA-F]{16}"?')
_TEXT, _NUMBER, _KEY = "category", "float32", "S17"
_UNREAD = "S1"

_BOX = ("image", "source", "label", "confidence", "xmin", "xmax", "ymin", "ymax")
_FLAGS = ("isoccluded", "istruncated", "isgroupof", "isdepiction", "isinside")
_CLICKS = tuple(f"xclick{i}{axis}" for axis in "xy" for i in (1, 2, 3, 4))
#: Kind → the columns of files without a header, by their number. The first release of boxes had no
#: flags, the sixth adds clicks.
_LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "boxes": (_BOX, _BOX + _FLAGS, _BOX + _FLAGS + _CLICKS),
    "human_labels": (("image", "source", "label", "confidence"),),
    "machine_labels": (("image", "source", "label", "confidence"),),
    "points": (
        ("image", "x", "y", "label", "answer", "source", "yesvotes", "novotes", "unsurevotes"),
    ),
    "rotation": (
        (
            *("image", "subset", "originalurl", "originallandingurl", "license"),
            *("authorprofileurl", "author", "title", "originalsize", "originalmd5"),
            *("thumbnail300kurl", "rotation"),
        ),
        ("image", "rotation"),
    ),
}
_COLUMNS = {
    kind: {name for layout in layouts for name in layout} for kind, layouts in _LAYOUTS.items()
}
_NEEDED = {
    "boxes": ("image", "label", "xmin", "xmax", "ymin", "ymax"),
    "human_labels": ("image", "label", "confidence"),
    "machine_labels": ("image", "label", "confidence"),
    "points": ("image", "x", "y", "label", "answer"),
    "rotation": ("image", "rotation"),
}
_DTYPES = {
    "boxes": dict.fromkeys(("source", "label"), _TEXT)
    | dict.fromkeys(("confidence", "xmin", "xmax", "ymin", "ymax", *_FLAGS), _NUMBER),
    "human_labels": {"source": _TEXT, "label": _TEXT, "confidence": _NUMBER},
    "machine_labels": {"source": _TEXT, "label": _TEXT, "confidence": _NUMBER},
    "points": {"label": _TEXT, "answer": _TEXT, "x": _NUMBER, "y": _NUMBER},
    "rotation": {"rotation": _NUMBER},
}
#: Other names of a column, without case and signs.
_ALSO = {
    "imageid": "image",
    "labelname": "label",
    "estimatedyesno": "answer",
    "occluded": "isoccluded",
    "truncated": "istruncated",
    "groupof": "isgroupof",
    "depiction": "isdepiction",
    "inside": "isinside",
}


class Piece:
    """Some rows of a file: ``image`` uint64 (n,) and the other columns, by name."""

    def __init__(self, path: Path, layout: Layout, frame: pd.DataFrame, first: int) -> None:
        self._path = path
        self._layout = layout
        self._frame = frame
        self._first = first  # row
        keys = frame["image"].to_numpy()
        blank = keys == b""
        read = [name for name in frame if frame[name].dtype.kind != "S"]
        if blank.any() and not frame[blank][read].notna().any(axis=None):
            self._first_of = np.flatnonzero(~blank)
            self._frame = frame = frame[~blank]
            keys = keys[~blank]
        else:
            self._first_of = np.arange(len(frame))
        self.image = self._ids(keys)

    def __len__(self) -> int:
        return len(self.image)

    def __contains__(self, name: str) -> bool:
        return name in self._frame

    def numbers(self, name: str, least: float, most: float) -> npt.NDArray[np.float32]:
        """float32 (n,). Raises DataError for one that is missing or outside."""
        values = self._frame[name].to_numpy(np.float32)
        good = (values >= least) & (values <= most)  # not so for NaN
        self.check(good, f"bad {name}", f"a number from {least:g} to {most:g}", name)
        return values

    def flags(self, name: str) -> npt.NDArray[np.uint16]:
        """uint16 (n,): 0 unknown (-1, empty, or no such column), 1 no, 2 yes."""
        if name not in self:
            return np.zeros(len(self), np.uint16)
        values = np.nan_to_num(self._frame[name].to_numpy(np.float32), nan=-1.0)
        self.check(np.isin(values, (-1, 0, 1)), f"bad {name}", "1, 0, or -1 for unknown", name)
        found: npt.NDArray[np.uint16] = (values + 1).astype(np.uint16)
        return found

    def optional(self, name: str) -> npt.NDArray[np.float32]:
        """float32 (n,), NaN where nothing is said."""
        return self._frame[name].to_numpy(np.float32)

    def texts(self, name: str) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The different texts, and int64 (n,) which one each row has, -1 for none."""
        if name not in self:
            return [], np.full(len(self), -1, np.int64)
        column = self._frame[name].array
        return [str(text) for text in column.categories], np.asarray(column.codes, np.int64)

    def check(self, good: npt.NDArray[np.bool_], what: str, expected: str, name: str) -> None:
        """Refuse the first row that is not good. Raises DataError."""
        bad = np.flatnonzero(~good)
        if bad.size:
            row = self._first + int(self._first_of[bad[0]])
            if odd := _openimages_lines.odd(self._path, self._layout, row):
                raise odd
            got = _openimages_lines.cell(self._path, self._layout, row, name)
            raise _bad(self._path, self._layout, row, what, expected, got)

    def _ids(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        letters = keys.view(np.uint8).reshape(len(keys), 17)
        digits = _DIGITS[letters[:, :16]]
        good = (digits < 16).all(axis=1) & (letters[:, 16] == 0)
        self.check(good, "bad image id", "16 hexadecimal digits", "image")
        return packed(digits)


def _bad(path: Path, layout: Layout, row: int, what: str, expected: str, got: str) -> DataError:
    where = f"{path}, line {layout.line(row)}"
    shown = ascii(got.strip()[:60]) if got.strip() else "nothing"
    return DataError(what, where=where, expected=expected, got=shown, remedy=REMEDY)


_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def packed(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """uint64 (n,) of hexadecimal digits (n, 16)."""
    pairs = (digits[:, 0::2] << 4) | digits[:, 1::2]
    return np.ascontiguousarray(pairs).view(">u8").reshape(-1).astype(np.uint64)


def pieces(path: Path, kind: str) -> Iterator[Piece]:
    """The rows of a file of a kind of annotation, PIECE at a time.

    Raises:
        DataError: the file is not one, or a row is not; it names the line.
    """
    import pandas as pd

    layout = layout_of(path, kind)
    names = [name or f"-{place}" for place, name in enumerate(layout.columns)]
    dtypes: dict[str, Any] = {name: _DTYPES[kind].get(name) for name in names}
    dtypes["image"] = _KEY
    # Were columns chosen by ``usecols``, pandas would pass over what a row has too many.
    dtypes = {name: dtype or _UNREAD for name, dtype in dtypes.items()}
    settings: dict[str, Any] = {
        "header": None,
        "names": names,
        "skip_blank_lines": False,
        "quoting": csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        "engine": "c",
        "encoding_errors": "backslashreplace",
    }
    done = commas = 0
    try:
        # A handle of our own: pandas takes an address or a compressed file for what it is not.
        with path.open("rb") as file:
            file.seek(layout.start)
            counted = Counted(file)
            handle = counted.buffered()
            for frame in pd.read_csv(handle, dtype=dtypes, chunksize=PIECE, **settings):
                piece = Piece(path, layout, frame, done)
                yield piece
                done += len(frame)
                commas += len(piece) * (len(names) - 1)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error
    except pd.errors.ParserError as error:
        raise _openimages_lines.odd(path, layout) or DataError(
            "no table",
            where=path,
            got=str(error).rpartition("error: ")[2].strip()[:120],
            remedy=REMEDY,
        ) from error
    except pd.errors.EmptyDataError:
        return  # a header and nothing else
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise _blame(path, layout, kind, done) from error
    # Titles, which the tables of rotation have, are quoted and hold commas.
    strange = counted.nuls or (commas != counted.commas and kind != "rotation")
    if strange and (odd := _openimages_lines.odd(path, layout)):
        raise odd


def _blame(path: Path, layout: Layout, kind: str, done: int) -> DataError:
    """The DataError about the first row that is odd, or else number that is none, from the row
    ``done`` on."""
    if odd := _openimages_lines.odd(path, layout, done + PIECE):
        return odd
    numbers = {
        place: name
        for place, name in enumerate(layout.columns)
        if _DTYPES[kind].get(name) == _NUMBER
    }
    for row, cells in enumerate(_openimages_lines.rows(path, layout)):
        for place, name in numbers.items() if cells and row >= done else ():
            try:
                float(cells[place].strip() or "nan")
            except ValueError:
                return _bad(path, layout, row, f"bad {name}", "a number", cells[place])
    return DataError("a value that cannot be read", where=path, remedy=REMEDY)


def layout_of(path: Path, kind: str) -> Layout:
    """What the columns are. Raises DataError when they are none of a file of this kind."""
    try:
        with path.open("rb") as file:
            start = file.read(2 * LINE_BYTES)
    except OSError as error:
        raise DataError(f"cannot be opened ({error.strerror})", where=path) from error
    mark = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    head, second = [*_LINE.findall(start[mark:]), b"", b""][:2]
    cells = _cells(head)
    expected = "columns " + ", ".join(_NEEDED[kind])
    if not cells or b"\0" in head or len(head) >= LINE_BYTES:
        got = f"{bytes(head[:16])!r}{guess(head)}" if head else "an empty file"
        raise DataError(
            "not a table of annotations", where=path, expected=expected, got=got, remedy=REMEDY
        )
    named: Sequence[str]
    if _ID.fullmatch(cells[0]):
        alike = next((one for one in _LAYOUTS[kind] if len(one) == len(cells)), None)
        if alike is None:
            counts = " or ".join(str(len(one)) for one in _LAYOUTS[kind])
            raise DataError(
                "a file without header, of an unknown release",
                where=path,
                expected=f"{counts} columns",
                got=len(cells),
                remedy=REMEDY,
            )
        named, first = alike, 1
    else:
        named, first = _named(cells, kind), 2
        _check_header(path, cells, named, kind)
    if missing := [name for name in _NEEDED[kind] if name not in named]:
        raise DataError(
            f"no column {', '.join(missing)}",
            where=path,
            expected=expected,
            got=ascii(", ".join(cells))[:200] + guess(head),
            remedy=REMEDY,
        )
    rows = _cells(second if first == 2 else head)
    if len(rows) > len(named):  # pandas would take the first column for an index
        raise DataError(
            "a row is not like the others",
            where=f"{path}, line {first}",
            expected=f"{len(named)} columns",
            got=len(rows),
            remedy=REMEDY,
        )
    quoted = b'"' in head + second or kind == "rotation"
    return Layout(tuple(named), first, quoted, mark + (len(head) if first == 2 else 0))


def _check_header(path: Path, cells: list[str], named: Sequence[str], kind: str) -> None:
    """Refuse a column that is there twice, and one that nobody knows in the place of a flag."""
    meant = [name for name in map(_meant, cells) if name in _COLUMNS[kind]]
    if twice := sorted({name for name in meant if meant.count(name) > 1}):
        what, expected, got = f"the column {twice[0]} is there twice", "it once", ", ".join(cells)
    else:
        unknown = [cell for cell, name in zip(cells, named, strict=True) if not name]
        flags = [name for name in _FLAGS if name in named]
        lacking = [name for name in _FLAGS if name not in named] if kind == "boxes" else []
        if not (flags and lacking and unknown):
            return
        what, expected = f"no column {', '.join(lacking)}", "all flags, or none"
        got = f"the unknown {', '.join(unknown)}"
    raise DataError(
        what, where=f"{path}, line 1", expected=expected, got=ascii(got)[:200], remedy=REMEDY
    )


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
    return next(csv.reader([text]), [])


def _named(cells: list[str], kind: str) -> list[str]:
    """Columns by their names; a needed one that is misspelt is the unknown one most like it."""
    known = _COLUMNS[kind]
    plain = list(map(_meant, cells))
    named = [
        name if name in known and name not in plain[:i] else "" for i, name in enumerate(plain)
    ]
    spellings: Mapping[str, str] = {name: name for name in known} | {
        other: name for other, name in _ALSO.items() if name in known
    }
    for i, name in enumerate(plain):
        if named[i] or name in known:
            continue
        open_ = [one for one, meant in spellings.items() if meant not in named]
        near = get_close_matches(name, open_, n=1, cutoff=0.8)
        if near and _unlike(name, near[0]):
            named[i] = spellings[near[0]]
    return named


def _meant(cell: str) -> str:
    """A column's name without case and signs, and by its usual one."""
    plain = re.sub(r"[^a-z0-9]", "", cell.lower())
    return _ALSO.get(plain, plain)


def _unlike(name: str, near: str) -> bool:
    """False where a digit or an axis makes the difference: xmin is no misspelt ymin."""
    return len(near) > 5 and re.sub(r"\D", "", name) == re.sub(r"\D", "", near)
