"""The chain from archive to weights: what is recorded, what is compared, what is missed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import dsets
from dsets import models, provenance, store, train
from dsets.errors import PackError, TrainError, UsageError
from dsets.models import Model
from dsets.provenance import Link
from dsets.train import checkpoint, code
from tests.provenance.dots import COUNTS, publish
from tests.train.crew import plain
from tests.train.packs import make_packs
from tests.train.runs import RECIPE

Cli = Callable[[Sequence[str]], int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a net was trained on ``dots``, from fetch to weights; and ``run``."""
    folder = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        mirror, manifests = publish(folder)
        patch.setenv("DSETS_MANIFESTS", str(manifests))
        patch.setenv("DSETS_HOME", str(folder / "home"))
        patch.setitem(models.MODELS, "plain", Model(plain, (16, 16, 1), 3, "for tests"))
        dsets.load("dots", mirror=str(mirror))
        packs = store.packs("dots", "as_is")
        train.run(train.plan("plain", packs, folder / "run", recipe=RECIPE, threads=1))
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the process in that home."""
    for name in ("manifests", "run"):
        shutil.copytree(made / name, tmp_path / name)
    # Receipts hold for the very files.
    shutil.copytree(made / "home", tmp_path / "home", dirs_exist_ok=True, copy_function=os.link)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    monkeypatch.setenv("DSETS_HOME", str(made / "home"))
    return tmp_path


def states(links: list[Link]) -> dict[str, str]:
    return {check.what: check.state for link in links for check in link.checks}


def test_the_chain_leads_from_the_published_files_to_the_weights(made: Path, place: Path) -> None:
    links = provenance.of(made / "run")
    kinds = [(link.kind, link.name) for link in links]
    assert kinds == [
        ("archive", "dots"),
        ("preparation", "as_is"),
        ("pack", "train"),
        ("archive", "dots"),
        ("preparation", "as_is"),
        ("pack", "test"),
        ("run", "plain"),
        ("weights", "checkpoint.pt"),
    ]
    assert set(states(links).values()) == {"holds"}
    archive, preparation, pack, *_, run, weights = links
    files = {file["name"]: file for file in archive.facts["files"]}
    for name, file in files.items():
        sha256 = hashlib.sha256((made / "mirror" / name).read_bytes()).hexdigest()
        assert file["digest"] == file["published"] == f"sha256:{sha256}"
        assert file["addresses"] == [f"https://example.org/{name}"]
        assert file["standing"] == "official: has the published sha256"
    assert set(files) == {"train-images", "train-labels"}
    assert archive.facts["terms"]["licence"] == "CC0-1.0"
    assert preparation.facts["reader"] == "idx"
    opened = dsets.Pack.open(made / "home" / "packs" / "dots" / "as_is" / "train")
    assert (pack.facts["digest"], pack.facts["samples"]) == (opened.digest, COUNTS["train"])
    assert pack.facts["share"].startswith("the whole split: 40 of 40")
    assert run.facts["processes"] == [1]
    assert run.facts["environments"][0]["code"] == code.digest()
    assert (
        weights.facts["sha256"] == json.loads((made / "run" / "result.json").read_text())["weights"]
    )


def test_a_pack_has_the_first_part_of_the_chain_and_needs_no_torch(made: Path, place: Path) -> None:
    pack = made / "home" / "packs" / "dots" / "as_is" / "train"
    assert [link.kind for link in provenance.of(pack)] == ["archive", "preparation", "pack"]
    program = "import sys; sys.modules['torch'] = None\n"
    program += f"import dsets.cli; sys.exit(dsets.cli.main(['why', {str(pack)!r}]))"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_what_is_gone_is_still_known_by_its_digests(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = provenance.of(made / "run")
    monkeypatch.setenv("DSETS_HOME", str(place / "elsewhere"))
    monkeypatch.delenv("DSETS_MANIFESTS")
    path = place / "run" / "checkpoint.pt"
    kept = checkpoint.load(path)
    for told in kept.packs.values():
        told["path"] = str(place / "gone" / told["split"])
    checkpoint.save(path, kept)
    (place / "run" / "result.json").unlink()
    links = provenance.of(path)
    found = states(links)
    for what in (
        "manifest of dots",
        "raw file train-images",
        "pack train",
        "result.json of the run",
    ):
        assert found[what] == "absent"
    assert found["pipeline as_is"] == "holds"
    for before, now in zip(whole, links, strict=True):
        for name in ("manifest", "digest", "samples_digest", "pipeline", "sha256", "terms"):
            assert before.facts.get(name) == now.facts.get(name)
    digests = [
        [file["digest"] for file in link.facts.get("files", ())] for link in (whole[0], links[0])
    ]
    assert digests[0] == digests[1]
    assert links[2].facts["share"].startswith("unknown")


def test_packs_that_were_moved_are_found_where_one_says(made: Path, place: Path) -> None:
    moved = place / "moved"
    shutil.copytree(made / "home" / "packs" / "dots" / "as_is", moved)
    links = provenance.of(made / "run", packs=moved)
    assert [link.facts["path"] for link in links if link.kind == "pack"] == [
        str(moved / "train"),
        str(moved / "test"),
    ]
    assert states(links)["pack train"] == "holds"
    shutil.rmtree(moved / "train")
    shutil.copytree(moved / "test", moved / "train")
    assert states(provenance.of(made / "run", packs=moved))["pack train"] == "changed"
    (moved / "test" / "index.json").write_text("{}")
    assert states(provenance.of(made / "run", packs=moved))["pack test"] == "broken"


def test_what_has_changed_since_is_told(
    made: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_HOME", str(place / "home"))
    images = place / "home" / "raw" / "dots" / "train-images"
    images.unlink()
    images.write_bytes(b"other")
    monkeypatch.setattr(code, "digest", lambda: "0" * 64)
    found = states(provenance.of(made / "run"))
    assert found["raw file train-images"] == found["code of the run"] == "changed"
    assert found["raw file train-labels"] == "holds"
    toml = place / "manifests" / "dots.toml"
    toml.write_text(toml.read_text() + "# another edition\n")
    found = states(provenance.of(made / "run"))
    assert found["manifest of dots"] == "changed"
    assert found["raw file train-labels"] == "absent"


def test_a_loss_curve_that_is_not_the_one_behind_the_weights_breaks_the_chain(
    made: Path, place: Path
) -> None:
    log = place / "run" / "log.jsonl"
    before = log.read_bytes()
    log.write_bytes(before + b'{"kind": "train"')  # of a process that was killed since
    assert states(provenance.of(place / "run"))["log.jsonl of the run"] == "holds"
    log.write_bytes(before.replace(b'"step": 1,', b'"step": 7,'))
    assert states(provenance.of(place / "run"))["log.jsonl of the run"] == "broken"
    log.unlink()
    assert states(provenance.of(place / "run"))["log.jsonl of the run"] == "absent"


def test_weights_that_are_not_those_of_the_result_break_the_chain(
    made: Path, place: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "run" / "checkpoint.pt"
    kept = checkpoint.load(path)
    name, values = next(iter(kept.model.items()))
    checkpoint.save(path, replace(kept, model={**kept.model, name: values + 1}))
    assert states(provenance.of(path))["result.json of the run"] == "broken"
    assert cli(["why", str(place / "run")]) == 1
    assert "[BROKEN] result.json of the run" in capsys.readouterr().out


def test_the_command_prints_the_same_as_text_and_as_json(
    made: Path, place: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["why", str(made / "run")]) == 0
    told = capsys.readouterr().out
    assert cli(["why", str(made / "run" / "checkpoint.pt"), "--json"]) == 0
    links = json.loads(capsys.readouterr().out)
    assert [link["kind"] for link in links][-2:] == ["run", "weights"]
    for link in links:
        for fact in ("manifest", "digest", "sha256"):
            assert str(link["facts"].get(fact, "")) in told
    assert f"sha256: {links[-1]['facts']['sha256']}" in told
    assert "[ok] manifest of dots" in told


def test_packs_of_unknown_making_say_so(tmp_path: Path) -> None:
    (link,) = provenance.of(make_packs(tmp_path / "packs") / "train")
    assert link.facts["provenance"] == "none recorded: it was not made by dsets prepare"


def test_a_pack_of_some_of_a_split_s_files_says_so(made: Path, place: Path) -> None:
    kept = checkpoint.load(place / "run" / "checkpoint.pt")
    told = kept.packs["training"]
    told["provenance"]["subset"] = {"files": 3, "of_files": 345}
    checkpoint.save(place / "run" / "checkpoint.pt", kept)
    pack = provenance.of(place / "run")[2]
    assert pack.facts["share"] == "a subset: of 3 of the split's 345 files"


def test_a_stranger_s_words_lead_nowhere(
    made: Path, place: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "run" / "checkpoint.pt"
    kept = checkpoint.load(path)
    bad = {
        "dataset": "../../etc",
        "manifest": 7,
        "raw": {"../../passwd": ["x"], "\x1b[2J": "sha256:0"},
        "pipeline": {"name": str(place / "evil.py"), "sha256": None},
        "terms": "\x1b]0;title\x07",
        "unverified": {"a": 1},
        "environment": [1],
    }
    (place / "evil.py").write_text(f"open({str(place / 'ran')!r}, 'w')")
    told = {**kept.packs["training"], "provenance": bad, "samples": "many", "path": "\x1b[31m"}
    checkpoint.save(path, replace(kept, packs={"training": told, "evaluation": [1]}))
    links = provenance.of(path)
    assert states(links)["manifest of ../../etc"] == "absent"
    assert not (place / "ran").exists()
    assert cli(["why", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: path.mkdir(), UsageError),
        (lambda path: path.write_bytes(b"junk"), TrainError),
        (lambda path: (path.mkdir(), (path / "index.json").write_text("{}")), PackError),
        (lambda path: torch.save({"state_dict": {}}, path), TrainError),
    ],
)
def test_what_has_no_provenance_is_refused(
    tmp_path: Path, make: Callable[[Path], object], error: type[Exception]
) -> None:
    make(tmp_path / "thing")
    with pytest.raises(error, match="thing"):
        provenance.of(tmp_path / "thing")
