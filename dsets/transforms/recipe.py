"""A recipe: the transforms of a stream, checked against the pack's fields and put in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError
from dsets.field import Field
from dsets.transforms.crop import CentreCrop, Crop
from dsets.transforms.flip import Flip
from dsets.transforms.normalise import Normalise
from dsets.transforms.pad_crop import PadCrop
from dsets.transforms.random import Draws
from dsets.transforms.random_resized_crop import RandomResizedCrop
from dsets.transforms.view import Views

#: The field that the built-in transforms work on.
IMAGE = "image"

#: From a batch to fields: it may change, add and leave out, but keeps the number of rows.
Function = Callable[[Any], Mapping[str, Any]]
Geometry = PadCrop | Crop | CentreCrop | RandomResizedCrop | Flip
Transform = Geometry | Normalise | Function
#: Pixels: one for all samples, or int64 (n,), one for each.
Side = int | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """First geometry, fused with the normalisation; then the user's functions, in order."""

    geometry: tuple[Geometry, ...] = ()
    normal: Normalise | None = None
    functions: tuple[Function, ...] = ()

    def window(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what is shown of images of ``size`` (height, width)."""
        for transform in self.geometry:
            if isinstance(transform, Crop | CentreCrop | RandomResizedCrop):
                return transform.size
        return size

    def choose(self, size: tuple[Side, Side], draws: Draws) -> Views:
        """The views of the drawn samples, of images of ``size`` (height, width); with a crop, that
        may be one size each."""
        views = Views(cast("tuple[int, int]", size))  # until there is a crop
        for transform in self.geometry:
            views = transform.choose(views, draws)
        return views


def parse(transforms: Sequence[Transform], fields: Sequence[Field]) -> Recipe:
    """The recipe of these transforms for a pack with these fields.

    Raises:
        UsageError: not a transform, an order that cannot be fused, no image of fixed size.
    """
    if not isinstance(transforms, Sequence):
        raise UsageError("bad transform", expected="a list of transforms", got=repr(transforms))
    recipe = Recipe()
    for transform in transforms:
        recipe = _with(recipe, transform)
    if recipe.geometry or recipe.normal:
        _check_image(recipe, fields)
    return recipe


def _with(recipe: Recipe, transform: Transform) -> Recipe:
    geometry, normal, functions = recipe.geometry, recipe.normal, recipe.functions
    if isinstance(transform, Geometry | Normalise):
        kind = type(transform)
        if functions:
            raise UsageError(
                f"{kind.__name__} comes after a function",
                where="transform",
                expected="crop, Flip, Normalise first, then functions",
            )
        crops = {type(other) for other in geometry} - {Flip, kind}
        if crops and kind is not Flip and issubclass(kind, Geometry):
            raise UsageError(
                f"{kind.__name__} comes after another crop", where="transform", expected="one crop"
            )
        if normal or any(type(other) is kind for other in geometry):
            raise UsageError(
                f"{kind.__name__} comes {'after Normalise' if normal else 'twice'}",
                where="transform",
                expected="each at most once, Normalise last of them",
            )
        if isinstance(transform, Normalise):
            return Recipe(geometry, transform, functions)
        return Recipe((*geometry, transform), normal, functions)
    if not callable(transform) or isinstance(transform, type):
        raise UsageError(
            "not a transform",
            where="transform",
            expected="Crop(…), Flip(), Normalise(…) …, or a function from a batch to a mapping",
            got=repr(transform),
        )
    return Recipe(geometry, normal, (*functions, transform))


def _check_image(recipe: Recipe, fields: Sequence[Field]) -> None:
    found = [field for field in fields if field.name == IMAGE]
    if found and found[0].encoded:  # its images' sizes are their own; decoded, they are RGB
        _check_channels(recipe, 3, found[0])
        return
    if not found or not found[0].fixed or len(found[0].shape) != 3:
        raise UsageError(
            "the pack has no image to transform",
            where="transform",
            expected=f"a field {IMAGE!r} of fixed height, width, channels, or of encoded bytes",
            got=", ".join(map(str, fields)) or "no fields",
        )
    if any(isinstance(transform, RandomResizedCrop) for transform in recipe.geometry):
        raise UsageError(
            "RandomResizedCrop takes encoded images as yet",
            where="transform",
            expected=f"a field {IMAGE!r} of encoded bytes",
            got=found[0],
        )
    height, width, channels = found[0].shape
    window = recipe.window((height or 0, width or 0))
    if window[0] > (height or 0) or window[1] > (width or 0):
        raise UsageError(
            "the crop is larger than the image",
            where="transform",
            expected=f"at most {height} by {width} pixels, as in {found[0]}",
            got=f"{window[0]} by {window[1]}",
        )
    _check_channels(recipe, channels, found[0])


def _check_channels(recipe: Recipe, channels: int | None, field: Field) -> None:
    if recipe.normal and len(recipe.normal.mean) != channels:
        raise UsageError(
            "Normalise does not fit the image",
            where="transform",
            expected=f"{channels} channels, as in {field}",
            got=len(recipe.normal.mean),
        )
