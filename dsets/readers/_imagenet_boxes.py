"""Bounding boxes: one small XML file a picture, as PASCAL VOC writes them, in a tar.

The XML comes from strangers. A document type, and with it every entity, is refused; elements are
not built into a tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from dsets.archive import tar
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import _rows

LIMIT_BYTES = 8 << 30  # of the archives, inflated; the training pictures' have about 1 GB
XML_BYTES = 1 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")

Boxes = npt.NDArray[np.float32]


def read(source: Source, name: str) -> Iterator[tuple[str, Boxes | DataError]]:
    """Each annotated picture's key and its boxes, float32 (n, 4), in the archive's order; of an
    annotation that is damaged or hostile, what is wrong with it.

    Raises:
        DataError: the archive as a whole is.
    """
    with _rows.open_raw(source, name, LIMIT_BYTES) as stream:
        for entry, body in tar.walk(stream):
            path = PurePosixPath(entry.name)
            if path.suffix != ".xml" or path.name.startswith("."):
                continue
            if entry.bytes > XML_BYTES:
                long = body.error("annotation too long", expected=f"at most {XML_BYTES:,} bytes")
                yield path.stem, long
                continue
            data = bytes(body.whole())
            try:
                found: Boxes | DataError = _parsed(data)
            except ValueError as error:
                found = body.error("bad annotation", got=str(error)[:120])
            yield path.stem, found


def _parsed(data: bytes) -> Boxes:
    """The boxes of an annotation. Raises ValueError."""
    boxes: list[list[float]] = []
    corners: dict[str, str] = {}
    inside: list[str] = []

    def begin(name: str, attributes: object) -> None:
        inside.append(name)
        if name == "bndbox":
            corners.clear()

    def text(value: str) -> None:
        if inside[-1] in _CORNERS:
            corners[inside[-1]] = corners.get(inside[-1], "") + value

    def end(name: str) -> None:
        inside.pop()
        if name == "bndbox":
            if sorted(corners) != sorted(_CORNERS):
                raise ValueError(f"a box with {', '.join(corners) or 'nothing'}")
            boxes.append([float(corners[corner]) for corner in _CORNERS])

    def refuse(*declaration: object) -> None:
        raise ValueError("a document type declaration")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.CharacterDataHandler = text
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    found = np.array(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(found).all():
        raise ValueError("a corner that is no number")
    return found
