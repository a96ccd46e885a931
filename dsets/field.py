"""A field: one named, typed column of a dataset, written the same way everywhere.

Manifests declare the fields a dataset officially has, pipelines the ones they make, packs the ones
they hold; ``dsets show`` prints them all as ``image: uint8 (28, 28, 1)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsets.errors import UsageError

#: The types a field may have, by NumPy name. All are stored little-endian.
DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
)
LAYOUTS = ("HWC", "CHW")
#: Fields may not be called like the datasets that every shard of a pack has.
RESERVED = ("key", "key_hash", "offsets", "shape", "checksum")


@dataclass(frozen=True, slots=True)
class Field:
    """One column.

    ``shape`` is that of one sample, as a reader hands it out: images are always height, width,
    channels. ``None`` marks a size that differs from sample to sample; encoded bytes are
    ``uint8 (None,)``. ``layout`` says how a pack stores an image: interleaved (HWC) or planar
    (CHW). ``classes`` names the values of a label, in order.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    layout: str = "HWC"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UsageError("bad field name", expected="a plain identifier", got=repr(self.name))
        if self.dtype not in DTYPES:
            raise UsageError(
                "bad dtype",
                where=f"field {self.name}",
                expected=f"one of {', '.join(DTYPES)}",
                got=repr(self.dtype),
            )
        if len(self.shape) > 8 or any(n is not None and not 0 < n < 2**31 for n in self.shape):
            raise UsageError(
                "bad shape",
                where=f"field {self.name}",
                expected="at most 8 sizes from 1 to 2**31 - 1, or none for a size that varies",
                got=self.shape,
            )
        if self.layout not in LAYOUTS or (self.layout == "CHW" and len(self.shape) != 3):
            raise UsageError(
                "bad layout",
                where=f"field {self.name}",
                expected="HWC, or CHW for three sizes",
                got=f"{self.layout} for {self.shape}",
            )

    @property
    def fixed(self) -> bool:
        """True when every sample has the same size."""
        return None not in self.shape

    @property
    def encoded(self) -> bool:
        """True when it may hold encoded images: ``uint8 (None,)``."""
        return self.dtype == "uint8" and self.shape == (None,)

    @property
    def stored_shape(self) -> tuple[int | None, ...]:
        """The shape of one sample as it lies in the shard: (C, H, W) for a planar image."""
        if self.layout == "CHW":
            height, width, channels = self.shape
            return (channels, height, width)
        return self.shape

    def __str__(self) -> str:
        sizes = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name}: {self.dtype} ({sizes}{',' if len(self.shape) == 1 else ''})"
