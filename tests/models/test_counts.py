"""Every model against the published counts, shapes and multiply-adds, on the meta device."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dsets import models
from dsets.models.lenet5 import TABLE, codes
from dsets.train import recipes

#: To the digit: trainable parameters of the net in its source's size.
PARAMETERS = {
    "lenet": 431_080,
    "lenet5": 60_000,
    "cifar_quick": 145_578,
    "cifar_small": 279_466,
    "cifar_relu": 89_578,
    "cifar_tanh": 89_578,
    "cifar_13pct": 1_901_386,
    "cifar_11pct": 1_901_386,
    "torch_tutorial": 62_006,
    "alexnet": 60_965_224,
    "vgg_a": 132_863_336,
    "vgg_a_lrn": 132_863_336,
    "vgg_b": 133_047_848,
    "vgg_c": 133_638_952,
    "vgg_d": 138_357_544,
    "vgg_e": 143_667_240,
    "googlenet": 6_998_552,
    "googlenet_heads": 13_378_280,
    "inception_v3": 23_834_568,
    "inception_v4": 42_679_816,
    "inception_resnet_v2": 55_843_464,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "cifar_resnet20": 269_722,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
    # As independent implementations count them: the papers round, or give no number.
    "inception_v2": 11_295_240 - 10_016,  # the 10,016 are biases before batch norms
    "preact_resnet164": 1_703_258,
    "preact_resnet1001": 10_327_706,
}
#: As the papers round them, in millions.
ROUNDED = {
    "inception_v2": (11.3, 0.05),
    "cifar_resnet32": (0.46, 0.005),
    "cifar_resnet44": (0.66, 0.005),
    "preact_resnet164": (1.7, 0.05),
    "preact_resnet200": (64.7, 0.05),
}
#: In thousands of millions, of one image; He et al. 2015, table 1.
MULTIPLY_ADDS = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6}
MULTIPLY_ADDS |= {"resnet152": 11.3}


@pytest.mark.parametrize(("name", "published"), PARAMETERS.items())
def test_parameters_are_the_published_ones_to_the_digit(name: str, published: int) -> None:
    assert models.parameters(models.sketch(models.find(name))) == published


@pytest.mark.parametrize("name", ROUNDED)
def test_parameters_are_the_published_ones_as_rounded(name: str) -> None:
    millions, allowed = ROUNDED[name]
    assert models.parameters(models.sketch(models.find(name))) / 1e6 == pytest.approx(
        millions, abs=allowed
    )


@pytest.mark.parametrize(("depth", "rounded"), [(164, 1.7), (1001, 10.2)])
def test_the_pre_activation_papers_counts_leave_out_batch_norm(depth: int, rounded: float) -> None:
    net = models.sketch(models.find(f"preact_resnet{depth}"))
    norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    left = models.parameters(net) - sum(models.parameters(layer) for layer in norms)
    assert round(left / 1e6, 1) == rounded


def test_padded_shortcuts_cost_what_projections_cost_less() -> None:
    for depth in (18, 34):
        projections = sum(64 * 2**i * 128 * 2**i + 2 * 128 * 2**i for i in range(3))
        padded = models.parameters(models.sketch(models.find(f"resnet{depth}_a")))
        assert padded == PARAMETERS[f"resnet{depth}"] - projections


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_the_papers(name: str) -> None:
    model = models.find(name)
    rows = models.layers(models.sketch(model), model.shape)
    total = sum(row.multiply_adds for row in rows) / 1e9
    assert total == pytest.approx(MULTIPLY_ADDS[name], abs=0.07)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_table_ends_in_the_classes_and_adds_up(name: str) -> None:
    model = models.find(name)
    net = models.sketch(model)
    rows = models.layers(net, model.shape)
    assert rows[-1].shape == (model.classes,)
    assert sum(row.parameters for row in rows) == models.parameters(net)
    assert set(model.says()) - {"all"} <= {row.name for row in rows} or "resnet" in name
    assert all(weights.is_meta for weights in net.parameters())


def test_a_deep_table_has_the_same_sums() -> None:
    model = models.find("cifar_resnet20")
    net = models.sketch(model)
    rows, deep = (models.layers(net, model.shape, deep=way) for way in (False, True))
    assert len(deep) > len(rows)
    for what in ("parameters", "multiply_adds"):
        assert sum(getattr(row, what) for row in rows) == sum(getattr(row, what) for row in deep)


def test_lenet5_has_the_papers_layers() -> None:
    rows = _rows("lenet5")
    assert {name: rows[name].parameters for name in ("C1", "S2", "C3", "S4", "C5", "F6")} == {
        "C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164,
    }  # fmt: skip
    assert [rows[name].shape for name in ("C1", "S2", "C3", "S4", "C5")] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1),
    ]  # fmt: skip
    # The paper's connections count each output's bias as well.
    for name, connections in (("C1", 122_304), ("C3", 151_600)):
        biases = rows[name].shape[0] * rows[name].shape[1] * rows[name].shape[2]
        assert rows[name].multiply_adds + biases == connections
    assert rows["output"].multiply_adds == 840


def test_lenet5s_third_layer_is_connected_as_table_1_says() -> None:
    assert [len(maps) for maps in TABLE] == [3] * 6 + [4] * 9 + [6]
    assert [sum(of in maps for maps in TABLE) for of in range(6)] == [10] * 6
    assert sorted(TABLE[4]) == [0, 4, 5]
    assert [sorted(maps) for maps in TABLE[12:15]] == [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]


def test_lenet5s_codes_are_ten_different_bitmaps() -> None:
    assert [len(code) for code in codes()] == [84] * 10
    assert len({tuple(code) for code in codes()}) == 10
    assert {value for code in codes() for value in code} == {-1.0, 1.0}


def test_alexnet_has_the_papers_outputs() -> None:
    rows = _rows("alexnet")
    sizes = [torch.Size(rows[f"conv{i}"].shape).numel() for i in range(1, 6)]
    assert sizes == [290_400, 186_624, 64_896, 64_896, 43_264]
    assert [rows[name].shape for name in ("fc6", "fc7", "fc8")] == [(4096,), (4096,), (1000,)]
    assert rows["conv2"].multiply_adds == 27 * 27 * 256 * 48 * 25  # half the maps: two groups


def test_googlenets_blocks_have_the_weights_of_its_table() -> None:
    net = dict(models.sketch(models.find("googlenet")).named_children())
    weights = {
        name.removeprefix("inception_"): sum(
            w.numel() for w in net[name].parameters() if w.dim() > 1
        )
        for name in net
        if name.startswith("inception_")
    }
    assert {name: round(count / 1024, 1) for name, count in weights.items()} == {
        "3a": 159.5, "3b": 379.0, "4a": 366.8, "4b": 438.0, "4c": 497.5, "4d": 590.5, "4e": 847.0,
        "5a": 1018.0, "5b": 1409.0,
    }  # fmt: skip
    rows = _rows("googlenet")
    millions = [rows[f"inception_{name}"].multiply_adds / 1e6 for name in ("3a", "3b", "4a")]
    assert millions == pytest.approx([128, 304, 73.6], abs=0.5)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4"])
def test_an_inceptions_parts_have_the_papers_sizes(name: str) -> None:
    rows = _rows(name)
    for part, said in models.find(name).says().items():
        if part == "all":
            continue
        channels, *sides = rows[part].shape
        assert said in ("x".join(map(str, (*sides, channels))), str(channels), f"1x1x{channels}")


@pytest.mark.parametrize("letter", ["a", "a_lrn", "b", "c", "d", "e"])
def test_every_layer_of_a_vgg_is_quoted_from_its_column(letter: str) -> None:
    says, net = models.find(f"vgg_{letter}").says(), models.sketch(models.find(f"vgg_{letter}"))
    for name, layer in net.named_children():
        if isinstance(layer, torch.nn.Conv2d):
            assert says[name] == f"conv{layer.kernel_size[0]}-{layer.out_channels}"
        elif isinstance(layer, torch.nn.Linear):
            assert says[name] == f"FC-{layer.out_features}"
        elif "pool" in name or "norm" in name:
            assert says[name] == ("maxpool" if "pool" in name else "LRN")
    assert ("conv3_3", "conv1-256") in says.items() or letter != "c"


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet152_a"])
def test_a_resnets_stages_have_the_papers_sizes(name: str) -> None:
    model = models.find(name)
    for row in models.layers(models.sketch(model), model.shape):
        if said := model.says().get(row.name):
            assert "x".join(map(str, row.shape[1:])) == said.split(",")[0]


def test_every_model_has_a_recipe_and_every_recipe_a_model() -> None:
    named = [model for name in recipes.names() for model in recipes.find(name).models]
    assert sorted(named) == sorted(models.MODELS)


def test_the_table_of_names_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from dsets import models\nprint(len(models.MODELS))\n"
        "try: models.find('alexnet').build((224, 224, 3), 10)\n"
        "except models.catalogue.MissingLibraryError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, message = run.stdout.splitlines()
    assert int(count) == len(models.MODELS)
    assert "pip install 'dsets[torch]'" in message


def _rows(name: str) -> dict[str, models.Layer]:
    model = models.find(name)
    return {row.name: row for row in models.layers(models.sketch(model), model.shape)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alexnet", "60 million parameters"),
        ("vgg_a_lrn", "133 million parameters"),
        ("resnet50", "3.8 x 10^9 multiply-adds"),
        ("resnet18_a", "1.8 x 10^9 multiply-adds"),
        ("cifar_resnet110", "1.7 million parameters"),
        ("preact_resnet200", "64.7 million parameters"),
        ("lenet5", "60,000 trainable parameters"),
        ("inception_v3", "less than 25 million parameters, 5 x 10^9 multiply-adds"),
        ("cifar_13pct", "four layers, sizes in cuda-convnet; 13 % test error"),
        ("cifar_11pct", "four layers, sizes in cuda-convnet; 11 % test error"),
        ("torch_tutorial", "parameters: not stated"),
        ("inception_v2", "13.6 million parameters"),
        ("lenet", "parameters: not stated; 98.97 % test accuracy"),
    ],
)
def test_a_paper_is_quoted_about_its_whole_net(name: str, said: str) -> None:
    assert models.find(name).says()["all"] == said


@pytest.mark.parametrize("name", models.MODELS)
def test_what_a_source_does_not_state_of_the_whole_net_is_said(name: str) -> None:
    assert models.find(name).says()["all"]


@pytest.mark.parametrize(
    "name",
    [
        "lenet", "torch_tutorial", "cifar_quick", "cifar_resnet20", "cifar_resnet110",
        "cifar_relu", "cifar_tanh", "cifar_13pct", "cifar_11pct",
    ],
)  # fmt: skip
def test_a_small_nets_layers_have_the_sizes_that_its_source_states(name: str) -> None:
    says, rows = models.find(name).says(), _rows(name)
    assert {row for row in rows if rows[row].parameters and "bn" not in row} <= {*says}
    for row in rows:
        number, _, unit = says.get(row, "").partition(" ")
        if unit == "units" or unit.startswith("kernels"):
            assert rows[row].shape[0] == int(number)
        elif unit.endswith("filters"):
            sides, (filters, _) = number.strip(","), unit.split(" ")
            assert f"{filters}x{sides}" == "x".join(map(str, rows[row].shape))
