"""What a model sees of a pack's images: cut, mirrored, lit and scaled by the transforms we have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsets.errors import UsageError
from dsets.train.bounds import check
from dsets.transforms import (
    CentreCrop,
    Crop,
    Flip,
    Lighting,
    Normalise,
    PadCrop,
    RandomResizedCrop,
    SubtractMean,
    TenCrop,
)

if TYPE_CHECKING:
    from dsets.field import Field
    from dsets.pack import Pack
    from dsets.transforms.recipe import Transform

CROPS = ("none", "pad", "random", "resized")
SUBTRACT = ("standardise", "mean", "mean-image")


@dataclass(frozen=True, slots=True)
class Images:
    """``crop`` is what training sees, and in brackets what evaluation does:

    none     the whole image (the same)
    pad      a window of the image's size after ``padding`` zeros around it (the whole image)
    random   a window of ``size`` pixels a side, anywhere (the central one)
    resized  a box of random area, at least ``area`` of the image's, and of an aspect ratio from 3/4
             to 4/3, resized to ``size`` (the central window; Szegedy et al. 2014, section 6)

    ``flip`` mirrors every other image, ``lighting`` is the standard deviation of the shifts along
    the principal colours (Krizhevsky et al. 2012, section 4.1; 0 for none). Then ``subtract``
    takes the training pack's mean image away, its channel means ("mean"), or these and divides by
    its deviations ("standardise"). ``ten_crop`` says that ``dsets evaluate`` averages over ten
    windows unless told otherwise.

    Raises:
        UsageError: a value that cannot be meant.
    """

    crop: str = "none"
    size: int = 0
    padding: int = 0
    area: float = 0.08
    flip: bool = False
    lighting: float = 0.0
    subtract: str = "standardise"
    ten_crop: bool = False

    def __post_init__(self) -> None:
        for name, value, known in (
            ("crop", self.crop, CROPS),
            ("subtract", self.subtract, SUBTRACT),
        ):
            if value not in known:
                raise UsageError(
                    f"no such {name}",
                    where="recipe",
                    expected=f"one of {', '.join(known)}",
                    got=repr(value),
                )
        _check_of_crop("size", self.size, 10**5, self.crop, ("random", "resized"))
        _check_of_crop("padding", self.padding, 1000, self.crop, ("pad",))
        check("area", self.area, 1e-6, 1)
        check("lighting", self.lighting, 0, 100)

    def shape(self, stored: Field) -> tuple[int, int, int]:
        """Height, width, channels of what the model sees of a field of images; 0 where that differs
        from image to image. Encoded images come out red, green, blue."""
        height, width, channels = (None, None, 3) if stored.encoded else stored.shape
        if self.size:
            return (self.size, self.size, channels or 0)
        return (height or 0, width or 0, channels or 0)

    def training(self, pack: Pack) -> list[Transform]:
        """The transforms of the training pack. Raises UsageError where it has no statistics."""
        chosen: list[Transform] = []
        if self.crop == "pad":
            chosen.append(PadCrop(self.padding))
        elif self.crop == "random":
            chosen.append(Crop(self.size))
        elif self.crop == "resized":
            chosen.append(RandomResizedCrop(self.size, (self.area, 1.0)))
        if self.flip:
            chosen.append(Flip())
        if self.lighting:
            chosen.append(Lighting.of(pack, self.lighting))
        return [*chosen, self._subtracting(pack)]

    def evaluation(self, pack: Pack, size: int = 0) -> list[Transform]:
        """The transforms of any other split; ``pack`` is the training pack.

        With a ``size`` they are ten windows of so many pixels a side.
        """
        if size:
            return [TenCrop(size), self._subtracting(pack)]
        centre: list[Transform] = [CentreCrop(self.size)] if self.size else []
        return [*centre, self._subtracting(pack)]

    def _subtracting(self, pack: Pack) -> Normalise | SubtractMean:
        if self.subtract == "mean-image":
            return SubtractMean.of(pack)
        normalise = Normalise.of(pack)
        if self.subtract == "mean":
            return Normalise(normalise.mean, (1.0,) * len(normalise.mean))
        return normalise


def _check_of_crop(name: str, value: int, most: int, crop: str, needing: tuple[str, ...]) -> None:
    """Refuse what a crop has no use for, and the lack of what it needs."""
    if crop in needing:
        check(name, value, 1, most)
    elif value:
        crops = " or ".join(f'"{one}"' for one in needing)
        raise UsageError(
            f"{name} belongs to another crop",
            where="recipe",
            expected=f"crop {crops}, or no {name}",
            got=f'crop "{crop}", {name} {value}',
        )
