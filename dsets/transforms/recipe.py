"""A recipe: the transforms of a stream, checked against the pack's fields and put in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError
from dsets.field import Field
from dsets.numbers import written
from dsets.transforms.crop import CentreCrop, Crop
from dsets.transforms.flip import Flip
from dsets.transforms.lighting import Lighting
from dsets.transforms.pad_crop import PadCrop
from dsets.transforms.random import Draws
from dsets.transforms.random_resized_crop import RandomResizedCrop
from dsets.transforms.subtract_mean import Normal, SubtractMean
from dsets.transforms.ten_crop import CROPS, TenCrop
from dsets.transforms.view import Views

#: The field that the built-in transforms work on.
IMAGE = "image"

#: From a batch to fields: it may change, add and leave out, but keeps the number of rows.
Function = Callable[[Any], Mapping[str, Any]]
OneCrop = PadCrop | Crop | CentreCrop | RandomResizedCrop | TenCrop
Geometry = OneCrop | Flip
Transform = Geometry | Lighting | Normal | Function
#: Pixels: one for all samples, or int64 (n,), one for each.
Side = int | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """First geometry, fused with the normalisation; then the user's functions, in order."""

    geometry: tuple[Geometry, ...] = ()
    normal: Normal | None = None
    functions: tuple[Function, ...] = ()
    lighting: Lighting | None = None

    @property
    def crops(self) -> int:
        """How often each image is shown."""
        return CROPS if any(isinstance(one, TenCrop) for one in self.geometry) else 1

    @property
    def resizes(self) -> bool:
        """True when boxes are resized."""
        return any(isinstance(one, RandomResizedCrop) for one in self.geometry)

    @property
    def pads(self) -> bool:
        """True when views may show what lies beyond the image."""
        return any(isinstance(one, PadCrop) for one in self.geometry)

    def window(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what is shown of images of ``size`` (height, width)."""
        for transform in self.geometry:
            if not isinstance(transform, PadCrop | Flip):
                return transform.size
        return size

    def choose(self, size: tuple[Side, Side], draws: Draws) -> Views:
        """The views of the drawn samples, of images of ``size`` (height, width); with a crop, that
        may be one size each."""
        views = Views(cast("tuple[int, int]", size))  # until there is a crop
        for transform in self.geometry:
            views = transform.choose(views, draws)
        if self.lighting and self.normal:
            views = replace(views, bias=self.normal.shifted(self.lighting.shifts(draws)))
        return views


def parse(transforms: Sequence[Transform], fields: Sequence[Field]) -> Recipe:
    """The recipe of these transforms for a pack with these fields.

    Raises:
        UsageError: not a transform, an order that cannot be fused, no image of fixed size.
    """
    if not isinstance(transforms, Sequence):
        raise UsageError("bad transform", expected="a list of transforms", got=written(transforms))
    recipe = Recipe()
    for transform in transforms:
        recipe = _with(recipe, transform)
    _check_together(recipe)
    if recipe.geometry or recipe.normal:
        _check_image(recipe, fields)
        _check_range(recipe, fields)
    return recipe


def _with(recipe: Recipe, transform: Transform) -> Recipe:
    geometry, normal, functions = recipe.geometry, recipe.normal, recipe.functions
    if isinstance(transform, Geometry | Lighting | Normal):
        kind = type(transform)
        if functions:
            raise UsageError(
                f"{kind.__name__} comes after a function",
                where="transform",
                expected="crop, Flip, Lighting, Normalise first, then functions",
            )
        crops = {type(other) for other in geometry} - {Flip, kind}
        if crops and issubclass(kind, OneCrop):
            raise UsageError(
                f"{kind.__name__} comes after another crop", where="transform", expected="one crop"
            )
        taken = {*map(type, geometry), *([Lighting] if recipe.lighting else [])}
        if normal or kind in taken:
            after = f"after {type(normal).__name__}" if normal else "twice"
            raise UsageError(
                f"{kind.__name__} comes {after}",
                where="transform",
                expected="each at most once, Normalise or SubtractMean last of them",
            )
        if isinstance(transform, Lighting):
            return replace(recipe, lighting=transform)
        if isinstance(transform, Normal):
            return replace(recipe, normal=transform)
        return replace(recipe, geometry=(*geometry, transform))
    if not callable(transform) or isinstance(transform, type):
        raise UsageError(
            "not a transform",
            where="transform",
            expected="Crop(…), Flip(), Normalise(…) …, or a function from a batch to a mapping",
            got=written(transform),
        )
    return replace(recipe, functions=(*functions, transform))


def _check_together(recipe: Recipe) -> None:
    kinds = {type(one) for one in recipe.geometry}
    if recipe.lighting and not recipe.normal:
        raise UsageError(
            "Lighting gives floats",
            where="transform",
            expected="Normalise or SubtractMean after it",
            remedy="Normalise with means of 0 and deviations of 1 changes nothing but the type",
        )
    if RandomResizedCrop in kinds and isinstance(recipe.normal, SubtractMean):
        raise UsageError(
            "a mean image does not fit boxes that are resized",
            where="transform",
            expected="Crop, CentreCrop, PadCrop or TenCrop with SubtractMean",
            remedy="after RandomResizedCrop subtract channel means: Normalise.of(pack)",
        )
    if TenCrop in kinds and (recipe.lighting or Flip in kinds):
        raise UsageError(
            "TenCrop is for testing",
            where="transform",
            expected="no Flip and no Lighting beside it",
        )


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
    height, width, channels = found[0].shape
    window = recipe.window((height or 0, width or 0))
    if not recipe.resizes and (window[0] > (height or 0) or window[1] > (width or 0)):
        raise UsageError(
            "the crop is larger than the image",
            where="transform",
            expected=f"at most {height} by {width} pixels, as in {found[0]}",
            got=f"{window[0]} by {window[1]}",
        )
    if recipe.resizes and (channels not in (1, 3) or found[0].dtype != "uint8"):
        raise UsageError(
            "RandomResizedCrop does not fit the image",
            where="transform",
            expected="uint8 of 1 or 3 channels",
            got=found[0],
        )
    mean = recipe.normal.image.shape if isinstance(recipe.normal, SubtractMean) else None
    if mean is not None and mean != found[0].shape:
        raise UsageError(
            "SubtractMean does not fit the image",
            where="transform",
            expected=f"a mean image of {found[0].shape}, as in {found[0]}",
            got=mean,
        )
    _check_channels(recipe, channels, found[0])


def _check_range(recipe: Recipe, fields: Sequence[Field]) -> None:
    """No pixel may become an infinity; of other types than uint8 only a pixel of 0 is asked."""
    normal, lighting = recipe.normal, recipe.lighting
    if normal is None:
        return
    most = 255.0 if any(one.name == IMAGE and one.dtype == "uint8" for one in fields) else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        shift = lighting.largest if lighting else np.zeros(len(normal.mean))
        field = 0.0 if normal.field is None else normal.field.astype(np.float64)
        ends = [
            np.asarray(field + np.reshape(normal.shifted(move) + scaled, (-1, 1, 1))).astype(dtype)
            for dtype in ("float32", normal.dtype)
            for move in (-shift, shift)
            for scaled in (0.0, most * normal.scale.astype(np.float64))
        ]
    if not all(np.isfinite(end).all() for end in ends):
        raise UsageError(
            f"the transform makes infinities in {normal.dtype}",
            where="transform",
            expected=f"at most {np.finfo(normal.dtype).max:g} of every pixel",
            got=", ".join(type(one).__name__ for one in (lighting, normal) if one),
            remedy="numbers like those of pixels; variances of pixels in 0 to 1",
        )


def _check_channels(recipe: Recipe, channels: int | None, field: Field) -> None:
    if recipe.lighting and channels == 1:
        raise UsageError(
            "Lighting shifts colours, and these images are gray",
            where="transform",
            expected="images of 3 channels",
            got=field,
            remedy="leave Lighting out (in a training recipe: images.lighting = 0)",
        )
    if recipe.lighting and len(recipe.lighting.values) != channels:
        raise UsageError(
            "Lighting does not fit the image",
            where="transform",
            expected=f"{channels} channels, as in {field}",
            got=len(recipe.lighting.values),
        )
    if recipe.normal and len(recipe.normal.mean) != channels:
        raise UsageError(
            "Normalise does not fit the image",
            where="transform",
            expected=f"{channels} channels, as in {field}",
            got=len(recipe.normal.mean),
        )
