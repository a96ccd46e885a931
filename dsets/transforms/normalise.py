"""Normalise: from stored values to floats around zero, planar (NCHW)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsets import numbers
from dsets.errors import UsageError
from dsets.transforms.training import statistics_of

if TYPE_CHECKING:
    from dsets.pack import Pack

DTYPES = ("float32", "float16")


@dataclass(frozen=True, slots=True)
class Normalise:
    """(x - mean) / std for each channel; x, mean and std in stored units (0-255 for uint8).

    Defined as ``x * scale + bias`` with ``scale = 1 / std`` and ``bias = -mean / std``, both
    computed in float64 and rounded to float32, the product and the sum each rounded to float32;
    float16 rounds that result once more. A fused multiply-add may differ in the last place.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _numbers("mean", self.mean))
        object.__setattr__(self, "std", _numbers("std", self.std))
        if len(self.mean) != len(self.std) or not self.mean:
            raise UsageError(
                "mean and std differ in length",
                where="Normalise",
                expected="one of each for every channel",
                got=f"{len(self.mean)} and {len(self.std)}",
            )
        if not all(s > 0 for s in self.std):
            raise UsageError(
                "bad std",
                where="Normalise",
                expected="numbers above 0",
                got=numbers.written(self.std),
            )
        with np.errstate(over="ignore"):
            if not np.isfinite([self.scale, self.bias]).all():
                raise UsageError(
                    "mean / std is beyond float32",
                    where="Normalise",
                    expected="numbers like those of pixels",
                    got=f"mean {self.mean}, std {self.std}",
                )
        if self.dtype not in DTYPES:
            raise UsageError(
                "bad dtype",
                where="Normalise",
                expected=f"one of {', '.join(DTYPES)}",
                got=numbers.written(self.dtype),
            )

    @classmethod
    def of(cls, pack: Pack, dtype: str = "float32") -> Normalise:
        """With the mean and deviation of the pack's own statistics.

        A channel that never varies is only shifted: its std counts as 1.

        Raises:
            UsageError: the pack has no statistics; only training packs do.
        """
        statistics = statistics_of(pack, "Normalise.of")
        std = [float(s) or 1.0 for s in statistics.channel_std]
        return cls(tuple(float(m) for m in statistics.channel_mean), tuple(std), dtype)

    @property
    def field(self) -> None:
        """There is no mean image."""

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """float32 (channels,)."""
        return (1.0 / np.array(self.std, np.float64)).astype(np.float32)

    @property
    def bias(self) -> npt.NDArray[np.float32]:
        """float32 (channels,)."""
        return (-np.array(self.mean, np.float64) / np.array(self.std, np.float64)).astype(
            np.float32
        )

    def shifted(self, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """The bias of images to whose pixels ``shift`` (n, channels) is added: float32, the same
        shape, worked out in float64: (shift - mean) / std."""
        mean, std = np.array(self.mean, np.float64), np.array(self.std, np.float64)
        return ((shift - mean) / std).astype(np.float32)


def _numbers(name: str, values: object) -> tuple[float, ...]:
    found = numbers.floats(values)
    if found is None or found.ndim > 1:
        raise UsageError(
            f"bad {name}",
            where="Normalise",
            expected="one number a channel",
            got=numbers.written(values),
        )
    return tuple(np.atleast_1d(found).tolist())
