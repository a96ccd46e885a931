"""Memory: how much of an evaluation is held at once, and what is said where it does not do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dsets import models, train
from dsets.errors import TrainError, UsageError
from dsets.models import Model
from dsets.train import checkpoint, evaluating, memory
from dsets.train.images import Images
from dsets.train.recipe import Recipe
from dsets.train.update import Update
from tests.train.packs import make_pack

#: More than any machine has.
ENDLESS = 2**55


class Watched(nn.Module):
    """Notes how many images it is given at once, in training and in evaluation."""

    def __init__(
        self, classes: int, seen: list[tuple[bool, int]], limit: Callable[[], int]
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(256, classes)
        self._seen, self._limit = seen, limit

    def forward(self, images: Tensor) -> Tensor:
        self._seen.append((self.training, len(images)))
        if len(self._seen) > self._limit():
            torch.empty(ENDLESS, dtype=torch.uint8)
        scores: Tensor = self.dense(images.flatten(1))
        return scores


@pytest.fixture
def seen() -> list[tuple[bool, int]]:
    return []


@pytest.fixture
def limit() -> list[int]:
    return [10**9]


@pytest.fixture(autouse=True)
def watched(
    monkeypatch: pytest.MonkeyPatch, seen: list[tuple[bool, int]], limit: list[int]
) -> None:
    def build(shape: tuple[int, int, int], classes: int) -> nn.Module:
        return Watched(classes, seen, lambda: limit[0])

    monkeypatch.setitem(models.MODELS, "watched", Model(build, (16, 16, 1), 10, "for tests"))


def trained(packs: Path, out: Path, accumulate: int = 1) -> None:
    recipe = Recipe(1, 8, Update(rate=0.01), images=Images())
    numerics = train.Numerics(accumulate=accumulate)
    train.run(train.plan("watched", packs, out, recipe=recipe, threads=1, numerics=numerics))


@pytest.mark.parametrize(("accumulate", "most"), [(1, 8), (2, 4), (5, 1)])
def test_an_evaluation_holds_no_more_images_than_a_step(
    packs: Path, tmp_path: Path, seen: list[tuple[bool, int]], accumulate: int, most: int
) -> None:
    trained(packs, tmp_path / "out", accumulate)
    assert max(n for training, n in seen if not training) == most
    seen.clear()
    run = evaluating.find(tmp_path / "out", packs)
    found = evaluating.evaluate(run, threads=1)
    assert max(n for _, n in seen) == most
    seen.clear()
    whole = evaluating.evaluate(run, threads=1, batch_size=12)
    assert max(n for _, n in seen) == 12
    assert found.figures.loss == pytest.approx(whole.figures.loss, rel=1e-6)
    assert (found.confusion == whole.confusion).all()


def test_pieces_that_cannot_be_are_not_taken_from_a_checkpoint(
    packs: Path, tmp_path: Path, seen: list[tuple[bool, int]]
) -> None:
    trained(packs, tmp_path / "out", 2)
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for pieces in ("many", 0, True, 10**9):
        told = {**kept.environments[0], "accumulate": pieces}
        checkpoint.save(path, replace(kept, environments=[told]))
        seen.clear()
        evaluating.evaluate(evaluating.find(tmp_path / "out", packs), threads=1)
        assert max(n for _, n in seen) == 8


@pytest.mark.parametrize(("batch_size", "most"), [(None, 10), (20, 20), (29, 20), (1, 10)])
def test_ten_crops_of_an_image_count_as_ten(
    packs: Path,
    tmp_path: Path,
    seen: list[tuple[bool, int]],
    batch_size: int | None,
    most: int,
) -> None:
    trained(packs, tmp_path / "out")
    seen.clear()
    run = evaluating.find(tmp_path / "out", packs)
    evaluating.evaluate(run, crops=10, size=16, threads=1, batch_size=batch_size)
    assert max(n for _, n in seen) == most


def test_only_a_number_that_is_given_is_more_than_the_most(
    tmp_path: Path, seen: list[tuple[bool, int]]
) -> None:
    assert memory.held(4096, 1) == memory.held(4096, 2) == memory.MOST
    training = make_pack(tmp_path / "packs" / "train", samples=40)
    many = memory.MOST + 20
    make_pack(tmp_path / "packs" / "test", samples=many, training=training, seed=1)
    trained(tmp_path / "packs", tmp_path / "out")
    seen.clear()
    run = evaluating.find(tmp_path / "out", tmp_path / "packs")
    evaluating.evaluate(run, threads=1, batch_size=many)
    assert [n for _, n in seen] == [many]


def test_a_run_out_of_memory_says_so_and_goes_on_in_more_pieces(
    packs: Path, tmp_path: Path, limit: list[int]
) -> None:
    limit[0] = 2
    with pytest.raises(TrainError, match=r"out of memory; got .*a larger --accumulate than 1"):
        trained(packs, tmp_path / "out")
    limit[0] = 10**9
    trained(packs, tmp_path / "out", 2)
    assert (tmp_path / "out" / "result.json").exists()


def test_an_evaluation_out_of_memory_is_not_told_as_crops_of_a_wrong_size(
    packs: Path, tmp_path: Path, limit: list[int]
) -> None:
    trained(packs, tmp_path / "out")
    run = evaluating.find(tmp_path / "out", packs)
    limit[0] = 0
    with pytest.raises(TrainError, match=r"out of memory; got .*a smaller --batch-size"):
        evaluating.evaluate(run, threads=1)
    with pytest.raises(UsageError, match="batch_size"):
        evaluating.evaluate(run, threads=1, batch_size=0)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError("bad_alloc")],
)
def test_every_kind_of_running_out_is_told(error: Exception) -> None:
    with pytest.raises(TrainError, match="run: out of memory"), memory.told("run", "less"):
        raise error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes$"), memory.told("run", "less"):
        raise RuntimeError("shapes")
