"""Which pixels a resize keeps: sizes and crops as integers, decided in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resize:
    """Resize a whole image to ``width`` x ``height``, then keep the crop at (left, top)."""

    width: int
    height: int
    left: int
    top: int
    crop_width: int
    crop_height: int


def shorter_side(width: int, height: int, side: int) -> Resize:
    """The shorter side becomes ``side``, the longer one side * longer / shorter, rounded down."""
    if width <= height:
        across, down = side, max(side, side * height // width)
    else:
        across, down = max(side, side * width // height), side
    return Resize(across, down, 0, 0, across, down)


def centre_crop(width: int, height: int, side: int) -> Resize:
    """As ``shorter_side``, then the central side x side; of an odd rest the larger half is lost
    on the right or below."""
    whole = shorter_side(width, height, side)
    left, top = (whole.width - side) // 2, (whole.height - side) // 2
    return Resize(whole.width, whole.height, left, top, side, side)
