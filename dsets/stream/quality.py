"""How well an order shuffles, in figures that are 1, 0 and 1 for an ideal random permutation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsets.errors import UsageError

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Quality:
    """Each with what a random permutation gives, within ``1 / sqrt(positions)`` or so.

    ``displacement``: the mean of |sample - position|, over the (n² - 1) / (3 n) that is expected of
    a random permutation (1; the pack's own order 0). ``neighbours``: Pearson's correlation of the
    samples that follow each other (0; the pack's own order 1). ``balance``: how far the classes of
    a batch are from those of the whole, as the mean chi-square of the batches over the
    (K - 1) (n - B) / (n - 1) that is expected of B drawn without replacement from n of K classes
    (1; batches of one class up to B); None without labels.
    """

    displacement: float
    neighbours: float
    balance: float | None


def measure(
    samples: Numbers, n: int, batch_size: int, labels: npt.NDArray[np.integer] | None = None
) -> Quality:
    """The quality of an epoch, or of its beginning: ``samples`` (m,) stand at positions 0 … m - 1.

    ``labels`` (n,): the class of every sample. Short last batches are left out.

    Raises:
        UsageError: fewer than two samples, or no sample twice among them, or no such sample.
    """
    inside = len(samples) and samples.min() >= 0 and samples.max() < n
    if len(samples) < 2 or not inside or len(np.unique(samples)) != len(samples):
        raise UsageError("no order", where="quality", expected=f"different samples below {n}")
    # Of the first m positions alone: E|s - p| for s uniform in range(n), averaged over p < m.
    p = np.arange(len(samples), dtype=np.float64)
    expected = ((p * (p + 1) + (n - 1 - p) * (n - p)) / 2 / n).mean()
    displacement = float(np.abs(samples - p).mean() / expected)
    one, other = (part - part.mean() for part in (samples[:-1], samples[1:]))
    spread = float(np.sqrt((one**2).sum() * (other**2).sum()))
    neighbours = float((one * other).sum() / spread) if spread else 0.0
    balance = None if labels is None else _balance(labels, samples, min(batch_size, len(samples)))
    return Quality(displacement, neighbours, balance)


def _balance(labels: npt.NDArray[np.integer], samples: Numbers, batch_size: int) -> float | None:
    """The mean chi-square over its expectation; None where nothing can vary."""
    n = len(labels)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    batches, kinds = len(samples) // batch_size, len(counts)
    if kinds < 2 or batch_size == n:
        return None
    expected = batch_size * counts / n
    total = 0.0
    for batch in samples[: batches * batch_size].reshape(batches, batch_size):
        found = np.bincount(classes[batch], minlength=kinds)
        total += float(((found - expected) ** 2 / expected).sum())
    return total / batches / ((kinds - 1) * (n - batch_size) / (n - 1))
