"""What the nets compute: their first weights, their special layers, a step of training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsets import models
from dsets.errors import TrainError, UsageError
from dsets.models.cifar_four import Local
from dsets.models.lenet5 import TABLE, RadialBasis, SubSampling, TabledConvolution, codes
from dsets.models.residual import PaddedShortcut
from dsets.models.response_norm import LocalResponseNorm
from dsets.train import engine

SMALL = [
    name for name, model in models.MODELS.items() if model.classes == 10 and "1001" not in name
]
ANY_SIZE = [name for name in SMALL if name != "lenet5"]


@pytest.mark.parametrize("name", SMALL)
def test_a_step_changes_every_weight_and_images_give_finite_logits(name: str) -> None:
    torch.manual_seed(0)
    model = models.find(name)
    net = model.build(model.shape, 10)
    height, width, channels = model.shape
    logits: Tensor = net(torch.randn(4, channels, height, width))
    assert logits.shape == (4, 10) and logits.isfinite().all()
    functional.cross_entropy(logits, torch.arange(4)).backward()
    for weights in net.parameters():
        assert weights.grad is not None and weights.grad.isfinite().all()


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("shape", [(16, 23, 1), (17, 16, 3), (40, 33, 4)])
def test_a_model_takes_images_of_other_sizes_and_other_numbers_of_classes(
    name: str, shape: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        net = models.find(name).build(shape, 7)
        height, width, channels = shape
        assert net(torch.empty(2, channels, height, width)).shape == (2, 7)


@pytest.mark.parametrize("name", models.MODELS)
def test_images_too_small_for_a_model_are_refused_with_their_size(name: str) -> None:
    with pytest.raises(TrainError, match="28x7"):
        models.find(name).build((28, 7, 1), 10)


@pytest.mark.parametrize("name", ["alexnet", "vgg_a"])
def test_dense_layers_fit_images_of_another_size(name: str) -> None:
    with torch.device("meta"):
        net = models.find(name).build((256, 240, 3), 5)
        assert net(torch.empty(1, 3, 256, 240)).shape == (1, 5)


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="lenet, lenet5, cifar_quick"):
        models.find("resnet")


def test_lenet_has_the_output_shapes_of_caffes_tutorial() -> None:
    assert _shapes("lenet") == [
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


def test_alexnets_first_weights_are_the_papers() -> None:
    torch.manual_seed(0)
    net = models.find("alexnet").build((64, 64, 3), 10)
    for name, layer in net.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            ones = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
            assert layer.bias is not None and torch.all(layer.bias == float(ones)), name
            assert float(layer.weight.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_alexnets_normalisation_is_the_papers_formula() -> None:
    norm = dict(models.find("alexnet").build((64, 64, 3), 10).named_children())["norm1"]
    values = torch.randn(1, 8, 1, 1, dtype=torch.float64)
    flat = values.flatten()
    expected = [
        a / (2 + 1e-4 * (flat[max(0, i - 2) : i + 3] ** 2).sum()) ** 0.75
        for i, a in enumerate(flat)
    ]
    assert torch.allclose(norm(values).flatten(), torch.stack(expected), rtol=1e-12)


def test_a_radial_basis_output_is_minus_the_squared_distance_to_the_code() -> None:
    bitmaps = torch.tensor(codes())
    logits = RadialBasis(10)(bitmaps)
    assert torch.all(logits.diagonal() == 0)
    assert logits[3, 8] == -4 * (bitmaps[3] != bitmaps[8]).sum()


def test_sub_sampling_adds_four_scales_and_shifts() -> None:
    layer = SubSampling(2)
    layer.weight.data, layer.bias.data = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])
    got = layer(torch.arange(8.0).reshape(1, 2, 2, 2))
    assert got.flatten().tolist() == [6.0, 2 * 22.0 + 5]


def test_a_tabled_convolution_does_not_see_maps_without_a_connection() -> None:
    layer = TabledConvolution()
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    maps = torch.zeros(1, 6, 5, 5)
    maps[:, 5] = 1
    seen = layer(maps).flatten()
    assert torch.equal(seen > 0, torch.tensor([5 in row for row in TABLE]))


def test_a_local_layer_with_equal_kernels_everywhere_is_a_convolution() -> None:
    torch.manual_seed(0)
    layer, kernels = Local(3, 4, 5, 6), torch.randn(4, 3, 3, 3)
    layer.weight.data = kernels.reshape(4, 27, 1).expand(4, 27, 30).clone()
    nn.init.zeros_(layer.bias)
    maps = torch.randn(2, 3, 5, 6)
    assert torch.allclose(layer(maps), functional.conv2d(maps, kernels, padding=1), atol=1e-5)


def test_a_padded_shortcut_keeps_every_second_pixel_and_adds_channels_of_zeros() -> None:
    got = PaddedShortcut(1, 3, 2)(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert got[0, 0].flatten().tolist() == [0, 2, 8, 10]
    assert got.shape == (1, 3, 2, 2) and not got[:, 1:].any()


def _shapes(name: str) -> list[tuple[int, ...]]:
    """Each layer's output shape, without the batch."""
    model = models.find(name)
    return [row.shape for row in models.layers(models.sketch(model), model.shape)]


def test_auxiliary_heads_speak_in_training_only() -> None:
    with torch.device("meta"):
        net = models.find("googlenet_heads").build((224, 224, 3), 10)
        images = torch.empty(2, 3, 224, 224)
        assert [tuple(logits.shape) for logits in net.train()(images)] == [(2, 10)] * 3
        assert net.eval()(images).shape == (2, 10)


@pytest.mark.parametrize("shape", [(257, 240, 3), (305, 260, 1)])
def test_auxiliary_heads_fit_images_of_any_size(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    with torch.device("meta"):
        net = models.find("googlenet_heads").build(shape, 10)
        logits = net.train()(torch.empty(2, channels, height, width))
    assert [tuple(part.shape) for part in logits] == [(2, 10)] * 3


def test_an_auxiliary_heads_loss_counts_three_tenths() -> None:
    torch.manual_seed(0)
    own, first, second, labels = *torch.randn(3, 4, 10), torch.arange(4)
    logits, losses = engine._losses((own, first, second), labels, 0.0)
    one = [
        functional.cross_entropy(part, labels, reduction="none") for part in (own, first, second)
    ]
    assert logits is own
    assert torch.allclose(losses, one[0] + 0.3 * one[1] + 0.3 * one[2])


@pytest.mark.parametrize(("channels", "size"), [(8, 5), (7, 4), (3, 9), (1, 5)])
def test_response_normalisation_and_its_gradient_are_those_of_torchs_layer(
    channels: int, size: int
) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, channels, 3, 4, dtype=torch.float64, requires_grad=True)
    ours = LocalResponseNorm(size, alpha=0.9, beta=0.75, k=1.5)
    theirs = nn.LocalResponseNorm(size, alpha=0.9, beta=0.75, k=1.5)
    weights = torch.randn_like(maps)
    expected, got = theirs(maps), ours(maps)
    assert torch.allclose(got, expected, rtol=1e-12)
    wanted = torch.autograd.grad((expected * weights).sum(), maps)[0]
    assert torch.allclose(torch.autograd.grad((got * weights).sum(), maps)[0], wanted, rtol=1e-10)


def test_a_local_layer_is_a_sum_of_products_at_each_place_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    layer = Local(3, 4, 5, 6).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    maps = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    squares = functional.unfold(maps, 3, padding=1)
    expected = torch.einsum("nip,oip->nop", squares, layer.weight).view(2, 4, 5, 6) + layer.bias
    got = layer(maps)
    assert torch.allclose(got, expected, rtol=1e-10)
    weights, wrt = torch.randn_like(got), [maps, layer.weight, layer.bias]
    for ours, theirs in zip(
        torch.autograd.grad((got * weights).sum(), wrt),
        torch.autograd.grad((expected * weights).sum(), wrt),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)
