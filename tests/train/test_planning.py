"""Plans: which packs are trained and evaluated on, and what cannot be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import train
from dsets.errors import PackError, TrainError, UsageError
from dsets.train import recipes
from tests.train.packs import make_pack


def test_the_pack_with_statistics_is_trained_on_and_the_other_evaluated(packs: Path) -> None:
    plan = train.plan("lenet", packs)
    assert (plan.training.split, plan.evaluation.split) == ("train", "test")
    assert (plan.shape, plan.classes, plan.taken) == ((16, 16, 1), 3, 0)
    assert plan.recipe == recipes.of("lenet")
    assert (plan.epoch_steps, plan.steps) == (1, plan.recipe.epochs)


def test_of_several_other_packs_the_validation_pack_is_evaluated_on(packs: Path) -> None:
    make_pack(packs / "val", samples=6, training=packs / "train")
    make_pack(packs / "extra", samples=6, training=packs / "train")
    assert train.plan("lenet", packs).evaluation.split == "val"


def test_a_crop_larger_than_the_images_is_refused_before_anything_is_done(packs: Path) -> None:
    with pytest.raises(
        UsageError,
        match=(
            r"recipe alexnet-imagenet: images\.size: the crop is larger than the image; "
            "expected at most 16 for images of 16 x 16, got 224; give a --recipe"
        ),
    ):
        train.plan("alexnet", packs)


def test_planning_writes_nothing(packs: Path, tmp_path: Path) -> None:
    train.plan("lenet", packs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "home").exists()


def test_each_run_has_its_own_place_and_the_same_run_always_the_same(
    packs: Path, tmp_path: Path
) -> None:
    recipe = recipes.of("lenet")
    plans = [
        train.plan("lenet", packs),
        train.plan("lenet", packs, seed=1),
        train.plan("lenet", packs, recipe=replace(recipe, epochs=9)),
        train.plan("cifar_quick", packs),
    ]
    assert len({plan.out for plan in plans}) == len(plans)
    assert train.plan("lenet", packs).out == plans[0].out
    assert plans[0].out.parent == tmp_path / "home" / "runs"


def test_another_run_in_the_same_folder_is_refused(packs: Path, tmp_path: Path) -> None:
    one_epoch = replace(recipes.of("lenet"), epochs=1)
    train.run(train.plan("lenet", packs, tmp_path / "out", recipe=one_epoch, threads=1))
    with pytest.raises(TrainError, match=r"another run: recipe\.epochs differs; expected 2, got 1"):
        train.plan("lenet", packs, tmp_path / "out", recipe=replace(one_epoch, epochs=2))
    with pytest.raises(TrainError, match="seed differs"):
        train.plan("lenet", packs, tmp_path / "out", recipe=one_epoch, seed=1)
    shutil.rmtree(packs / "test")
    make_pack(packs / "test", samples=13, training=packs / "train")
    with pytest.raises(TrainError, match="pack digest of evaluation differs"):
        train.plan("lenet", packs, tmp_path / "out", recipe=one_epoch)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"seed": -1}, "bad seed"),
        ({"seed": 2**32}, "bad seed"),
        ({"threads": 0}, "bad number of threads"),
        ({"device": "abacus"}, "no such device"),
        ({"device": "meta"}, "cannot train on this device"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    packs: Path, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        train.plan("lenet", packs, **options)


def test_a_folder_that_is_no_folder_of_packs_is_refused(packs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="this is one pack"):
        train.plan("lenet", packs / "train")
    with pytest.raises(TrainError, match=r"cannot tell the training pack.*got none"):
        train.plan("lenet", tmp_path)
    with pytest.raises(TrainError, match=f"one level below there are packs: give {packs}$"):
        train.plan("lenet", packs.parent)
    make_pack(packs / "more", samples=9)
    with pytest.raises(TrainError, match="got more, train"):
        train.plan("lenet", packs)


def test_a_training_pack_alone_is_refused(packs: Path) -> None:
    shutil.rmtree(packs / "test")
    with pytest.raises(TrainError, match="no pack to evaluate on"):
        train.plan("lenet", packs)


def test_a_test_pack_made_beside_another_training_pack_is_refused(packs: Path) -> None:
    shutil.rmtree(packs / "train")
    make_pack(packs / "train", samples=20)
    with pytest.raises(TrainError, match="not made beside the training pack 'train'"):
        train.plan("lenet", packs)


def test_a_damaged_pack_is_refused(packs: Path) -> None:
    (packs / "test" / "index.json").write_text("{}")
    with pytest.raises(PackError):
        train.plan("lenet", packs)


@pytest.mark.parametrize("labels", [[0, 1, 3, 2], [0, -1, 1, 2]])
def test_labels_that_name_no_class_are_refused(packs: Path, labels: list[int]) -> None:
    shutil.rmtree(packs / "test")
    make_pack(packs / "test", samples=4, training=packs / "train", labels=np.array(labels))
    with pytest.raises(TrainError, match="a label names no class; expected 0 to 2"):
        train.plan("lenet", packs)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"shape": (20, 16, 1)}, "the packs disagree on image"),
        ({"classes": 4}, "the packs disagree on label"),
    ],
)
def test_packs_that_disagree_are_refused(packs: Path, options: dict[str, Any], what: str) -> None:
    shutil.rmtree(packs / "test")
    make_pack(packs / "test", samples=4, training=packs / "train", **options)
    with pytest.raises(TrainError, match=what):
        train.plan("lenet", packs)
