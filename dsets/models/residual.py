"""What the residual nets of both papers share: shortcuts, initialisation."""

from __future__ import annotations

from math import sqrt

from torch import Tensor, nn
from torch.nn import functional


class PaddedShortcut(nn.Module):
    """Option A (He et al. 2015, section 3.3): every ``stride``-th pixel, zeros for new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new = outputs - inputs

    def forward(self, maps: Tensor) -> Tensor:
        kept = maps[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, self.new))


def initialise(layer: nn.Module) -> None:
    """He et al. 2015, "Delving deep into rectifiers", equation 10: N(0, 2 / inputs); biases 0."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.normal_(layer.weight, std=sqrt(2 / layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def conv(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (at stride 1), without the bias that batch norm has."""
    return nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
