"""Annotations out of CSV files, joined to the pictures that there are, in the pictures' order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.readers import _openimages_csv
from dsets.readers._grouped import Grouped
from dsets.readers._openimages_csv import Piece
from dsets.readers._openimages_options import FLAGS, MID, SOURCES, Options

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
}
ABOUT = {
    "boxes": "box",
    "human_labels": "human",
    "machine_labels": "machine",
    "points": "point",
}
#: The columns of the index, by what they are about.
COLUMNS: dict[str, dict[str, str]] = {
    about: {name: t if isinstance(t, str) else t[0] for name, t in fields.items()} | {"end": "<i8"}
    for about, fields in _FIELDS.items()
}
ANSWERS = {"no": 0, "yes": 1, "unsure": -1}
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

    def read(self, kind: str, paths: Sequence[Path]) -> tuple[Columns, tuple[int, int, str]]:
        """The columns of a kind, and what speaks of pictures that are not here.

        Raises:
            DataError: a row cannot be; it names the line.
        """
        if kind == "rotation":
            return self._rotation(paths), self._lookup.absent()
        about = ABOUT[kind]
        fields = list(_FIELDS[about].items())
        dtype = np.dtype(
            [("row", "<i4")] + [(n, t) if isinstance(t, str) else (n, *t) for n, t in fields]
        )
        size = sum(path.stat().st_size if path.is_file() else 0 for path in paths)
        grouped = Grouped(dtype, self._count, size // _ROW_BYTES * dtype.itemsize, self._folder)
        try:
            for path in paths:
                for piece in _openimages_csv.pieces(path, kind):
                    rows = self._lookup.rows(piece.image)
                    records = np.empty(len(piece), dtype)
                    records["row"] = rows
                    (self._box if about == "box" else self._label)(piece, records, about)
                    grouped.add(records[rows >= 0])
            ends, columns = grouped.finish()
        finally:
            grouped.close()
        named = {f"{about}.{name}": column for name, column in columns.items()}
        return named | {f"{about}.end": ends}, self._lookup.absent()

    def _box(self, piece: Piece, records: npt.NDArray[Any], about: str) -> None:
        xmin, xmax, ymin, ymax = (
            piece.numbers(name, -SLACK, 1 + SLACK) for name in ("xmin", "xmax", "ymin", "ymax")
        )
        piece.check(xmin <= xmax, "a box that ends before it begins", "xmin up to xmax", "xmin")
        piece.check(ymin <= ymax, "a box that ends before it begins", "ymin up to ymax", "ymin")
        records["corners"] = np.clip(np.stack([xmin, ymin, xmax, ymax], 1), 0, 1)
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
        texts, codes = piece.texts("label")
        good = np.array([bool(MID.fullmatch(text)) for text in texts] + [False])
        piece.check(good[codes], "bad label", "an identifier like /m/01yrx", "label")
        words = self._vocabulary
        table = np.array([words.setdefault(text, len(words)) for text in texts] + [-1], np.int32)
        records["code"] = table[codes]
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

    def _rotation(self, paths: Sequence[Path]) -> Columns:
        degrees = np.full(self._count, np.nan, np.float32)
        for path in paths:
            for piece in _openimages_csv.pieces(path, "rotation"):
                rows = self._lookup.rows(piece.image)
                values = piece.optional("rotation")
                piece.check(
                    np.isnan(values) | (np.abs(values) <= 360),
                    "bad rotation",
                    "degrees, or nothing",
                    "rotation",
                )
                degrees[rows[rows >= 0]] = values[rows >= 0]
        return {"image.rotation": degrees}


def _sources(piece: Piece) -> npt.NDArray[np.int8]:
    texts, codes = piece.texts("source")
    table = [SOURCES.index(text) if text in SOURCES else -1 for text in texts]
    found: npt.NDArray[np.int8] = np.array([*table, -1], np.int8)[codes]
    return found
