"""Lines over numbers, drawn: loss against steps, accuracy against minutes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dsets.errors import UsageError

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 640, 240
#: Left, top, right and bottom of a panel, outside its frame.
_MARGINS = (56, 26, 14, 34)
#: Told apart by most people who don't see all colours (Okabe & Ito 2008).
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233))
_INK, _GRID, _PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Line:
    """Points in rising order of ``x``, as many as ``y`` has."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines in one frame; ``logarithmic`` is about the upright axis, and leaves out what isn't
    above 0."""

    title: str
    below: str
    lines: Sequence[Line]
    logarithmic: bool = False


def draw(panels: Sequence[Panel]) -> NDArray[np.uint8]:
    """uint8 (HEIGHT * panels, WIDTH, 3): the panels, one below the other.

    Raises:
        UsageError: there is no panel.
    """
    from PIL import Image, ImageDraw

    if not panels:
        raise UsageError("nothing to draw", expected="a panel")
    picture = Image.new("RGB", (WIDTH, HEIGHT * len(panels)), _PAPER)
    pen = ImageDraw.Draw(picture)
    for number, panel in enumerate(panels):
        _draw(pen, panel, number * HEIGHT)
    return np.asarray(picture)


def _draw(pen: ImageDraw, panel: Panel, down: int) -> None:
    left, top, right, bottom = _MARGINS
    box = (left, down + top, WIDTH - right, down + HEIGHT - bottom)
    pen.text((left, down + 6), panel.title, fill=_INK)
    lines = [(line.name, _points(line, panel.logarithmic)) for line in panel.lines]
    flat = [point for _, points in lines for point in points]
    if flat:
        across, upright = (_span([point[axis] for point in flat]) for axis in (0, 1))
        _grid(pen, panel, box, across, upright)
        for number, (_, points) in enumerate(lines):
            places = [
                (_place(x, across, box[::2]), _place(y, upright, box[3::-2])) for x, y in points
            ]
            colour = _COLOURS[number % len(_COLOURS)]
            if len(places) == 1:
                (x, y) = places[0]
                pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
            else:
                pen.line(places, fill=colour, width=2)
    pen.rectangle(box, outline=_INK)
    pen.text((WIDTH // 2, down + HEIGHT - 14), panel.below, fill=_INK, anchor="ma")
    _legend(pen, [line.name for line in panel.lines], WIDTH - right, down + 6)


def _points(line: Line, logarithmic: bool) -> list[tuple[float, float]]:
    points = [(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True)]
    if logarithmic:
        points = [(x, math.log10(y)) for x, y in points if y > 0]
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - 0.5, high + 0.5
    return low, high


def _place(value: float, span: tuple[float, float], ends: tuple[int, ...]) -> float:
    share = (value - span[0]) / (span[1] - span[0])
    return ends[0] + share * (ends[1] - ends[0])


def _grid(
    pen: ImageDraw,
    panel: Panel,
    box: tuple[int, int, int, int],
    across: tuple[float, float],
    upright: tuple[float, float],
) -> None:
    for value in ticks(*across):
        x = _place(value, across, box[::2])
        pen.line((x, box[1], x, box[3]), fill=_GRID)
        pen.text((x, box[3] + 3), f"{value:,g}", fill=_INK, anchor="ma")
    for value in ticks(*upright):
        y = _place(value, upright, box[3::-2])
        pen.line((box[0], y, box[2], y), fill=_GRID)
        shown = 10**value if panel.logarithmic else value
        pen.text((box[0] - 4, y), f"{shown:.3g}", fill=_INK, anchor="rm")


def ticks(low: float, high: float) -> list[float]:
    """Up to ten round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of
    ten."""
    rough = (high - low) / 6
    power = 10 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _legend(pen: ImageDraw, names: Sequence[str], right: int, top: int) -> None:
    for number, name in reversed(list(enumerate(names))):
        right -= int(pen.textlength(name)) + 4
        pen.text((right, top), name, fill=_INK)
        right -= 18
        pen.line(
            (right, top + 6, right + 14, top + 6), fill=_COLOURS[number % len(_COLOURS)], width=3
        )
        right -= 10
