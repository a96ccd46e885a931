"""Recipes: what may be written in one, and the learning rate it gives to each step."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.train import read_recipe, recipe_file, recipes
from dsets.train.images import Images
from dsets.train.recipe import Recipe
from dsets.train.schedule import Schedule, When, drops
from dsets.train.update import Update

PLAIN = Recipe(epochs=2, batch_size=8, update=Update(rate=0.1))


def rates(schedule: Schedule, steps: int = 1000, epoch_steps: int = 100) -> list[float]:
    recipe = replace(PLAIN, schedule=schedule)
    return [recipe.rate_at(When(step, steps, epoch_steps)) for step in range(steps)]


def test_one_cycle_climbs_to_the_rate_at_the_end_of_the_warm_up_and_falls_towards_nothing() -> None:
    found = rates(Schedule())
    assert found[:200] == sorted(found[:200])
    assert found[200:] == sorted(found[200:], reverse=True)
    assert max(found) == pytest.approx(0.1, rel=0.01)
    assert found[0] < 0.001 and found[-1] < 0.001


def test_a_constant_schedule_gives_the_rate_itself() -> None:
    assert {*rates(Schedule(kind="constant"), 7)} == {0.1}


def test_steps_lower_the_rate_after_so_many_steps_as_the_cifar_resnets_do() -> None:
    recipe = recipes.of("cifar_resnet20")
    whole = [recipe.rate_at(When(step, 64_000, 391)) for step in range(64_000)]
    assert [whole.count(rate) for rate in dict.fromkeys(whole)] == [32_000, 16_000, 16_000]
    assert list(dict.fromkeys(whole)) == pytest.approx([0.1, 0.01, 0.001])


def test_exponential_lowers_the_rate_every_so_many_epochs() -> None:
    found = rates(Schedule(kind="exponential", factor=0.5, every=2), 700)
    assert found == [0.1] * 200 + [0.05] * 200 + [0.025] * 200 + [0.0125] * 100


def test_plateau_divides_after_errors_that_fall_no_more_and_only_so_often() -> None:
    falling, flat = [0.9, 0.8, 0.7], [0.7, 0.75, 0.7]
    assert drops(falling, 3, 3) == 0
    assert drops(falling + flat[:2], 3, 3) == 0
    assert drops(falling + flat, 3, 3) == 1
    assert drops([*falling, *flat, 0.6, 0.6, 0.6], 3, 3) == 1
    assert drops([*falling, *flat, 0.6, 0.6, 0.6, 0.6], 3, 3) == 2
    assert drops([0.5] * 100, 3, 3) == 3
    recipe = recipes.of("alexnet")
    rate = [recipe.rate_at(When(0, 9, 1, [0.9, *[0.9] * stale])) for stale in (0, 2, 3, 6, 9, 30)]
    assert rate == pytest.approx([0.01, 0.01, 0.001, 1e-4, 1e-5, 1e-5])


@given(errors=st.lists(st.floats(0, 1)), patience=st.integers(1, 4), times=st.integers(0, 4))
def test_more_evaluations_never_take_a_drop_back(
    errors: list[float], patience: int, times: int
) -> None:
    found = [drops(errors[:count], patience, times) for count in range(len(errors) + 1)]
    assert found == sorted(found) and found[-1] <= times
    assert all(after - before <= 1 for before, after in pairwise(found))


@given(steps=st.integers(1, 5000), warm_up=st.floats(0, 0.99), data=st.data())
def test_no_step_of_any_run_gets_a_rate_below_nothing_or_above_the_highest(
    steps: int, warm_up: float, data: Any
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    schedule = Schedule(warm_up=warm_up)
    assert 0 <= replace(PLAIN, schedule=schedule).rate_at(When(step, steps, steps)) <= 0.1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (PLAIN, {"epochs": 0}),
        (PLAIN, {"batch_size": -1}),
        (PLAIN, {"log_steps": 0}),
        (PLAIN, {"smoothing": 1.0}),
        (PLAIN, {"steps": -1}),
        (PLAIN.update, {"rate": math.nan}),
        (PLAIN.update, {"rate": -0.1}),
        (PLAIN.update, {"rate": 0.0}),
        (PLAIN.update, {"momentum": 1.5}),
        (PLAIN.update, {"momentum": 1.0}),
        (PLAIN.update, {"weight_decay": math.inf}),
        (PLAIN.update, {"clip": -1.0}),
        (PLAIN.update, {"rule": "adam?"}),
        (PLAIN.schedule, {"warm_up": 1.0}),
        (PLAIN.schedule, {"kind": "cosine?"}),
        (PLAIN.schedule, {"factor": 2.0}),
        (PLAIN.schedule, {"at": (5, 5)}),
        (PLAIN.schedule, {"patience": 0}),
        (PLAIN.images, {"padding": -1}),
        (PLAIN.images, {"padding": 4}),
        (PLAIN.images, {"size": 224}),
        (PLAIN.images, {"crop": "ten"}),
        (PLAIN.images, {"subtract": "nothing"}),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(kind: Any, change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(UsageError, match=name):
        replace(kind, **change)


def test_what_a_choice_needs_is_asked_for() -> None:
    with pytest.raises(UsageError, match="bad at"):
        Schedule(kind="steps")
    with pytest.raises(UsageError, match="bad padding"):
        replace(PLAIN.images, crop="pad")


def test_the_alexnet_recipe_is_the_papers() -> None:
    recipe = recipes.of("alexnet")
    assert (recipe.epochs, recipe.batch_size) == (90, 128)
    assert recipe.update == Update(0.01, "alexnet", 0.9, 0.0005)
    assert (recipe.schedule.kind, recipe.schedule.factor, recipe.schedule.times) == (
        *("plateau", 0.1),
        3,
    )
    assert recipe.images == Images(
        crop="random", size=224, flip=True, lighting=0.1, subtract="mean-image", ten_crop=True
    )


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_comes_back_from_its_plain_values(name: str) -> None:
    recipe = recipes.find(name).recipe
    assert recipe_file.of_plain(recipe.plain(), "here") == recipe


GOOD = """
title = "t"
source = "s"
models = ["lenet"]
epochs = 2
batch_size = 8
[update]
rate = 1
"""


def test_what_is_left_out_of_a_file_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    read = recipe_file.read(path)
    assert (read.name, read.title, read.models) == ("mine", "t", ("lenet",))
    assert read.recipe == replace(PLAIN, update=Update(rate=1.0))


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("epochs = 2", "", "epochs: missing key"),
        ("epochs = 2", "epochs = 2.5", "epochs: wrong type; expected a whole number"),
        ("epochs = 2", "epochs = true", "epochs: wrong type"),
        ("epochs = 2", "epoch = 2", "epoch: unknown key.*did you mean epochs"),
        ("epochs = 2", "epochs = 0", "mine.toml: bad epochs"),
        ("rate = 1", "", "update.rate: missing key"),
        ("rate = 1", "rate = nan", "update.rate: bad number"),
        ("rate = 1", "rate = '1'", "update.rate: wrong type; expected a number"),
        ("rate = 1", "rate = 1\nrule = 'adam'", "mine.toml: update: no such rule"),
        ("[update]\nrate = 1", "update = 1", "update: wrong type; expected a table"),
        ("rate = 1", "rate = 1\n[schedule]\nat = ['x']", r"schedule.at\[0\]: wrong type"),
        ("rate = 1", "rate = 1\n[__class__]\nx = 1", "__class__: unknown key"),
        ("rate = 1", "rate = ", "not valid TOML"),
        ('["lenet"]', "[]", "mine.toml: models: no model; expected names"),
        ('["lenet"]', '["lenet", "lennet5"]', r"models\[1\]: no such model.*did you mean lenet5"),
    ],
)
def test_a_file_that_breaks_the_rules_is_refused_with_file_and_key(
    tmp_path: Path, before: str, after: str, what: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(UsageError, match=what):
        recipes.find(str(path))


@pytest.mark.parametrize("name", ["no-such-recipe", "/no/such.toml", ".toml", "../recipes/x.toml"])
def test_a_recipe_that_is_not_there_is_an_error_of_ours(name: str) -> None:
    with pytest.raises(UsageError):
        recipes.find(name)


def test_a_file_of_ones_own_is_read_in_python_by_its_path_as_text(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "title = 't'\nsource = 's'\nmodels = ['lenet']\nepochs = 2\nbatch_size = 8\n"
        "[update]\nrate = 0.1\n"
    )
    found = read_recipe(str(mine))
    assert (found.name, found.models, found.recipe) == ("mine", ("lenet",), PLAIN)
