"""How a step is computed, as far as the recipe leaves it open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dsets.errors import TrainError, UsageError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: Into so many pieces a batch may be divided.
MOST_PIECES = 10**6


@dataclass(frozen=True, slots=True)
class Numerics:
    """``precision``: what matrix products and convolutions are computed in (autocast).

    Weights, sums, losses and the update are float32 whatever it is. ``accumulate``: in how many
    pieces a batch is computed, to fit into memory; the step is that of the whole batch, except that
    batch norm sees a piece. ``compiled``: by torch.compile. ``channels_last``: how images and
    kernels lie in memory; otherwise row-major (C, H, W).

    Raises:
        UsageError: a value that cannot be meant.
    """

    precision: str = "float32"
    accumulate: int = 1
    compiled: bool = False
    channels_last: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            known = f"one of {', '.join(PRECISIONS)}"
            raise UsageError("no such precision", expected=known, got=repr(self.precision))
        if type(self.accumulate) is not int or not 1 <= self.accumulate <= MOST_PIECES:
            raise UsageError(
                "bad accumulate", expected=f"1 to {MOST_PIECES}", got=repr(self.accumulate)
            )

    def applied(self, model: nn.Module, device: str) -> nn.Module:
        """The model, which from now on computes like that; its outputs stay float32.

        Raises:
            TrainError: torch.compile cannot work here.
        """
        own = model.forward

        def forward(images: Tensor) -> Any:
            if self.precision == "float32":
                return own(images)
            with self.autocast(device):
                return _single(own(images))

        if self.compiled:
            _check_compiler(device)
        # On the object itself: a model around the model would rename its weights. A function of
        # ours is compiled, since the compiler passes over calls of torch's own modules.
        model.forward = torch.compile(forward) if self.compiled else forward
        return model

    @property
    def layout(self) -> torch.memory_format:
        """The layout of images and kernels, as torch calls it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self, device: str) -> torch.autocast:
        """The context in which that precision is computed in; of float32 it does nothing."""
        kind, lower = torch.device(device).type, self.precision != "float32"
        return torch.autocast(kind, PRECISIONS[self.precision] if lower else None, enabled=lower)

    def scaler(self, device: str) -> torch.amp.GradScaler:
        """What keeps float16's small gradients from vanishing; it does nothing to the others."""
        kind = torch.device(device).type
        return torch.amp.GradScaler(kind, enabled=self.precision == "float16")


def _single(output: Any) -> Any:
    if isinstance(output, tuple):
        return tuple(scores.float() for scores in output)
    return output.float()


def _check_compiler(device: str) -> None:
    """Compile three lines, so that what is missing is said before the run begins."""
    try:
        torch.compile(lambda x: (x * 2 + 1).sum())(torch.ones(8, device=device))
    except Exception as error:  # the compiler's own, of a dozen libraries
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise TrainError(
            "torch.compile cannot work here",
            got=lines[0] if lines else type(error).__name__,
            remedy="install a C++ compiler (on a GPU also triton), or leave out --compile",
        ) from error
