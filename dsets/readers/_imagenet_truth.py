"""The labels of pictures that are called by a number only, as they were published.

The development kit has one line a picture with its ILSVRC id, in the order of the numbers; Kaggle
one line a picture with its name, then the wnid and a box for each object.
"""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from dsets.archive import tar, zipindex
from dsets.archive.blobs import Blobs
from dsets.archive.stream import CHUNK_BYTES, Stream
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import _imagenet_names, _rows
from dsets.readers._imagenet_options import Options

LIMIT_BYTES = 256 << 20  # of a development kit, inflated
TEXT_BYTES = 64 << 20
_MEMBER = "_validation_ground_truth.txt"
_TEST = "_test_ground_truth.txt"
_SOLUTION = "LOC_val_solution.csv"
_ZIP = b"PK\3\4"
_HEADER = ["ImageId", "PredictionString"]


def labels(
    source: Source, options: Options, stem: str, numbers: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The class index of each of the pictures ``stem`` + number, from the split's truth.

    Raises:
        DataError: the file is not what it should be, or says nothing of a picture.
    """
    kind, name = options.truth or ("", "")
    of = "test" if name.endswith(_TEST) else "val"
    if f"_{of}_" not in stem:
        pictures = {"val": "validation", "test": "test"}[of]
        raise DataError(
            f"the option {kind} has the labels of {pictures} pictures",
            where=source.path(options.images),
            expected=f"ILSVRC…_{of}_….JPEG",
            got=f"{stem}….JPEG",
        )
    with _rows.open_raw(source, name, LIMIT_BYTES) as stream:
        if kind == "truth":
            known = ground_truth(stream, options.ids)
        else:
            known = solution(stream, options.classes, stem)
        found = np.full(len(numbers), -1, np.int64)
        inside = (numbers >= 0) & (numbers < len(known))
        found[inside] = known[numbers[inside]]
        if (missing := np.flatnonzero(found < 0)).size:
            picture = _imagenet_names.key("", stem, int(numbers[missing[0]]))
            raise stream.error(f"no label for {picture} ({missing.size} such pictures)")
    return found


def ground_truth(stream: Stream, ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """Class index by number, of a development kit or its text; there is no number 0.

    ``ids`` are the ILSVRC ids by class index. Raises DataError.
    """
    label = {number: index for index, number in enumerate(ids)}
    known = [-1]
    for number, line in zip(count(1), _text(stream).split(), strict=False):
        known.append(label.get(int(line) if line.isdigit() and len(line) < 10 else 0, -1))
        if known[-1] < 0:
            expected = f"an ILSVRC id, 1 to {max(ids)}"
            raise stream.error(f"bad line {number}", expected=expected, got=repr(line[:40]))
    return np.array(known, np.int64)


def solution(stream: Stream, classes: Sequence[str], stem: str) -> npt.NDArray[np.int64]:
    """Class index by number, -1 where there is none, of Kaggle's table. Raises DataError."""
    label: Mapping[str, int] = {wnid: index for index, wnid in enumerate(classes)}
    rows = csv.reader(io.StringIO(_text(stream)), strict=True)
    known: dict[int, int] = {}
    try:
        if next(rows, None) != _HEADER:
            raise stream.error("not Kaggle's solution", expected=",".join(_HEADER))
        for row in rows:
            name = _imagenet_names.parsed(f"{row[0]}.JPEG") if len(row) == 2 else None
            wnid = row[1].partition(" ")[0] if name else ""
            if name is None or name.stem != stem or wnid not in label or name.number in known:
                expected = f"{stem}… once,wnid x y x y …"
                raise stream.error(
                    f"bad line {rows.line_num}", expected=expected, got=f"{row!r:.80}"
                )
            known[name.number] = label[wnid]
    except csv.Error as error:
        raise stream.error(f"bad line {rows.line_num} ({error})") from error
    table = np.full(max(known, default=0) + 1, -1, np.int64)
    table[list(known)] = list(known.values())
    return table


def _text(stream: Stream) -> str:
    """The text: the one member of an archive that is called so, or the file itself."""
    data = None
    if stream.peek(len(_ZIP)) == _ZIP:
        data = _zipped(stream)
    elif tar.looks_like(stream.peek(tar.BLOCK_BYTES)):
        for entry, body in tar.walk(stream):
            if entry.name.endswith(_MEMBER):
                if data is not None or entry.bytes > TEXT_BYTES:
                    raise body.error("twice, or too long", expected=f"{TEXT_BYTES:,} bytes, once")
                data = bytes(body.whole())
        if data is None:
            raise stream.error("no ground truth in the archive", expected=f"…{_MEMBER}")
    else:
        stream.limit = TEXT_BYTES
        pieces = []
        while piece := stream.read(CHUNK_BYTES):
            pieces.append(piece)
        data = b"".join(pieces)
    try:
        return data.removeprefix(BOM_UTF8).decode("ascii")  # which spreadsheets put before tables
    except UnicodeDecodeError as error:
        raise stream.error("not plain text") from error


def _zipped(stream: Stream) -> bytes:
    """Kaggle's table out of Kaggle's zip."""
    members = zipindex.members(stream.path, remedy=stream.remedy)
    found = [name for name in members if name.rpartition("/")[2] == _SOLUTION]
    if len(found) != 1:
        raise stream.error("no labels in the zip", expected=f"{_SOLUTION}, once", got=len(found))
    with Blobs(stream.path, stream.remedy) as blobs:
        return bytes(zipindex.read(blobs, found[0], members[found[0]], TEXT_BYTES))
