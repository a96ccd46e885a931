"""Checkpoints: whole or not there, refused when damaged, foreign or hostile."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import random
import resource
import shutil
import signal
import zipfile
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.errors import TrainError
from dsets.train import checkpoint, contents
from dsets.train.checkpoint import FORMAT, Checkpoint

KEPT = Checkpoint(
    identity={"model": "lenet", "recipe": {"epochs": 2, "rate": 0.1}, "seed": 0},
    environments=[{"step": 0, "threads": 1}],
    packs={"training": {"digest": "abc"}},
    step=7,
    seconds=1.5,
    log_bytes=80,
    log_sha256="ab" * 32,
    history=[{"epoch": 1, "step": 5, "images": 9, "loss": 0.1, "top1": 1.0, "seconds": 0.5}],
    model={"weight": torch.arange(4.0)},
    optimizer={"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []},
    stream={"epoch": 0, "position": 7},
    scaler={},
    ranks=[{"meter": [0.1, 0.2, 0.3, 4.0], "generators": {"cpu": torch.get_rng_state()}}],
)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint.pt", KEPT)
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert torch.equal(loaded.model["weight"], KEPT.model["weight"])
    (theirs,), (ours,) = loaded.ranks, KEPT.ranks
    assert torch.equal(theirs["generators"]["cpu"], ours["generators"]["cpu"])
    assert theirs["meter"] == ours["meter"]
    for name in (
        "identity",
        "environments",
        "packs",
        "step",
        "seconds",
        "log_bytes",
        "log_sha256",
        "history",
    ):
        assert getattr(loaded, name) == getattr(KEPT, name)
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def parts(kept: Checkpoint) -> dict[str, Any]:
    return {field.name: getattr(kept, field.name) for field in fields(kept)}


def test_a_bit_that_flips_is_refused_or_changes_nothing_that_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, replace(KEPT, model={"weight": torch.arange(999.0)}))
    good = path.read_bytes()
    weight = good.index(torch.arange(999.0).numpy().tobytes())
    chance = random.Random(0)
    places = [
        *range(weight, weight + 999 * 4, 97),
        *(chance.randrange(len(good)) for _ in "x" * 300),
    ]
    refused = 0
    for number, place in enumerate(places):
        bad = bytearray(good)
        bad[place] ^= 1 << number % 8
        path.write_bytes(bad)
        try:
            loaded = checkpoint.load(path)
        except TrainError:
            refused += 1
            continue
        assert not weight <= place < weight + 999 * 4
        assert parts(replace(loaded, model={}, optimizer={}, ranks=[])) == parts(
            replace(KEPT, model={}, optimizer={}, ranks=[])
        )
        for name in ("model", "optimizer", "ranks"):  # to the bit, tensors too
            assert contents.digest(getattr(loaded, name)) == contents.digest(
                {"weight": torch.arange(999.0)} if name == "model" else getattr(KEPT, name)
            )
    assert refused > 42


def test_weights_that_were_changed_and_written_again_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, KEPT)
    held = torch.load(path, weights_only=True)
    held["model"]["weight"][0] = float("nan")
    torch.save(held, path)
    with pytest.raises(TrainError, match=r"checkpoint is damaged.*give a whole checkpoint.pt"):
        checkpoint.load(path)


def test_a_failed_save_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, KEPT)
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        checkpoint.save(path, replace(KEPT, stream={"cannot be pickled": lambda: 0}))
    assert checkpoint.load(path).step == 7
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_checkpoint_cut_short_or_overwritten_in_part_is_refused_or_the_same(
    tmp_path: Path, data: Any
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, KEPT)
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    junk = data.draw(st.one_of(st.none(), st.binary(min_size=1, max_size=40)))
    path.write_bytes(good[:at] if junk is None else good[:at] + junk + good[at + len(junk) :])
    try:
        loaded = checkpoint.load(path)
    except TrainError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(loaded, Checkpoint)


class Attack:
    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._proof),)


def test_a_hostile_checkpoint_runs_nothing(tmp_path: Path) -> None:
    path, proof = tmp_path / "checkpoint.pt", tmp_path / "proof"
    torch.save({"format": FORMAT, **asdict(KEPT), "stream": Attack(proof)}, path)
    with pytest.raises(TrainError, match="damaged, or not a checkpoint"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Attack(proof)))
    with pytest.raises(TrainError, match="damaged, or not a checkpoint"):
        checkpoint.load(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("held", "what"),
    [
        ([1, 2], "another format"),
        ({"format": 1}, f"expected {FORMAT}, got 1"),
        ({"format": FORMAT}, "bad identity"),
        ({"format": FORMAT, **asdict(KEPT), "step": "7"}, "bad step; expected int, got str"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, held: object, what: str) -> None:
    torch.save(held, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainError, match=what):
        checkpoint.load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {"seed": torch.zeros(2)}},
        {"environments": [torch.zeros(2)]},
        {"environments": [{"step": 0, "ranks": [[]]}]},
        {"environments": [{"threads": 1}]},
        {"environments": []},
        {"history": [3]},
        {"history": [{**KEPT.history[0], "seconds": torch.zeros(2)}]},
        {"history": [{**KEPT.history[0], "top1": float("nan")}]},
        {"step": -1},
        {"seconds": float("inf")},
        {"log_bytes": 2**70},
        {"model": {"weight": "x"}},
        {"model": {"weight": torch.eye(3).to_sparse()}},
        {"model": {"weight": torch.zeros(2, device="meta")}},
        {"model": {"weight": torch.zeros(2, dtype=torch.complex64)}},
        {"model": {"weight": torch.zeros(1).expand(10**12)}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.eye(2).to_sparse()}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2, device="meta")}}}},
        {"optimizer": {"state": {None: 1}}},
        {"stream": {"epoch": {1: 2}}},
        {"ranks": []},
        {"ranks": [{**KEPT.ranks[0], "meter": [0.1, 0.2, 0.3, float("nan")]}]},
        {"ranks": [{**KEPT.ranks[0], "generators": {}}]},
    ],
    ids=str,
)
def test_a_part_that_is_no_such_part_is_refused_before_anything_uses_it(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": FORMAT, **parts(KEPT), **change, "digest": "0" * 64}, path)
    (part,) = change
    with pytest.raises(TrainError, match=f"checkpoint has a bad {part}"):
        checkpoint.load(path)


def test_a_bottomless_part_is_refused(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"deeper": deep}
    checkpoint.save(tmp_path / "checkpoint.pt", replace(KEPT, packs=deep))
    with pytest.raises(TrainError, match="checkpoint has a bad packs"):
        checkpoint.load(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("part", ["identity", "optimizer", "model"])
def test_little_that_is_named_again_and_again_is_refused_and_not_gone_through(
    tmp_path: Path, part: str
) -> None:
    """Lists of lists, 10^12 in all; or a tensor of a megabyte under ten thousand names."""
    laughs: Any = "ha"
    for _ in range(12):
        laughs = [laughs] * 10
    weight = torch.zeros(2**18)
    grown = {f"{n}": weight for n in range(10**4)} if part == "model" else {"recipe": laughs}
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": FORMAT, **parts(KEPT), part: grown, "digest": "0" * 64}, path)
    assert path.stat().st_size < 2 * 2**20
    with pytest.raises(TrainError, match="says more than its file can hold"):
        checkpoint.load(path)


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": FORMAT, **parts(KEPT), "packs": {"training": endless}}, path)
    with pytest.raises(TrainError, match="says more than its file can hold"):
        checkpoint.load(path)


@pytest.mark.parametrize("way", ["compressed", "overlapping"])
def test_a_zip_of_more_than_its_bytes_is_refused_before_it_is_read(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bomb = tmp_path / "checkpoint.pt", tmp_path / "bomb.pt"
    checkpoint.save(path, replace(KEPT, model={"weight": torch.zeros(10**6)}))
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(
            bomb, "w", zipfile.ZIP_DEFLATED if way == "compressed" else zipfile.ZIP_STORED
        ) as file,
    ):
        for name in whole.namelist():
            file.writestr(name, whole.read(name))
        if way == "overlapping":
            again = copy.copy(max(file.infolist(), key=lambda one: one.file_size))
            again.filename = "checkpoint/data/99"
            file.filelist.append(again)
    if way == "compressed":
        assert bomb.stat().st_size < 100_000
    monkeypatch.delattr(torch, "load")
    with pytest.raises(TrainError, match="damaged, or not a checkpoint") as told:
        checkpoint.load(bomb)
    assert isinstance(told.value.__cause__, ValueError)


def test_a_full_disk_is_said_and_leaves_the_checkpoint_before_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, KEPT)
    # The kernel refuses bytes beyond this size in the same place where a full disk would.
    most = path.stat().st_size + 10_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(TrainError, match=r"cannot write the checkpoint.*bytes free.*ulimit"):
            checkpoint.save(path, replace(KEPT, step=8, model={"weight": torch.zeros(10**6)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert checkpoint.load(path).step == 7
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_the_room_that_is_told_was_measured_beside_what_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: list[str] = []

    def usage(folder: Path) -> Any:
        beside.extend(os.listdir(folder))
        return SimpleNamespace(free=0)

    def full(held: object, part: Path) -> None:
        part.write_bytes(b"some of it")
        raise RuntimeError("PytorchStreamWriter failed writing file data/3")

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainError, match="got 0 bytes free"):
        checkpoint.save(tmp_path / "checkpoint.pt", KEPT)
    assert [name.endswith(".part") for name in beside] == [True]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_is_not_to_be_written_to_is_not_told_to_lack_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def closed(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "touch", closed)
    with pytest.raises(TrainError, match=r"cannot write the checkpoint: .*writable") as told:
        checkpoint.save(tmp_path / "checkpoint.pt", KEPT)
    assert os.strerror(number) in str(told.value) and "room" not in str(told.value)
    assert os.listdir(tmp_path) == []


def test_an_empty_file_a_zip_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("data.pkl", b"not a pickle")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("empty", "zip", "folder", "array.npy"):
        with pytest.raises(TrainError, match=name):
            checkpoint.load(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": "cifar_quick"}, "model differs; expected cifar_quick, got lenet"),
        ({"recipe": {"epochs": 3, "rate": 0.1}}, "recipe.epochs differs; expected 3, got 2"),
        ({"recipe": {"epochs": 2, "rate": 0.1, "flip": True}}, "recipe.flip differs"),
        ({"seed": 1}, "seed differs"),
        ({"training": "abc"}, "the pack digest of training differs"),
    ],
)
def test_another_run_is_refused_with_what_differs(change: dict[str, Any], what: str) -> None:
    checkpoint.check(Path("checkpoint.pt"), KEPT, KEPT.identity)
    with pytest.raises(TrainError, match=what):
        checkpoint.check(Path("checkpoint.pt"), KEPT, {**KEPT.identity, **change})
