"""The training loop, for any model, stream and recipe.

1. A row that is only padding (``batch.valid`` false) has no part in loss, gradient or figures.
2. Steps are handed out one by one, so whoever runs the loop logs, saves or stops between any two;
   there are no callbacks.
3. The loop keeps no state of its own: model, optimiser, stream, meter and the number of steps taken
   are all there is, and from the same state the next step is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets.train import crops, optimizers
from dsets.train.gradient import Gradient
from dsets.train.meters import Clock, Figures, Meter
from dsets.train.recipe import Recipe

#: Szegedy et al. 2014, section 5: what the loss of an auxiliary head counts beside the net's own.
HEAD_WEIGHT = 0.3


class Batch(Protocol):
    """What a stream yields: images float32 (n, C, H, W) and labels int64 (n,) on one device."""

    @property
    def valid(self) -> Any: ...

    def __getitem__(self, field: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Loop:
    """What takes part in every step.

    ``rate`` gives the learning rate of a step from the number of steps behind it; images are laid
    out as ``layout`` says.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    rate: Callable[[int], float]
    meter: Meter
    clock: Clock
    gradient: Gradient
    layout: torch.memory_format = torch.channels_last

    def epoch(self, stream: Iterable[Batch], step: int) -> Iterator[int]:
        """Train on what is left of the stream's epoch; after each step yield how many are taken."""
        batches = iter(stream)
        while True:
            with self.clock.waiting():
                batch = next(batches, None)
            if batch is None:
                return
            self._step(batch, self.rate(step))
            step += 1
            yield step

    def _step(self, batch: Batch, rate: float) -> None:
        images, labels, valid = _tensors(batch, self.layout)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimizer.zero_grad()
        losses_of = partial(_losses, smoothing=self.recipe.smoothing)
        logits, losses = self.gradient.of(images, labels, valid, losses_of)
        self.gradient.unscale(self.optimizer)
        optimizers.clip(self.model, self.recipe.update)
        self.gradient.step(self.optimizer)
        self.meter.add(logits, labels, losses, valid)
        self.clock.add(len(images) * self.gradient.ranks.world)


def evaluate(
    model: nn.Module,
    stream: Iterable[Batch],
    meter: Meter,
    layout: torch.memory_format = torch.channels_last,
) -> Figures:
    """The model's figures over one epoch of the stream, without changing anything in it."""
    meter.reset()
    for logits, labels, valid in predictions(model, stream, layout):
        losses = functional.cross_entropy(logits, labels, reduction="none")
        meter.add(logits, labels, losses, valid)
    return meter.figures()


@torch.inference_mode()
def predictions(
    model: nn.Module,
    stream: Iterable[Batch],
    layout: torch.memory_format = torch.channels_last,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits float32 (n, classes), labels and valid of each batch of one epoch of the stream.

    Of several crops of an image, (n, crops, C, H, W), the mean of their softmax counts; its
    logarithm is the logits. They are float32 under autocast too.
    """
    model.eval()
    for batch in stream:
        images, labels, valid = _tensors(batch, layout)
        if images.dim() == 5:
            count = images.shape[1]
            shown = crops.flat(images).contiguous(memory_format=layout)
            yield crops.average_softmax(model(shown).float(), count).log(), labels, valid
        else:
            yield model(images).float(), labels, valid


def placed(
    model: nn.Module, device: str, layout: torch.memory_format = torch.channels_last
) -> nn.Module:
    """The model on the device, its kernels laid out like that.

    Channels last, convolutions take 0.55 (lenet) to 0.75 (cifar_quick) of the CPU time they take
    otherwise.
    """
    return model.to(device).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _losses(
    output: Tensor | tuple[Tensor, ...], labels: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The net's own logits, and each image's loss with those of the auxiliary heads, if any."""
    logits, *heads = (output,) if isinstance(output, Tensor) else output

    def loss(scores: Tensor) -> Tensor:
        return functional.cross_entropy(scores, labels, reduction="none", label_smoothing=smoothing)

    losses = loss(logits)
    for head in heads:
        losses = losses + HEAD_WEIGHT * loss(head)
    return logits, losses


def _tensors(batch: Batch, layout: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
    images, labels = batch["image"], batch["label"]
    if images.dim() == 4:
        images = images.contiguous(memory_format=layout)
    return images, labels, torch.as_tensor(batch.valid, device=labels.device)
