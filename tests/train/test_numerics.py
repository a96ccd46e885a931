"""How a step is computed: what precision, pieces and the compiler change, and what they don't."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets.errors import TrainError, UsageError
from dsets.train.gradient import Gradient
from dsets.train.numerics import Numerics


def rows(count: int, valid: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Images (count, 3), labels, and which are valid."""
    random = torch.Generator().manual_seed(count)
    images = torch.randn(count, 3, generator=random)
    labels = torch.randint(0, 4, (count,), generator=random)
    return images, labels, torch.arange(count) < (count if valid is None else valid)


def losses(output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return output, functional.cross_entropy(output, labels, reduction="none")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.mark.parametrize("accumulate", [2, 3, 7, 100])
@pytest.mark.parametrize("valid", [10, 9, 2, 1])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(accumulate: int, valid: int) -> None:
    model = net()
    batch = rows(10, valid)
    losses(model(batch[0][:valid]), batch[1][:valid])[1].mean().backward()
    expected = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    logits, each = Gradient(model, Numerics(accumulate=accumulate)).of(*batch, losses)
    assert (logits.shape, each.shape) == ((10, 4), (10,))
    torch.testing.assert_close(logits, model(batch[0]).detach())
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_pieces_are_computed_one_after_another() -> None:
    sizes = []
    model = net()
    model.register_forward_hook(lambda module, images, output: sizes.append(len(output)))
    Gradient(model, Numerics(accumulate=3)).of(*rows(10), losses)
    assert sizes == [4, 3, 3]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_in_half_precision_products_are_short_and_everything_else_is_not(precision: str) -> None:
    kinds = []
    model = net()
    model[0].register_forward_hook(lambda module, images, output: kinds.append(output.dtype))
    names = list(model.state_dict())
    model = Numerics(precision).applied(model, "cpu")
    logits, each = Gradient(model, Numerics(precision)).of(*rows(10), losses)
    assert kinds == [getattr(torch, precision)]
    assert (logits.dtype, each.dtype) == (torch.float32, torch.float32)
    assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in model.parameters())
    assert list(model.state_dict()) == names


def test_float16_leaves_out_a_step_whose_gradient_overflows_and_lowers_the_scale() -> None:
    model = net()
    gradient = Gradient(model, Numerics("float16"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = copy.deepcopy(model.state_dict())
    scale = gradient.state()["scale"]
    images, labels, valid = rows(10)
    gradient.of(images * 1e36, labels, valid, losses)
    gradient.step(optimizer)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert gradient.state()["scale"] == scale / 2
    optimizer.zero_grad()
    gradient.of(images, labels, valid, losses)
    gradient.unscale(optimizer)
    size = max(float(weight.grad.abs().max()) for weight in model.parameters())
    assert 0 < size < 10
    gradient.step(optimizer)
    assert not torch.equal(before["0.weight"], model.state_dict()["0.weight"])


def test_the_scale_goes_on_from_its_state() -> None:
    first, second = (Gradient(net(), Numerics("float16")) for _ in range(2))
    state = {**first.state(), "scale": 8.0}
    second.load(state)
    assert second.state() == state
    for wrong in ({}, {"scale": 8.0}):
        with pytest.raises(ValueError, match="not one of this precision"):
            second.load(wrong)
    with pytest.raises(ValueError, match="not one of this precision"):
        Gradient(net()).load(state)
    assert Gradient(net()).state() == {}


@pytest.mark.parametrize(
    "values", [{"precision": "float8"}, {"accumulate": 0}, {"accumulate": 2.0}]
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Numerics(**values)


COMPILED = """
import sys, torch
from torch import nn
from dsets.train.numerics import Numerics
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(3, 4))
expected = model(torch.ones(2, 3))
names = list(model.state_dict())
model = Numerics(compiled=True).applied(model, "cpu")
torch.testing.assert_close(model(torch.ones(2, 3)), expected)
assert list(model.state_dict()) == names
from torch._dynamo.utils import counters
assert counters["stats"]["unique_graphs"] == 2, counters
"""


def test_a_compiled_model_gives_the_same_and_keeps_the_names_of_its_weights() -> None:
    # In a process of its own: the compiler warns, and its helpers live as long as the process.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=300)


def test_without_a_compiler_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find C++ compiler.\nMore lines")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(TrainError, match=r"cannot work here; got Failed to find C\+\+ compiler\.;"):
        Numerics(compiled=True).applied(net(), "cpu")
