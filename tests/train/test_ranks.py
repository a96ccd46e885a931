"""Several processes train one model: real ones, started by torchrun, connected by gloo."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsets import models, train
from dsets.errors import UsageError
from dsets.models import Model
from dsets.train import checkpoint, evaluating, ranks
from tests.train import crew
from tests.train.packs import make_packs
from tests.train.runs import RECIPE, ROOT, assert_same, dropping, lines

#: Python code that is ``crew``.
CREW = (
    f"import runpy, sys; sys.path.append({str(ROOT)!r}); "
    "runpy.run_module('tests.train.crew', run_name='__main__')"
)


def launch(part: str, *arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Start processes of ``crew`` and wait for their end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "--no-python", sys.executable, "-P", "-c", CREW]
    command += [part, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    make_packs(folder / "packs")
    return folder


@pytest.fixture(scope="module")
def said(place: Path) -> list[dict[str, Any]]:
    """What each of two processes said after several runs, which lie in ``place``."""
    ended = launch("many", place / "packs", place)
    assert ended.returncode == 0, ended.stderr
    return [json.loads((place / f"said.{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, build in (("tiny", dropping), ("plain", crew.plain)):
        monkeypatch.setitem(models.MODELS, name, Model(build, (16, 16, 1), 10, "for tests"))


def alone(model: str, packs: Path, out: Path, **options: Any) -> train.Result:
    return train.run(train.plan(model, packs, out, **{"recipe": RECIPE, "threads": 1, **options}))


def assert_close(out: Path, other: Path, kinds: tuple[str, ...] = ("train", "evaluation")) -> None:
    """The same figures of the same images, and the same weights, but for rounding."""
    ours, theirs = (
        [line for line in lines(folder) if line["kind"] in kinds] for folder in (out, other)
    )
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.pop("loss") == pytest.approx(yours.pop("loss"), rel=1e-5)
        assert mine == yours
    mine, yours = (checkpoint.load(folder / "checkpoint.pt").model for folder in (out, other))
    for name, values in mine.items():
        torch.testing.assert_close(values, yours[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "pieces"])
def test_two_processes_take_the_steps_of_one_though_they_do_not_divide_the_batch(
    place: Path, said: list[dict[str, Any]], kind: str, tmp_path: Path
) -> None:
    alone("plain", place / "packs", tmp_path / "one", recipe=crew.ODD)
    assert_close(place / kind, tmp_path / "one")
    assert lines(place / kind)[0]["ranks"] == 2


def test_two_processes_see_each_sample_once_an_epoch(said: list[dict[str, Any]]) -> None:
    seen = Counter(tuple(one) for theirs in said for one in theirs["seen"])
    assert seen == Counter((epoch, sample) for epoch in range(2) for sample in range(40))
    assert all(len(theirs["seen"]) > 30 for theirs in said)


def test_an_evaluation_counts_each_sample_once(place: Path, said: list[dict[str, Any]]) -> None:
    result = json.loads((place / "plain" / "result.json").read_text())
    assert [entry["images"] for entry in result["history"]] == [12, 12]


@pytest.mark.parametrize("processes", [2, 3])
def test_an_evaluation_of_a_run_counts_each_sample_once_and_each_process_has_all_figures(
    place: Path, tmp_path: Path, processes: int
) -> None:
    """Batches of 7, and a last one of 5, which neither 2 nor 3 divide."""
    alone("plain", place / "packs", tmp_path / "out", recipe=crew.ODD)
    one = evaluating.evaluate(
        evaluating.find(tmp_path / "out", place / "packs", "train"), threads=1
    )
    ended = launch("judge", place / "packs", tmp_path, processes=processes)
    assert ended.returncode == 0, ended.stderr
    said = [json.loads((tmp_path / f"said.{n}.json").read_text()) for n in range(processes)]
    seen = Counter(tuple(sample) for theirs in said for sample in theirs["seen"])
    assert seen == Counter((0, sample) for sample in range(40))
    for theirs in said:
        assert len(theirs["seen"]) >= 6  # of each batch at least one
        assert theirs["confusion"] == one.confusion.tolist()
        assert (theirs["images"], theirs["top1"]) == (40, one.figures.top1)
        assert theirs["loss"] == pytest.approx(one.figures.loss, rel=1e-6)


def test_a_batch_that_is_not_divided_is_warned_of_once(said: list[dict[str, Any]]) -> None:
    (told,) = said[0]["warnings"]
    assert told.startswith("2 processes do not divide the batch of 7") and "of 8 has none" in told
    assert said[0]["batch norm"] == [
        "batch norm normalises by the 4 images of each process, not by all 8"
    ]
    assert said[1]["warnings"] == said[1]["batch norm"] == []


def test_a_stop_that_one_process_hears_stops_all_after_the_same_step(
    said: list[dict[str, Any]],
) -> None:
    assert [theirs["stopped"] for theirs in said] == [[1, False], [1, False]]


def test_what_the_processes_disagree_on_is_named_by_each(said: list[dict[str, Any]]) -> None:
    assert all("the processes of this run differ in seed" in theirs["seeds"] for theirs in said)


def test_what_the_first_process_refuses_all_refuse(place: Path, said: list[dict[str, Any]]) -> None:
    assert all("log.jsonl is in the way" in theirs["foreign"] for theirs in said)
    assert (place / "foreign" / "log.jsonl").read_text() == "mine"


def test_when_a_process_is_killed_the_other_ends_and_the_run_goes_on_with_any_number(
    place: Path, said: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = launch("die", place / "packs", out, 4)
    assert ended.returncode != 0
    assert "rank 0: rank 0 of 2: another process of this run is gone" in ended.stderr
    assert "by peer" in ended.stderr and "This is typically" not in ended.stderr
    kept = checkpoint.load(out / "checkpoint.pt")
    assert (kept.step, len(kept.ranks)) == (3, 2)
    shutil.copytree(out, tmp_path / "one")

    # Two again: to the bit as if nothing had happened, batch norm, dropout and all.
    ended = launch("run", place / "packs", out)
    assert ended.returncode == 0, ended.stderr
    assert_same(out, place / "tiny")

    # One: each sample of the epoch once, those of before the kill and those of after it.
    with crew.seeing() as after_it:
        assert alone("tiny", place / "packs", tmp_path / "one").finished
    with_two = [
        tuple(one)
        for rank in range(2)
        for one in json.loads(Path(f"{out}.seen.{rank}.json").read_text())
    ]
    assert Counter(after_it) == Counter(with_two)
    assert len(after_it) == 16 + 40
    told = [line for line in lines(tmp_path / "one") if line["kind"] == "environment"]
    assert [(line["step"], line["ranks"]) for line in told] == [(0, 2), (3, 1)]
    kept = checkpoint.load(tmp_path / "one" / "checkpoint.pt")
    assert [(entry["step"], entry["ranks"]) for entry in kept.environments] == [(0, 2), (3, 1)]


def test_within_an_epoch_two_three_and_four_processes_take_over_from_one_another(
    place: Path, tmp_path: Path
) -> None:
    """Six steps an epoch, of 7 samples, which none of them divides; the last has 5."""
    command = [sys.executable, "-P", "-c", CREW, "relay", str(place / "packs"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert ended.returncode == 0, ended.stderr
    seen = Counter(
        tuple(one) for part in tmp_path.glob("seen.*.json") for one in json.loads(part.read_text())
    )
    assert seen == Counter((epoch, sample) for epoch in range(2) for sample in range(40))
    told = [line for line in lines(tmp_path / "out") if line["kind"] == "environment"]
    assert [(one["step"], one["ranks"]) for one in told] == [(0, 2), (2, 3), (4, 4), (8, 3)]
    alone("plain", place / "packs", tmp_path / "one", recipe=crew.ODD)
    assert_close(tmp_path / "out", tmp_path / "one")


def test_a_line_of_the_log_that_two_processes_began_and_one_ends_has_all_images(
    place: Path, said: list[dict[str, Any]], tmp_path: Path
) -> None:
    shutil.copytree(place / "stopped", tmp_path / "out")
    path = tmp_path / "out" / "checkpoint.pt"
    kept = checkpoint.load(path)
    assert [theirs["meter"][3] for theirs in kept.ranks] == [0, 0]  # each step has its line
    figures = [[1.5, 2.0, 4.0, 4.0], [0.25, 1.0, 3.0, 3.0]]
    held = [{**theirs, "meter": one} for theirs, one in zip(kept.ranks, figures, strict=True)]
    checkpoint.save(path, replace(kept, ranks=held))
    alone("plain", place / "packs", tmp_path / "out")
    line = next(line for line in lines(tmp_path / "out") if line.get("step") == 2)
    assert line["images"] == 8 + 7


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (0, 1)),  # nowhere to meet: some other tool's
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "::1", "MASTER_PORT": "9"}, (1, 2)),
    ],
)
def test_the_launcher_says_who_is_who(
    environment: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ranks.launched() == expected


@pytest.mark.parametrize(("rank", "world"), [("x", "2"), ("2", "2"), ("-1", "2"), ("0", "1e3")])
def test_nonsense_of_a_launcher_is_refused(
    rank: str, world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "::1", "MASTER_PORT": "9"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"bad (RANK|WORLD_SIZE)"):
        ranks.launched()
