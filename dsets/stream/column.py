"""How a stream gathers each field of a pack."""

from __future__ import annotations

from typing import cast

import numpy as np

from dsets import codecs
from dsets.errors import DataError, StreamError
from dsets.field import Field
from dsets.stream.gather import Column, Strings, Varying
from dsets.stream.substitutes import MOST, Substitutes
from dsets.transforms.encoded import Encoded
from dsets.transforms.kernel import Images, Kernel
from dsets.transforms.recipe import IMAGE, Recipe

Source = Column | Kernel | Encoded | Varying


def column_of(field: Field, recipe: Recipe, substitutes: Substitutes) -> Source | None:
    """How to gather a field: plainly, as images, encoded or not, or, for varying sizes, one by one
    (None).

    Raises:
        StreamError: encoded images are to keep their size, and none of them can be read.
    """
    pack = substitutes.pack
    changed = field.name == IMAGE and (recipe.geometry or recipe.normal)
    if changed and field.encoded:
        strings = Strings(pack.reserved(IMAGE), pack.reserved(f"offsets/{IMAGE}"), pack.starts)
        if recipe.window((0, 0)) != (0, 0):
            return Encoded(strings, recipe, name=substitutes.name)
        size = _whole_size(strings, substitutes)
        return Encoded(strings, recipe, size=size, name=substitutes.name)
    if not field.fixed:
        inner = tuple(size for size in field.shape[1:] if size is not None)
        if field.shape[0] is not None or len(inner) + 1 != len(field.shape):
            return None
        bounds = pack.reserved(f"offsets/{field.name}")
        return Varying(field.name, pack.reserved(field.name), bounds, pack.starts, inner)
    column = Column(pack.reserved(field.name), pack.starts)
    if not changed and field.layout == "HWC":
        return column
    shape = cast("tuple[int, int, int]", field.shape)  # the sizes are fixed
    images = Images(column, shape, field.layout == "CHW")
    if field.name != IMAGE:
        return Kernel(images, None)
    return Kernel(images, recipe.normal, recipe.window(shape[:2]), recipe.crops)


def _whole_size(strings: Strings, substitutes: Substitutes) -> tuple[int, int]:
    """Height and width of the pack's first image that can be read."""
    pack, readable = substitutes.pack, substitutes.readable
    faults = readable.faults
    for number in range(min(len(pack), MOST)):
        index = np.array([number])
        with pack.holding(index):
            try:
                if not readable.bad(index, substitutes.verify).any():
                    return codecs.size_of(strings.get(number))
            except DataError:  # told where a batch meets it
                readable.whole(faults, index)
    raise StreamError("no image can be read", where=pack.path, remedy=pack.remedy)
