"""What CIFAR's archives hold: batches, and the member ``meta`` with the class names.

Both are pickled dictionaries. Of a batch: ``data`` uint8 (n, channels * height * width), in a row
one plane after the other; ``filenames``; lists of labels, called ``labels`` in CIFAR-10,
``fine_labels`` and ``coarse_labels`` in CIFAR-100.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dsets.archive import tar
from dsets.field import Field
from dsets.readers import _pickles, _rows
from dsets.readers._plain import Array, Plain

ROW_BYTES = 1024  # what a pickle may take for one row besides its pixels: labels, name, memo
META_BYTES = 1 << 16  # and for everything else


@dataclass(frozen=True, slots=True)
class Layout:
    """What a batch must hold: ``rows`` images (height, width, channels) and their labels.

    ``labels`` has for each field its key in a batch and the key of its class names in meta.
    """

    rows: int
    image: tuple[int, int, int]
    labels: tuple[tuple[Field, str, str], ...]

    @property
    def pixels(self) -> int:
        """Numbers in one image."""
        height, width, channels = self.image
        return height * width * channels

    @property
    def bytes(self) -> int:
        """What one batch may take in memory at most."""
        return self.rows * (self.pixels + ROW_BYTES) + META_BYTES

    @property
    def row_bytes(self) -> int:
        """What a pickle may take for one row at most: in protocol 2, Python 3 writes bytes as text
        in UTF-8, those above 127 as two."""
        return 2 * self.pixels + ROW_BYTES


@dataclass(frozen=True, slots=True)
class Batch:
    """``planes`` uint8 (n, channels, height, width); ``labels`` field → (n,); all read-only."""

    planes: npt.NDArray[np.uint8]
    labels: Mapping[str, npt.NDArray[Any]]
    filenames: list[str]

    @property
    def bytes(self) -> int:
        """What it takes in memory, about."""
        return self.planes.nbytes + ROW_BYTES * len(self.filenames)


def batch(layout: Layout, entry: tar.Entry, body: tar.Body) -> Batch:
    """The batch in a member of the archive.

    Raises:
        DataError: it is not what the layout says.
    """
    value = _dictionary(layout.rows * layout.row_bytes + META_BYTES, entry, body)
    data = value.get("data")
    shape = (layout.rows, layout.pixels)
    if not isinstance(data, Array):
        raise body.error("wrong 'data'", expected="an array", got=type(data).__name__)
    if (data.dtype[1:], data.shape) != ("u1", shape):
        got = f"{data.dtype} {data.shape}"
        raise body.error("wrong 'data'", expected=f"uint8 {shape}", got=got)
    height, width, channels = layout.image
    planes = data.numpy().reshape(layout.rows, channels, height, width)
    filenames = _texts("filenames", value, body)
    _count(layout, "filenames", filenames, body)
    labels = {}
    for field, key, _ in layout.labels:
        numbers = _integers(key, value, body)
        _count(layout, key, numbers, body)
        labels[field.name] = _rows.labels(body.where, field, numbers)
    return Batch(planes, labels, filenames)


def check_names(layout: Layout, entry: tar.Entry, body: tar.Body) -> None:
    """Compare the class names in the member ``meta`` with the manifest's.

    Raises:
        DataError: they differ, or the member is damaged.
    """
    value = _dictionary(META_BYTES, entry, body)
    for field, _, key in layout.labels:
        names = tuple(_texts(key, value, body))
        if field.classes and names != field.classes:
            raise body.error(
                f"class names of {field.name} differ from the manifest's",
                expected=", ".join(field.classes),
                got=", ".join(names)[:400],
            )


def _dictionary(limit: int, entry: tar.Entry, body: tar.Body) -> Mapping[str, Plain]:
    if entry.bytes > limit:
        raise body.error(
            "member is too long", expected=f"at most {limit:,} bytes", got=f"{entry.bytes:,}"
        )
    value = _pickles.loads(body.whole(), body.where)
    if not isinstance(value, dict):
        raise body.error("wrong pickle", expected="a dictionary", got=type(value).__name__)
    return value


def _count(layout: Layout, key: str, values: Any, body: tar.Body) -> None:
    if len(values) != layout.rows:
        raise body.error(f"wrong number of {key}", expected=layout.rows, got=len(values))


def _integers(key: str, value: Mapping[str, Plain], body: tar.Body) -> npt.NDArray[np.int64]:
    numbers = value.get(key)
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise body.error(f"wrong {key!r}", expected="a list of integers")
    return np.array(numbers, np.int64)  # the pickle machine reads none longer than 8 bytes


def _texts(key: str, value: Mapping[str, Plain], body: tar.Body) -> list[str]:
    """Strings as Python 2 (bytes) or Python 3 (str) pickled them."""
    texts = value.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, bytes | str) for text in texts):
        raise body.error(f"wrong {key!r}", expected="a list of strings")
    decoded = [text.decode("latin-1") if isinstance(text, bytes) else text for text in texts]
    return cast("list[str]", decoded)
