"""AlexNet's preprocessing of 256 by 256 images (Krizhevsky et al. 2012, sections 2 and 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsets.transforms.crop import Crop
from dsets.transforms.flip import Flip
from dsets.transforms.lighting import Lighting
from dsets.transforms.recipe import Transform
from dsets.transforms.subtract_mean import SubtractMean
from dsets.transforms.ten_crop import TenCrop

if TYPE_CHECKING:
    from dsets.pack import Pack


def alexnet_train(pack: Pack, size: int = 224) -> list[Transform]:
    """A random patch or its mirror image, lit, less the mean image, for the training pack itself.

    Raises:
        UsageError: the pack has no statistics.
    """
    return [Crop(size), Flip(), Lighting.of(pack), SubtractMean.of(pack)]


def alexnet_test(pack: Pack, size: int = 224) -> list[Transform]:
    """Ten crops less the mean image; ``pack`` is the training pack, whatever split is tested.

    Raises:
        UsageError: the pack has no statistics.
    """
    return [TenCrop(size), SubtractMean.of(pack)]
