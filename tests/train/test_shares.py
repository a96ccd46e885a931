"""Steps of one image: which runs have them, and which models can compute them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsets import models, train
from dsets.errors import TrainError
from dsets.train import recipes, shares
from dsets.train.shares import Shares
from tests.train.packs import make_pack

WHOLE = (32, 32, 3)


@pytest.mark.parametrize(
    ("told", "least"),
    [
        (Shares(500, 499, 1), 1),
        (Shares(500, 498, 1), 2),
        (Shares(500, 250, 1), 250),
        (Shares(500, 1000, 1), 500),
        (Shares(50_000, 78, 2), 1),  # the last two, one each
        (Shares(50_000, 77, 2), 14),
        (Shares(9, 8, 2), 1),  # the second process has padding
        (Shares(11, 8, 2), 2),
        (Shares(8, 2, 2), 1),
        (Shares(500, 499, 1, steps=1), 499),
        (Shares(500, 499, 1, steps=2), 1),
    ],
    ids=str,
)
def test_the_smallest_step_of_a_process(told: Shares, least: int) -> None:
    assert told.least == least


@pytest.mark.parametrize(
    "name", ["resnet18", "inception_v2", "preact_resnet164", "cifar_small", "lenet"]
)
def test_what_is_refused_is_what_torch_cannot_compute(name: str) -> None:
    one = Shares(500, 499, 1)
    net = models.find(name).build(WHOLE, 10).train()
    try:
        net(torch.zeros(1, 3, 32, 32))
    except ValueError:
        with pytest.raises(TrainError, match="over one image"):
            shares.check(name, WHOLE, 10, one)
    else:
        shares.check(name, WHOLE, 10, one)
    shares.check(name, WHOLE, 10, replace(one, batch_size=498))


def test_the_refusal_tells_numbers_and_a_batch_that_would_do() -> None:
    with pytest.raises(
        TrainError,
        match=r"resnet18 of 32x32: .*500 images in batches of 499 for 1 process: one in the last; "
        r"give another --batch-size \(500 would do\)",
    ):
        shares.check("resnet18", WHOLE, 10, Shares(500, 499, 1))
    with pytest.raises(TrainError, match=r"2 processes: one in each; .*\(4 would do\)"):
        shares.check("resnet18", WHOLE, 10, Shares(500, 2, 2))
    shares.check("resnet18", (64, 64, 3), 10, Shares(500, 499, 1))  # its maps are 2x2


def test_a_plan_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    training = make_pack(packs / "train", samples=9, shape=WHOLE)
    make_pack(packs / "test", samples=4, shape=WHOLE, training=training)
    recipe = replace(recipes.of("cifar_small"), batch_size=8)
    with pytest.raises(TrainError, match="9 images in batches of 8"):
        train.plan("resnet18", packs, tmp_path / "out", recipe=recipe)
    assert train.plan("cifar_small", packs, tmp_path / "out", recipe=recipe).epoch_steps == 2
    with pytest.raises(TrainError, match="images are too small for alexnet; expected at least"):
        train.plan("alexnet", packs, tmp_path / "out", recipe=recipe)
    assert not (tmp_path / "out").exists()
