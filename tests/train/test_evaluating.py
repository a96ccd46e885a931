"""Evaluations: figures, confusions and ten crops, each against what is worked out by hand."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dsets import models, train
from dsets.errors import TrainError, UsageError
from dsets.models import Model
from dsets.train import checkpoint, evaluating
from dsets.train.images import Images
from dsets.train.recipe import Recipe
from dsets.train.update import Update
from tests.train.packs import make_pack

RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    update=Update(rate=0.05),
    images=Images(crop="random", size=12, subtract="mean-image", ten_crop=True),
)


def convolving(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Takes images of any size."""
    return nn.Sequential(
        nn.Conv2d(shape[2], 4, 5, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "tiny", Model(convolving, (16, 16, 1), 10, "for tests"))


@pytest.fixture
def out(packs: Path, tmp_path: Path) -> Path:
    train.run(train.plan("tiny", packs, tmp_path / "out", recipe=RECIPE, threads=1))
    return tmp_path / "out"


def test_one_view_gives_the_figures_that_the_run_ended_with(out: Path, packs: Path) -> None:
    last = json.loads((out / "result.json").read_text())["test"]
    found = evaluating.evaluate(evaluating.find(out, packs), crops=1, threads=1)
    assert (found.figures.images, found.figures.top1) == (12, last["top1"])
    assert found.figures.loss == pytest.approx(last["loss"], rel=1e-6)
    assert (found.crops, found.size) == (1, 0)


def test_the_confusion_matrix_counts_each_image_in_the_row_of_its_class(
    out: Path, packs: Path
) -> None:
    run = evaluating.find(out, packs, "train")
    found = evaluating.evaluate(run, threads=1)
    labels = [int(run.pack[i]["label"]) for i in range(len(run.pack))]
    assert found.confusion.sum(axis=1).tolist() == np.bincount(labels, minlength=3).tolist()
    assert found.confusion.trace() == round(found.figures.top1 * len(labels))


def test_ten_crops_are_corners_and_centre_and_mirrored_their_softmax_averaged(
    out: Path, packs: Path
) -> None:
    run = evaluating.find(out, packs)
    found = evaluating.evaluate(run, threads=1)
    statistics = run.training.statistics
    assert statistics is not None
    mean = statistics.mean_image.astype(np.float32)
    loss, right = 0.0, 0
    for i in range(len(run.pack)):
        image = run.pack[i]["image"].astype(np.float32) - mean
        shares = []
        for top, left in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
            crop = image[top : top + 12, left : left + 12]
            for view in (crop, crop[:, ::-1]):
                planes = torch.tensor(view.transpose(2, 0, 1).copy())[None]
                with torch.no_grad():
                    shares.append(run.model.eval()(planes).softmax(1)[0])
        share, label = torch.stack(shares).mean(0), int(run.pack[i]["label"])
        loss -= float(share[label].log()) / len(run.pack)
        right += int(share.argmax() == label)
    assert found.figures.loss == pytest.approx(loss, rel=1e-5)
    assert found.figures.top1 == right / len(run.pack)
    assert (found.crops, found.size) == (10, 12)


def test_what_is_written_can_be_read_and_seen(out: Path, packs: Path, tmp_path: Path) -> None:
    run = evaluating.find(out, packs)
    found = evaluating.evaluate(run, threads=1)
    written = evaluating.write(run, found, tmp_path / "seen")
    assert [path.name for path in written] == [
        *("evaluation.json", "confusion.png", "curves.png", "filters.png"),
    ]
    told = json.loads(written[0].read_text())
    assert told["confusion"] == found.confusion.tolist()
    assert told["top1_error"] == 1 - told["top1"]
    assert told["identity"] == run.kept.identity
    for path in written[1:]:
        assert Image.open(io.BytesIO(path.read_bytes())).format == "PNG"


def test_a_whole_image_has_no_ten_crops_unless_they_are_given_a_size(
    packs: Path, tmp_path: Path
) -> None:
    whole = replace(RECIPE, images=Images())
    train.run(train.plan("tiny", packs, tmp_path / "out", recipe=whole, threads=1))
    run = evaluating.find(tmp_path / "out", packs)
    with pytest.raises(UsageError, match="ten crops need a size"):
        evaluating.evaluate(run, crops=10)
    with pytest.raises(UsageError, match="larger than the image"):
        evaluating.evaluate(run, crops=10, size=17)
    assert evaluating.evaluate(run, crops=10, size=14, threads=1).size == 14
    with pytest.raises(TrainError, match="does not take these crops"):
        evaluating.evaluate(run, crops=10, size=2, threads=1)


def test_other_packs_than_the_runs_are_refused(out: Path, packs: Path, tmp_path: Path) -> None:
    make_pack(tmp_path / "other" / "train", samples=8, seed=9)
    with pytest.raises(TrainError, match=r"not the packs of this run.*pack of digest"):
        evaluating.find(out, tmp_path / "other")
    with pytest.raises(TrainError, match="a pack of split val, got test, train"):
        evaluating.find(out, packs, "val")
    with pytest.raises(TrainError, match=r"not a run: there is no checkpoint.*the --out of a t"):
        evaluating.find(tmp_path, packs)


@pytest.mark.parametrize(
    "change",
    [{"model": 3}, {"recipe": "x"}, {"recipe": {"epochs": 1}}, {"recipe": {"__class__": 1}}],
)
def test_a_checkpoint_of_a_stranger_is_read_strictly(
    out: Path, packs: Path, change: dict[str, object]
) -> None:
    kept = checkpoint.load(out / "checkpoint.pt")
    identity = {**kept.identity, **change}
    checkpoint.save(out / "checkpoint.pt", replace(kept, identity=identity))
    with pytest.raises((TrainError, UsageError)):
        evaluating.find(out, packs)


def test_weights_of_another_net_are_refused(out: Path, packs: Path) -> None:
    kept = checkpoint.load(out / "checkpoint.pt")
    checkpoint.save(out / "checkpoint.pt", replace(kept, model={"0.weight": torch.zeros(1)}))
    with pytest.raises(TrainError, match="does not fit its model"):
        evaluating.find(out, packs)


def test_an_evaluation_leaves_the_run_as_it_was(out: Path, packs: Path) -> None:
    before = (out / "checkpoint.pt").read_bytes()
    run = evaluating.find(out, packs)
    evaluating.write(run, evaluating.evaluate(run, threads=1), out / "evaluation")
    assert (out / "checkpoint.pt").read_bytes() == before
    assert train.run(train.plan("tiny", packs, out, recipe=RECIPE, threads=1)).finished
