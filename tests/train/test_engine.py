"""The loop: what a step does to the weights, and what padding rows don't."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets.train import engine, optimizers
from dsets.train.gradient import Gradient
from dsets.train.meters import Clock, Meter
from dsets.train.recipe import Recipe
from dsets.train.schedule import When
from dsets.train.update import Update

RECIPE = Recipe(epochs=2, batch_size=6, update=Update(rate=0.1, weight_decay=0.01))


class Rows(dict[str, Tensor]):
    """A batch as a stream yields it."""

    def __init__(self, images: Tensor, labels: Tensor, valid: Tensor) -> None:
        super().__init__(image=images, label=labels)
        self.valid = valid.numpy()


def rows(count: int, seed: int = 0, valid: int | None = None) -> Rows:
    """``count`` images of 3 values, the first ``valid`` of them real."""
    random = torch.Generator().manual_seed(seed)
    return Rows(
        torch.randn(count, 3, generator=random),
        torch.randint(0, 4, (count,), generator=random),
        torch.arange(count) < (count if valid is None else valid),
    )


def loop(net: nn.Module, steps: int, recipe: Recipe = RECIPE) -> engine.Loop:
    optimizer = optimizers.optimizer(net, recipe.update)
    meter, clock, gradient = Meter(4, "cpu"), Clock(), Gradient(net)
    return engine.Loop(net, optimizer, recipe, rate(recipe, steps), meter, clock, gradient)


def rate(recipe: Recipe, steps: int) -> Callable[[int], float]:
    return lambda step: recipe.rate_at(When(step, steps, steps))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


def test_steps_follow_the_update_rule_that_the_recipe_states() -> None:
    trained = net()
    weights = [value.detach().clone() for value in trained.parameters()]
    velocity = [torch.zeros_like(value) for value in weights]
    batches = [rows(6, seed) for seed in range(4)]
    assert list(loop(trained, 4).epoch(batches, 0)) == [1, 2, 3, 4]
    for step, batch in enumerate(batches):
        leaves = [value.clone().requires_grad_() for value in weights]
        loss = functional.cross_entropy(functional.linear(batch["image"], *leaves), batch["label"])
        gradients = torch.autograd.grad(loss, leaves)
        for i, gradient in enumerate(gradients):
            velocity[i] = 0.9 * velocity[i] + gradient + 0.01 * weights[i]
            weights[i] = weights[i] - rate(RECIPE, 4)(step) * velocity[i]
    for ours, expected in zip(trained.parameters(), weights, strict=True):
        torch.testing.assert_close(ours.detach(), expected)


@pytest.mark.parametrize("valid", [1, 4, 5])
def test_padding_rows_change_neither_weights_nor_figures(valid: int) -> None:
    padded, short = rows(6, valid=valid), rows(6, valid=valid)
    short = Rows(short["image"][:valid], short["label"][:valid], torch.ones(valid).bool())
    nets, loops = [net(), net()], []
    for trained, batch in zip(nets, (padded, short), strict=True):
        loops.append(loop(trained, 1))
        list(loops[-1].epoch([batch], 0))
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)
    first, second = (one.meter.figures() for one in loops)
    assert (first.images, first.top1) == (second.images, second.top1) and first.images == valid
    assert first.loss == pytest.approx(second.loss)


def test_a_batch_of_nothing_but_padding_leaves_finite_weights() -> None:
    trained = net()
    list(loop(trained, 1).epoch([rows(6, valid=0)], 0))
    assert all(value.isfinite().all() for value in trained.parameters())


def test_evaluation_changes_nothing_and_draws_nothing() -> None:
    dropping = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), net())
    before = {name: value.clone() for name, value in dropping.state_dict().items()}
    generator = torch.get_rng_state()
    first = engine.evaluate(dropping, [rows(6), rows(5, 1)], Meter(4, "cpu"))
    second = engine.evaluate(dropping, [rows(6), rows(5, 1)], Meter(4, "cpu"))
    assert first == second and first.images == 11
    assert all(torch.equal(before[name], now) for name, now in dropping.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())


def test_training_goes_on_in_training_mode_after_an_evaluation() -> None:
    dropping = nn.Sequential(nn.Dropout(0.5), net())
    work = loop(dropping, 2)
    steps = work.epoch([rows(6), rows(6)], 0)
    next(steps)
    engine.evaluate(dropping, [rows(6)], Meter(4, "cpu"))
    next(steps)
    assert dropping[0].training


def test_the_clock_counts_the_time_spent_in_the_stream_and_only_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("dsets.train.meters.time.perf_counter", lambda: now)

    def slow() -> Iterator[Rows]:
        nonlocal now
        for seed in range(2):
            now += 3.0
            yield rows(6, seed)

    work = loop(net(), 2)
    for _ in work.epoch(slow(), 0):
        now += 1.0
    speed = work.clock.lap()
    assert (speed.images, speed.seconds, speed.waiting) == (12, 8.0, 6.0)
    assert (speed.rate, speed.share) == (1.5, 0.75)
    assert work.clock.lap().images == 0
