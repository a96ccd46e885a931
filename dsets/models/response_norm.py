"""Local response normalisation: Krizhevsky et al. 2012, section 3.3.

    y[c] = x[c] / (k + alpha / size * sum of x[j]² over the size channels j around c) ** beta

as torch's layer of the same name, whose alpha the paper does not divide. Its gradient is written
out here, with s for the bracket and g for the gradient of y:

    g[c] / s[c] ** beta - 2 alpha beta / size * x[c] * sum of g[j] x[j] / s[j] ** (beta + 1)

the sum over those j whose sums c is in. Neighbouring channels are added as shifted maps, in any
memory format; torch's layer pools them in three dimensions and keeps every product for its
gradient, which takes a processor four times as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class LocalResponseNorm(nn.Module):
    """Maps (n, C, H, W) → the same, float32 or wider; ``size`` counts the middle channel too."""

    def __init__(self, size: int, *, alpha: float, beta: float, k: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, maps: Tensor) -> Tensor:
        # In float32 under autocast too: squares of a short mantissa do not add up.
        wide = maps.float() if maps.element_size() < 4 else maps
        share = self.alpha / self.size
        normed: Tensor = _Normed.apply(  # type: ignore[no-untyped-call]
            wide, self.size, share, self.beta, self.k
        )
        return normed

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, maps: Tensor, size: int, share: float, beta: float, k: float
    ) -> Tensor:
        before, after = size // 2, (size - 1) // 2
        bracket = _around(maps.square(), before, after).mul_(share).add_(k)
        factor = bracket.pow(-beta)
        context.save_for_backward(maps, bracket, factor)
        context.constants = (before, after, share * beta)
        return maps * factor

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, bracket, factor = context.saved_tensors
        before, after, share = context.constants
        direct = gradient * factor
        shared = _around((direct * maps).div_(bracket), after, before)
        return direct.sub_(shared.mul_(maps), alpha=2 * share), None, None, None, None


def _around(maps: Tensor, before: int, after: int) -> Tensor:
    """For each channel the sum over itself, so many before it, and so many after it."""
    sums = maps.clone()
    channels = maps.shape[1]
    for shift in range(1, min(before, channels - 1) + 1):
        sums[:, shift:] += maps[:, : channels - shift]
    for shift in range(1, min(after, channels - 1) + 1):
        sums[:, : channels - shift] += maps[:, shift:]
    return sums
