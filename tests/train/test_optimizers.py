"""The update rules, each against its formula in float64 NumPy under a rate that changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dsets.train import optimizers
from dsets.train.update import Update

RATES = [0.1, 0.1, 0.01, 0.3, 0.3, 0.001, 0.2]
Array = np.ndarray[Any, np.dtype[np.float64]]


def trained(update: Update, gradients: Array) -> Array:
    """The weights after one step for each rate, of a layer whose gradients are given."""
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 0.5]]))
    optimizer = optimizers.optimizer(layer, update)
    for rate, gradient in zip(RATES, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        layer.weight.grad = torch.tensor(gradient[None], dtype=torch.float32)
        optimizers.clip(layer, update)
        optimizer.step()
    found: Array = layer.weight.detach().double().numpy()[0]
    return found


def by(rule: Callable[[Array, Any, float, Array], tuple[Array, Any]], gradients: Array) -> Array:
    weights, state = np.array([1.0, -2.0, 3.0, 0.5]), None
    for rate, gradient in zip(RATES, gradients, strict=True):
        weights, state = rule(weights, state, rate, gradient)
    return weights


@pytest.fixture
def gradients() -> Array:
    return np.random.default_rng(3).normal(size=(len(RATES), 4)).astype(np.float32).astype(float)


def test_alexnet_is_the_papers_equation(gradients: Array) -> None:
    def paper(w: Array, v: Any, rate: float, g: Array) -> tuple[Array, Any]:
        v = 0.9 * (0 if v is None else v) - 0.0005 * rate * w - rate * g
        return w + v, v

    ours = trained(Update(0.1, "alexnet", 0.9, 0.0005), gradients)
    np.testing.assert_allclose(ours, by(paper, gradients), rtol=2e-6)


def test_sgd_and_nesterov_are_as_stated(gradients: Array) -> None:
    def sgd(w: Array, v: Any, rate: float, g: Array) -> tuple[Array, Any]:
        g = g + 0.01 * w
        v = g if v is None else 0.9 * v + g
        return w - rate * v, v

    def nesterov(w: Array, v: Any, rate: float, g: Array) -> tuple[Array, Any]:
        g = g + 0.01 * w
        v = g if v is None else 0.9 * v + g
        return w - rate * (g + 0.9 * v), v

    ours = trained(Update(0.1, "sgd", 0.9, 0.01), gradients)
    np.testing.assert_allclose(ours, by(sgd, gradients), rtol=2e-6)
    ours = trained(Update(0.1, "nesterov", 0.9, 0.01), gradients)
    np.testing.assert_allclose(ours, by(nesterov, gradients), rtol=2e-6)


def test_alexnet_and_sgd_part_when_the_rate_falls_and_only_then(
    gradients: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [Update(0.1, rule, 0.9, 0.0005) for rule in ("alexnet", "sgd")]
    changing = [trained(rule, gradients) for rule in rules]
    assert abs(changing[0] - changing[1]).max() > 0.1
    monkeypatch.setattr("tests.train.test_optimizers.RATES", [0.1] * 7)
    constant = [trained(rule, gradients) for rule in rules]
    np.testing.assert_allclose(*constant, rtol=1e-5)


def test_rmsprop_is_as_stated_and_clips_the_norm(gradients: Array) -> None:
    def rmsprop(w: Array, s: Any, rate: float, g: Array) -> tuple[Array, Any]:
        g = g * min(1.0, 1.5 / (np.linalg.norm(g) + 1e-6))
        s = 0.9 * (0 if s is None else s) + 0.1 * g**2
        return w - rate * g / (np.sqrt(s) + 1.0), s

    assert max(np.linalg.norm(gradients, axis=1)) > 1.5 > min(np.linalg.norm(gradients, axis=1))
    update = Update(0.1, "rmsprop", momentum=0.0, averaging=0.9, epsilon=1.0, clip=1.5)
    np.testing.assert_allclose(trained(update, gradients), by(rmsprop, gradients), rtol=2e-6)


def test_a_run_goes_on_from_the_state_of_the_velocity() -> None:
    update = Update(0.1, "alexnet", 0.9, 0.0005)

    def stepped(layer: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        layer.zero_grad()
        layer(torch.arange(4.0)).sum().backward()
        optimizer.step()

    whole, half = nn.Linear(4, 1), nn.Linear(4, 1)
    optimizer = optimizers.optimizer(whole, update)
    stepped(whole, optimizer)
    half.load_state_dict(whole.state_dict())
    again = optimizers.optimizer(half, update)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stepped(whole, optimizer)
    stepped(half, again)
    assert torch.equal(whole.weight, half.weight)


def test_a_weight_without_a_gradient_stays_as_it_is() -> None:
    layer = nn.Linear(4, 1)
    optimizer = optimizers.optimizer(layer, Update(0.1, "alexnet", 0.9, 0.5))
    before = layer.weight.detach().clone()
    optimizer.step()
    assert torch.equal(layer.weight, before)


UPDATES = [Update(0.1), Update(0.1, "nesterov"), Update(0.1, "alexnet"), Update(0.1, "rmsprop")]


def stepped(update: Update) -> torch.optim.Optimizer:
    """An optimiser that has taken a step."""
    layer = nn.Linear(4, 1)
    optimizer = optimizers.optimizer(layer, update)
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("update", [*UPDATES, Update(0.1, momentum=0)], ids=str)
def test_a_saved_state_is_restored_and_the_recipes_rate_stays(update: Update) -> None:
    saved = copy.deepcopy(stepped(update).state_dict())
    saved["param_groups"][0]["lr"] = "none of it"
    fresh = optimizers.optimizer(nn.Linear(4, 1), update)
    optimizers.restore(fresh, saved)
    assert fresh.param_groups[0]["lr"] == update.rate
    kept = fresh.state_dict()["state"]
    assert kept.keys() == saved["state"].keys()
    for number, state in saved["state"].items():
        assert all(torch.equal(kept[number][name], state[name]) for name in state)


@pytest.mark.parametrize("update", UPDATES, ids=str)
@pytest.mark.parametrize("momentum", [5.0, None, torch.zeros(2)])
def test_another_momentum_than_the_recipes_is_refused(update: Update, momentum: Any) -> None:
    saved = stepped(update).state_dict()
    saved["param_groups"][0]["momentum"] = momentum
    with pytest.raises(ValueError, match="the optimiser's momentum is not the recipe's"):
        optimizers.restore(stepped(update), saved)


@pytest.mark.parametrize("update", UPDATES, ids=str)
@pytest.mark.parametrize("change", [None, {2: {}}, {0: 3}, {0: {"other": torch.ones(1, 4)}}])
def test_a_state_of_other_weights_or_another_rule_is_refused(update: Update, change: Any) -> None:
    with pytest.raises(ValueError, match="the optimiser's state is of"):
        optimizers.restore(stepped(update), {**stepped(update).state_dict(), "state": change})


@pytest.mark.parametrize("update", UPDATES, ids=str)
@pytest.mark.parametrize("values", [None, 1.5, torch.ones(3)])
def test_a_state_of_another_shape_is_refused(update: Update, values: Any) -> None:
    saved = copy.deepcopy(stepped(update).state_dict())
    name = max(saved["state"][0])  # momentum_buffer, v, step
    if name == "momentum_buffer" and values is None:
        pytest.skip("a weight without a gradient has none")
    saved["state"][0][name] = values
    with pytest.raises(ValueError, match=f"the optimiser's {name} does not fit"):
        optimizers.restore(stepped(update), saved)
