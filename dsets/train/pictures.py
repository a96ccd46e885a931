"""What a run has learned, as pictures: curves, first-layer filters, confusion matrix.

All are uint8 (height, width, 3 or 1), for ``dsets.codecs.encode_png``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsets.errors import TrainError
from dsets.train.chart import Line, Panel, draw

#: A filter is this wide at least, in whole multiples of its size; and the gap between two.
FILTER, GAP = 33, 3
#: Of up to so many classes, names and counts stand in the picture.
NAMED = 20
_CELL = 38
#: Room for a class's name: left of its row, and upwards above its column.
_NAME = 92
#: Beyond the cells, to the right and below.
_EDGE = 8


def curves(log: Path) -> NDArray[np.uint8]:
    """Loss, accuracy and learning rate over the steps, from a run's ``log.jsonl``.

    Raises:
        TrainError: the file cannot be read, or is no log.
    """
    training, evaluated = _lines(log)
    panels = [
        Panel("loss", "steps", _both(training, evaluated, "loss")),
        Panel("accuracy, top-1", "steps", _both(training, evaluated, "top1")),
    ]
    if evaluated and "top5" in evaluated[0]:
        panels.append(Panel("accuracy, top-5", "steps", _both(training, evaluated, "top5")))
    panels.append(Panel("learning rate", "steps", [_line("rate", training, "rate")], True))
    return draw(panels)


def filters(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A first layer's kernels (kernels, channels, height, width) side by side, as figure 3 of
    Krizhevsky et al. 2012 shows them; channels are 1 (grey) or 3 (red, green, blue).

    Each kernel has its own scale: its least weight is black, its greatest white.
    """
    count, channels, height, width = weights.shape
    tall, wide = (max(1, -(-FILTER // side)) for side in (height, width))
    columns = next(n for n in range(round(count**0.5 * 1.6) or 1, count + 1) if count % n == 0)
    low = weights.min(axis=(1, 2, 3), keepdims=True)
    span = np.maximum(weights.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
    levels: NDArray[np.uint8] = (
        np.rint(255 * (weights - low) / span).astype(np.uint8).transpose(0, 2, 3, 1)
    )
    levels = levels.repeat(tall, axis=1).repeat(wide, axis=2)
    padded = np.pad(levels, ((0, 0), (GAP, 0), (GAP, 0), (0, 0)), constant_values=255)
    rows = padded.reshape(count // columns, columns, *padded.shape[1:])
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(-1, columns * padded.shape[2], channels)
    return np.pad(sheet, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> NDArray[np.uint8]:
    """How often each class (a row) was taken for each (a column): the darker, the larger the share
    of the row. With more than ``NAMED`` classes, one pixel a cell and nothing written."""
    from PIL import Image, ImageDraw

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    paper, ink = np.array((255, 255, 255)), np.array((0, 68, 136))
    cells: NDArray[np.uint8] = np.rint(paper + np.sqrt(shares)[..., None] * (ink - paper)).astype(
        np.uint8
    )
    if len(counts) > NAMED:
        return cells
    names = [name if len(name) <= 14 else f"{name[:13]}…" for name in classes]
    grown = np.repeat(np.repeat(cells, _CELL, axis=0), _CELL, axis=1)
    left, top = _NAME, 22 + _NAME
    size = (left + grown.shape[1] + _EDGE, top + grown.shape[0] + _EDGE)
    picture = Image.new("RGB", size, "white")
    picture.paste(Image.fromarray(grown), (left, top))
    pen = ImageDraw.Draw(picture)
    pen.text((4, 4), "row: what it is; column: what it was taken for", fill="black")
    for row, name in enumerate(names):
        middle = top + row * _CELL + _CELL // 2
        pen.text((left - 5, middle), _plain(name), fill="black", anchor="rm")
        upright = Image.new("RGB", (_NAME, 14), "white")
        ImageDraw.Draw(upright).text((0, 7), _plain(name), fill="black", anchor="lm")
        upright = upright.rotate(90, expand=True)
        picture.paste(upright, (left + row * _CELL + _CELL // 2 - 7, top - 3 - _NAME))
        for column in range(len(names)):
            shade = "white" if shares[row, column] > 0.3 else "black"
            place = (left + column * _CELL + _CELL // 2, middle)
            pen.text(place, str(counts[row, column]), fill=shade, anchor="mm")
    return np.asarray(picture)


def _plain(name: str) -> str:
    """The name in characters that the built-in font has."""
    return name.encode("ascii", "replace").decode()


def _lines(log: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines about training and about evaluations."""
    found: dict[str, list[dict[str, Any]]] = {"train": [], "evaluation": []}
    number = 0
    try:
        lines = log.read_bytes().splitlines(keepends=True)
        if len(lines) > 1 and not lines[-1].endswith(b"\n"):
            lines.pop()  # what a kill, or a full disk, cut
        for text in lines:
            number += 1
            line = json.loads(text)
            if line["kind"] in found:
                _ = float(line["step"]), float(line["loss"]), float(line["top1"])
                found[line["kind"]].append(line)
    except OSError as error:
        raise TrainError("cannot read the log", where=log, got=error.strerror) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TrainError(
            f"not a run's log: line {number} is not of a run",
            where=log,
            remedy="put the log back as the run left it",
        ) from error
    return found["train"], found["evaluation"]


def _both(training: list[dict[str, Any]], evaluated: list[dict[str, Any]], name: str) -> list[Line]:
    return [_line("training", training, name), _line("evaluation", evaluated, name)]


def _line(title: str, lines: list[dict[str, Any]], name: str) -> Line:
    there = [line for line in lines if isinstance(line.get(name), int | float)]
    return Line(title, [line["step"] for line in there], [line[name] for line in there])
