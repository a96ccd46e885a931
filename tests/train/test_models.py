"""The reference models against the published facts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dsets import train
from dsets.errors import TrainError, UsageError
from dsets.train import models


def test_the_names_that_need_no_torch_are_those_of_the_models() -> None:
    assert list(train.NAMES) == list(train.MODELS)


@pytest.mark.parametrize(("name", "published"), [("lenet", 431_080), ("cifar_quick", 145_578)])
def test_a_model_has_exactly_the_parameters_that_its_source_has(name: str, published: int) -> None:
    model = models.find(name)
    assert models.parameters(model.build(model.shape, 10)) == published


def test_lenet_has_the_output_shapes_of_caffes_tutorial() -> None:
    shapes = _shapes("lenet")
    assert shapes == [
        (20, 24, 24), (20, 12, 12), (50, 8, 8), (50, 4, 4), (800,), (500,), (500,), (10,),
    ]  # fmt: skip


def test_the_quick_net_keeps_a_pools_last_partial_window() -> None:
    shapes = _shapes("cifar_quick")
    assert [shape for shape in shapes if len(shape) == 3][::3] == [
        (32, 32, 32), (32, 16, 16), (64, 8, 8),
    ]  # fmt: skip
    assert shapes[-3:] == [(1024,), (64,), (10,)]


def test_a_mean_pools_partial_window_is_divided_by_what_is_in_it_as_in_caffe() -> None:
    pool = models.find("cifar_quick").build((32, 32, 3), 10)[5]  # type: ignore[index]
    assert torch.equal(pool(torch.ones(1, 1, 16, 16)), torch.ones(1, 1, 8, 8))


def test_lenets_weights_fill_caffes_xavier_range_and_its_biases_are_zero() -> None:
    torch.manual_seed(0)
    weights = models.find("lenet").build((28, 28, 1), 10).state_dict()
    limit = math.sqrt(3 / 800)
    dense = weights["5.weight"]
    assert 0.999 * limit < dense.max() <= limit
    assert -limit <= dense.min() < -0.999 * limit
    assert abs(float(dense.mean())) < 0.001
    assert not any(bias.any() for name, bias in weights.items() if name.endswith("bias"))


@pytest.mark.parametrize("name", list(models.MODELS))
@pytest.mark.parametrize("shape", [(16, 23, 1), (17, 16, 3), (40, 33, 4)])
def test_a_model_takes_images_of_other_sizes_and_other_numbers_of_classes(
    name: str, shape: tuple[int, int, int]
) -> None:
    height, width, channels = shape
    net = models.find(name).build(shape, 7)
    assert net(torch.zeros(2, channels, height, width)).shape == (2, 7)


@pytest.mark.parametrize("name", list(models.MODELS))
def test_images_too_small_for_a_model_are_refused_with_their_size(name: str) -> None:
    with pytest.raises(TrainError, match="28x7"):
        models.find(name).build((28, 7, 1), 10)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="lenet, cifar_quick"):
        models.find("resnet")


def _shapes(name: str) -> list[tuple[int, ...]]:
    """Each layer's output shape, without the batch."""
    model = models.find(name)
    height, width, channels = model.shape
    value, shapes = torch.zeros(1, channels, height, width), []
    layers = model.build(model.shape, 10)
    assert isinstance(layers, nn.Sequential)
    for layer in layers:
        value = layer(value)
        shapes.append(tuple(value.shape[1:]))
    return shapes
