"""Subtract the training set's mean image (Krizhevsky et al. 2012, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsets import numbers
from dsets.errors import UsageError
from dsets.transforms.normalise import DTYPES, Normalise
from dsets.transforms.training import statistics_of

if TYPE_CHECKING:
    from dsets.pack import Pack


@dataclass(frozen=True, slots=True, eq=False)
class SubtractMean:
    """x - image: floats, channels first, in stored units (0-255 for uint8).

    ``image`` is (height, width, channels), in the coordinates of the stored images: it is cropped
    and mirrored with the pixels; beyond its border it is 0, as they are. It is rounded to float32,
    and so is the difference; float16 rounds that once more.
    """

    image: npt.NDArray[np.float32]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        given = numbers.floats(self.image)
        with np.errstate(over="ignore"):  # refused below
            image = None if given is None else given.astype(np.float32)
        if image is None or image.ndim != 3 or not image.size or not np.isfinite(image).all():
            raise UsageError(
                "bad mean image",
                where="SubtractMean",
                expected="finite numbers (height, width, channels)",
                got=numbers.written(self.image) if image is None else image.shape,
            )
        image.flags.writeable = False
        object.__setattr__(self, "image", image)
        if self.dtype not in DTYPES:
            raise UsageError(
                "bad dtype",
                where="SubtractMean",
                expected=f"one of {', '.join(DTYPES)}",
                got=numbers.written(self.dtype),
            )

    @classmethod
    def of(cls, pack: Pack, dtype: str = "float32") -> SubtractMean:
        """With the mean image of the pack's own statistics.

        Raises:
            UsageError: the pack has no statistics, or its images differ in size.
        """
        statistics = statistics_of(pack, "SubtractMean.of")
        return cls(statistics.mean_image.astype(np.float32), dtype)

    @property
    def mean(self) -> tuple[float, ...]:
        """Nothing is left to subtract from a channel as a whole."""
        return tuple(0.0 for _ in range(self.image.shape[2]))

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """float32 (channels,): 1."""
        return np.ones(self.image.shape[2], np.float32)

    @property
    def bias(self) -> npt.NDArray[np.float32]:
        """float32 (channels,): 0."""
        return np.zeros(self.image.shape[2], np.float32)

    @property
    def field(self) -> npt.NDArray[np.float32]:
        """What is added to the pixels, float32 (channels, height, width)."""
        return np.ascontiguousarray(-self.image.transpose(2, 0, 1))

    def shifted(self, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The bias of images to whose pixels ``shift`` (n, channels) is added."""
        return shift.astype(np.float32)


#: What makes floats of stored values.
Normal = Normalise | SubtractMean
