"""Which columns a table of Open Images has: known by name and meaning, never by place.

The releases differ in which columns there are, how they are spelt (``Condidence``, ``ImageId``),
and whether a header says so. A file without a header has the columns of the release with that many.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from dsets.archive.stream import guess
from dsets.errors import DataError
from dsets.readers._openimages_lines import LINE_BYTES, REMEDY, Layout

HEAD_BYTES = 2 * LINE_BYTES  # of a table, from which its columns are told
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_ID = re.compile(r'"?[0-9a-fA-F]{16}"?')

_BOX = ("image", "source", "label", "confidence", "xmin", "xmax", "ymin", "ymax")
FLAGS = ("isoccluded", "istruncated", "isgroupof", "isdepiction", "isinside")
_CLICKS = tuple(f"xclick{i}{axis}" for axis in "xy" for i in (1, 2, 3, 4))
_LABELS = ("image", "source", "label", "confidence")
_POINT = ("image", "x", "y", "label", "answer", "source", "yesvotes", "novotes", "unsurevotes")
_IMAGE = (
    *("image", "subset", "originalurl", "originallandingurl", "license"),
    *("authorprofileurl", "author", "title", "originalsize", "originalmd5"),
    "thumbnail300kurl",
)
CORNERS = tuple(f"{side}{i}" for i in (1, 2) for side in ("xmin", "xmax", "ymin", "ymax"))
#: Kind → the columns of files without a header, by their number. The first releases' boxes to train
#: had no flags, the sixth adds clicks; points are kept with and without the words of their label.
_LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "boxes": (_BOX, _BOX + FLAGS, _BOX + FLAGS + _CLICKS),
    "human_labels": (_LABELS,),
    "machine_labels": (_LABELS,),
    "points": (_POINT, (*_POINT, "textlabel")),
    "relationships": (("image", "label1", "label2", *CORNERS, "relation"),),
    "rotation": ((*_IMAGE, "rotation"), ("image", "rotation")),
}
_COLUMNS = {
    kind: {name for layout in layouts for name in layout} for kind, layouts in _LAYOUTS.items()
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "boxes": ("image", "label", "xmin", "xmax", "ymin", "ymax"),
    "human_labels": ("image", "label", "confidence"),
    "machine_labels": ("image", "label", "confidence"),
    "points": ("image", "x", "y", "label", "answer"),
    "relationships": ("image", "label1", "label2", *CORNERS, "relation"),
    "rotation": ("image", "rotation"),
}
#: Other names of a column, without case and signs.
_ALSO = {
    "imageid": "image",
    "labelname": "label",
    "labelname1": "label1",
    "labelname2": "label2",
    "relationshiplabel": "relation",
    "relationlabel": "relation",
    "estimatedyesno": "answer",
    "occluded": "isoccluded",
    "truncated": "istruncated",
    "groupof": "isgroupof",
    "depiction": "isdepiction",
    "inside": "isinside",
}


def layout(start: bytes, kind: str, where: str) -> Layout:
    """What the columns of a table are that begins with ``start``, its first HEAD_BYTES.

    Raises:
        DataError: they are none of a file of this kind; ``where`` it is.
    """
    mark = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    head, second = [*_LINE.findall(start[mark:]), b"", b""][:2]
    cells = _cells(head)
    expected = "columns " + ", ".join(_NEEDED[kind])
    if not cells or b"\0" in head or len(head) >= LINE_BYTES:
        got = f"{bytes(head[:16])!r}{guess(head)}" if head else "an empty file"
        raise DataError(
            "not a table of annotations", where=where, expected=expected, got=got, remedy=REMEDY
        )
    named: Sequence[str]
    if _ID.fullmatch(cells[0]):
        alike = next((one for one in _LAYOUTS[kind] if len(one) == len(cells)), None)
        if alike is None:
            counts = " or ".join(str(len(one)) for one in _LAYOUTS[kind])
            raise DataError(
                "a file without header, of an unknown release",
                where=where,
                expected=f"{counts} columns",
                got=len(cells),
                remedy=REMEDY,
            )
        named, first = alike, 1
    else:
        named, first = _named(cells, kind), 2
        _check(cells, named, kind, where)
    if missing := [name for name in _NEEDED[kind] if name not in named]:
        raise DataError(
            f"no column {', '.join(missing)}",
            where=where,
            expected=expected,
            got=ascii(", ".join(cells))[:200] + guess(head),
            remedy=REMEDY,
        )
    rows = _cells(second if first == 2 else head)
    if len(rows) > len(named):  # pandas would take the first column for an index
        raise DataError(
            "a row is not like the others",
            where=f"{where}, line {first}",
            expected=f"{len(named)} columns",
            got=len(rows),
            remedy=REMEDY,
        )
    return Layout(tuple(named), first, mark + (len(head) if first == 2 else 0))


def _check(cells: list[str], named: Sequence[str], kind: str, where: str) -> None:
    """Refuse a column that is there twice, and one that nobody knows in the place of a flag."""
    meant = [name for name in map(_meant, cells) if name in _COLUMNS[kind]]
    if twice := sorted({name for name in meant if meant.count(name) > 1}):
        what, expected, got = f"the column {twice[0]} is there twice", "it once", ", ".join(cells)
    else:
        unknown = [cell for cell, name in zip(cells, named, strict=True) if not name]
        flags = [name for name in FLAGS if name in named]
        lacking = [name for name in FLAGS if name not in named] if kind == "boxes" else []
        if not (flags and lacking and unknown):
            return
        what, expected = f"no column {', '.join(lacking)}", "all flags, or none"
        got = f"the unknown {', '.join(unknown)}"
    raise DataError(
        what, where=f"{where}, line 1", expected=expected, got=ascii(got)[:200], remedy=REMEDY
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
