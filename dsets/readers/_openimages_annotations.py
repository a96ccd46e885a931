"""Annotations out of CSV files, joined to the pictures that there are, in the pictures' order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.readers import _openimages_csv
from dsets.readers._grouped import Grouped
from dsets.readers._openimages_options import FLAGS, MID, SOURCES, Options
from dsets.readers._openimages_piece import Piece
from dsets.readers._openimages_table import Table

#: Fractions of a side may leave the picture by what rounding does.
SLACK = 1e-3
_LABELS = {"code": "<i4", "confidence": "<f4", "source": "|i1"}
_FIELDS: dict[str, dict[str, Any]] = {
    "box": {
        "corners": ("<f4", (4,)),
        "label": "<i2",
        "confidence": "<f4",
        "flags": "<u2",
        "source": "|i1",
    },
    "human": _LABELS,
    "machine": _LABELS,
    "point": {"place": ("<f4", (2,)), "code": "<i4", "answer": "|i1"},
    "relation": {"corners": ("<f4", (2, 4)), "codes": ("<i4", (2,)), "name": "<i4"},
}
ABOUT = {
    "boxes": "box",
    "human_labels": "human",
    "machine_labels": "machine",
    "points": "point",
    "relationships": "relation",
}
#: The columns of the index, by what they are about.
COLUMNS: dict[str, dict[str, str]] = {
    about: {name: t if isinstance(t, str) else t[0] for name, t in fields.items()} | {"end": "<i8"}
    for about, fields in _FIELDS.items()
}
ANSWERS = {"no": 0, "yes": 1, "unsure": -1}
_TWICE = "a picture that is there twice, with another rotation"
_RELATION = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,31}")
_ROW_BYTES = 50  # of a CSV, at least

Columns = dict[str, npt.NDArray[Any]]


class Lookup:
    """Ids → rows of the pictures, and what is known of ids that are none."""

    def __init__(self, ids: npt.NDArray[np.uint64]) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        self._absent: list[npt.NDArray[np.uint64]] = []
        self._rows = 0

    def rows(self, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """int64 (n,): the row of each picture, or -1."""
        place = np.searchsorted(self._sorted, ids)
        place[place == len(self._sorted)] = 0
        there = self._sorted[place] == ids
        if not there.all():
            strange = ids[~there]
            self._rows += len(strange)
            self._absent.append(np.unique(strange))
        return np.where(there, self._order[place], -1)

    def absent(self) -> tuple[int, int, str]:
        """How many rows were of pictures that are not there, of how many pictures, and one of
        these; then forgets them."""
        found = np.unique(np.concatenate(self._absent)) if self._absent else np.empty(0, np.uint64)
        first = f"{int(found[0]):016x}" if len(found) else ""
        rows, self._rows, self._absent = self._rows, 0, []
        return rows, len(found), first


class Joined:
    """Reads kinds of annotations of the pictures ``ids``; codes of labels go to ``vocabulary``."""

    def __init__(
        self,
        ids: npt.NDArray[np.uint64],
        options: Options,
        vocabulary: dict[str, int],
        folder: Path | None,
    ) -> None:
        self._lookup = Lookup(ids)
        self._count = len(ids)
        self._mids = options.mids
        self._vocabulary = vocabulary
        self._folder = folder

    def read(self, kind: str, tables: Sequence[Table]) -> tuple[Columns, tuple[int, int, str]]:
        """The columns of a kind, and what speaks of pictures that are not here.

        Raises:
            DataError: a row cannot be; it names the line.
        """
        if kind == "rotation":
            return self._rotation(tables), self._lookup.absent()
        about = ABOUT[kind]
        fields = list(_FIELDS[about].items())
        dtype = np.dtype(
            [("row", "<i4")] + [(n, t) if isinstance(t, str) else (n, *t) for n, t in fields]
        )
        size = sum(table.size for table in tables)
        take = {"box": self._box, "relation": self._relation}.get(about, self._label)
        grouped = Grouped(dtype, self._count, size // _ROW_BYTES * dtype.itemsize, self._folder)
        try:
            for table in tables:
                with closing(_openimages_csv.pieces(table, kind)) as pieces:
                    for piece in pieces:
                        rows = self._lookup.rows(piece.image)
                        records = np.empty(len(piece), dtype)
                        records["row"] = rows
                        take(piece, records, about)
                        grouped.add(records[rows >= 0])
            ends, columns = grouped.finish()
        finally:
            grouped.close()
        named = {f"{about}.{name}": column for name, column in columns.items()}
        return named | {f"{about}.end": ends}, self._lookup.absent()

    def _box(self, piece: Piece, records: npt.NDArray[Any], about: str) -> None:
        records["corners"] = _corners(piece, "")
        texts, codes = piece.texts("label")
        labels = np.array([self._mids.get(text, -1) for text in texts] + [-1], np.int64)[codes]
        piece.check(
            labels >= 0, "a box of a class that is none", f"one of {len(self._mids)}", "label"
        )
        records["label"] = labels
        records["confidence"] = (
            piece.numbers("confidence", 0, 1) if "confidence" in piece else np.float32(1)
        )
        flags = np.zeros(len(piece), np.uint16)
        for place, name in enumerate(FLAGS):
            flags |= piece.flags("is" + name.replace("_", "")) << (2 * place)
        records["flags"] = flags
        records["source"] = _sources(piece)

    def _label(self, piece: Piece, records: npt.NDArray[Any], about: str) -> None:
        records["code"] = self._codes(piece, "label", MID, "an identifier like /m/01yrx")
        if about == "point":
            x, y = (piece.numbers(name, -SLACK, 1 + SLACK) for name in "xy")
            records["place"] = np.clip(np.stack([x, y], 1), 0, 1)
            answers, codes = piece.texts("answer")
            said = np.array([ANSWERS.get(text.lower(), 9) for text in answers] + [9], np.int8)
            piece.check(said[codes] != 9, "bad answer", ", ".join(ANSWERS), "answer")
            records["answer"] = said[codes]
        else:
            records["confidence"] = piece.numbers("confidence", 0, 1)
            records["source"] = _sources(piece)

    def _relation(self, piece: Piece, records: npt.NDArray[Any], about: str) -> None:
        records["corners"] = np.stack([_corners(piece, "1"), _corners(piece, "2")], 1)
        for place, name in enumerate(("label1", "label2")):
            codes = self._codes(piece, name, MID, "an identifier like /m/01yrx")
            records["codes"][:, place] = codes
        records["name"] = self._codes(piece, "relation", _RELATION, "a word like holds")

    def _codes(
        self, piece: Piece, name: str, shape: re.Pattern[str], expected: str
    ) -> npt.NDArray[np.int32]:
        """int32 (n,): the numbers in the vocabulary of a column's texts, which have this shape."""
        texts, codes = piece.texts(name)
        good = np.array([bool(shape.fullmatch(text)) for text in texts] + [False])
        piece.check(good[codes], f"bad {name}", expected, name)
        words = self._vocabulary
        table = np.array([words.setdefault(text, len(words)) for text in texts] + [-1], np.int32)
        found: npt.NDArray[np.int32] = table[codes]
        return found

    def _rotation(self, tables: Sequence[Table]) -> Columns:
        degrees = np.full(self._count, np.nan, np.float32)
        told = np.zeros(self._count, np.bool_)
        for table in tables:
            with closing(_openimages_csv.pieces(table, "rotation")) as pieces:
                for piece in pieces:
                    self._turned(piece, degrees, told)
        return {"image.rotation": degrees}

    def _turned(
        self, piece: Piece, degrees: npt.NDArray[np.float32], told: npt.NDArray[np.bool_]
    ) -> None:
        rows = self._lookup.rows(piece.image)
        values = piece.optional("rotation")
        piece.check(
            np.isnan(values) | (np.abs(values) <= 360),
            "bad rotation",
            "degrees, or nothing",
            "rotation",
        )
        # A picture may be told of twice, in the same words: the first row of each counts.
        here = np.flatnonzero(rows >= 0)
        ones, first = np.unique(rows[here], return_index=True)
        fresh = ~told[ones]
        degrees[ones[fresh]] = values[here[first[fresh]]]
        told[ones] = True
        same = (rows < 0) | (degrees[rows] == values)
        same |= np.isnan(degrees[rows]) & np.isnan(values)
        piece.check(same, _TWICE, "each picture once, or with one rotation", "rotation")


def _corners(piece: Piece, number: str) -> npt.NDArray[np.float32]:
    """float32 (n, 4): xmin, ymin, xmax, ymax of the columns with this number."""
    xmin, xmax, ymin, ymax = (
        piece.numbers(name + number, -SLACK, 1 + SLACK) for name in ("xmin", "xmax", "ymin", "ymax")
    )
    what = "a box that ends before it begins"
    piece.check(xmin <= xmax, what, f"xmin{number} up to xmax{number}", f"xmin{number}")
    piece.check(ymin <= ymax, what, f"ymin{number} up to ymax{number}", f"ymin{number}")
    found: npt.NDArray[np.float32] = np.clip(np.stack([xmin, ymin, xmax, ymax], 1), 0, 1)
    return found


def _sources(piece: Piece) -> npt.NDArray[np.int8]:
    texts, codes = piece.texts("source")
    table = [SOURCES.index(text) if text in SOURCES else -1 for text in texts]
    found: npt.NDArray[np.int8] = np.array([*table, -1], np.int8)[codes]
    return found
