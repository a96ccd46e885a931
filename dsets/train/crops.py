"""One prediction of several crops of an image (Krizhevsky et al. 2012, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def flat(images: Tensor) -> Tensor:
    """(n, crops, channels, height, width) → (n * crops, …): what a model takes."""
    return images.flatten(0, 1)


def average_softmax(scores: Tensor, crops: int = 10) -> Tensor:
    """Scores (n * crops, classes) → probabilities (n, classes): the mean of the crops' softmax.

    Raises:
        ValueError: the rows are no multiple of ``crops``.
    """
    if scores.ndim != 2 or len(scores) % crops:
        raise ValueError(f"expected (n * {crops}, classes), got {tuple(scores.shape)}")
    shares: Tensor = scores.softmax(dim=1).reshape(-1, crops, scores.shape[1])
    return shares.mean(dim=1)
