"""``dsets.load``: a name becomes packs, once, whoever asks."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import dsets
from dsets import prepare, store
from dsets.errors import DsetsError, FetchError, ManifestError, PrepareError

COUNTS = {"train": 12, "test": 5}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The dataset ``dots`` of 2x2 images; returns the folder to fetch it from."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    text = (
        'schema = 1\nname = "dots"\ntitle = "Dots"\nhomepage = "https://example.org"\n'
        'licence = "CC0-1.0"\naccess = "login"\ncitation = "none"\nreader = "idx"\n'
        'pipeline = "as_is"\n'
    )
    splits = ""
    for split, count in COUNTS.items():
        data = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (count, 2, 2))
        data += bytes(range(4)) * count
        (folder / split).write_bytes(data)
        text += f'[[file]]\nname = "{split}"\nbytes = {len(data)}\n'
        text += f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        splits += (
            f"[split.{split}]\nsamples = {count}\ntraining = {str(split == 'train').lower()}\n"
        )
        splits += f'files = ["{split}"]\n[split.{split}.reader]\nimage = "{split}"\n'
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    text += splits + '[field.image]\ndtype = "uint8"\nshape = [2, 2, 1]\n'
    (manifests / "dots.toml").write_text(text)
    monkeypatch.setenv("DSETS_MANIFESTS", str(manifests))
    return str(folder)


def test_a_name_becomes_packs_as_attributes_and_as_a_mapping(mirror: str) -> None:
    data = dsets.load("dots", accept_terms=True, mirror=mirror)
    assert list(data) == ["train", "test"]
    assert {split: len(pack) for split, pack in data.items()} == COUNTS
    assert data.train is data["train"]
    assert data.train.statistics is not None and data.test.statistics is None
    assert {"train", "test"} <= set(dir(data))
    assert repr(data) == "<dsets.Dataset dots: train: 12 samples, test: 5 samples>"


def test_an_unknown_split_is_every_error_that_a_caller_may_expect(mirror: str) -> None:
    data = dsets.load("dots", accept_terms=True, mirror=mirror)
    for kind in (AttributeError, DsetsError):
        with pytest.raises(kind, match="dots: no such split; expected one of train, test, got val"):
            data.val  # noqa: B018
    with pytest.raises(KeyError):
        data["val"]
    assert not hasattr(data, "val") and data.get("val") is None and "val" not in data


def test_the_packs_that_are_there_need_nothing_else(mirror: str) -> None:
    first = dsets.load("dots", accept_terms=True, mirror=mirror)
    for path in store.raw("dots").iterdir():
        path.unlink()
    again = dsets.load("dots", offline=True)
    assert again.train.digest == first.train.digest


def test_packs_sharded_in_another_way_are_the_same_samples(mirror: str) -> None:
    first = dsets.load("dots", accept_terms=True, mirror=mirror)
    found = dsets.manifest.find("dots")
    prepare.run(prepare.plan(found, shard_bytes=200), force=True)
    again = dsets.load("dots")
    assert len(again.train.index.shards) > len(first.train.index.shards)
    assert again.train.samples_digest == first.train.samples_digest


def test_a_pack_of_another_pipeline_of_that_name_is_not_taken(mirror: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "STATISTICS = None\n"
        "def fields(manifest): return manifest.fields\n"
        "def make(sample): return sample.values\n"
    )
    assert (
        dsets.load("dots", accept_terms=True, mirror=mirror, pipeline=mine).train.statistics is None
    )
    mine.write_text(mine.read_text() + "# changed\n")
    with pytest.raises(PrepareError, match=r"another version.*run 'dsets prepare dots .*--force'"):
        dsets.load("dots", pipeline=mine)


def test_what_cannot_be_fetched_leaves_nothing_behind(mirror: str) -> None:
    with pytest.raises(FetchError):
        dsets.load("dots", offline=True)
    assert not store.packs("dots", "as_is").exists()
    with pytest.raises(ManifestError, match="unknown dataset"):
        dsets.load("nowhere")


def test_a_dataset_can_be_copied_and_pickled(mirror: str) -> None:
    data = dsets.load("dots", accept_terms=True, mirror=mirror)
    for other in (copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert other.train.digest == data.train.digest


def test_many_processes_at_once_make_it_once(mirror: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from pathlib import Path\n"
        "STATISTICS = 'image'\n"
        "def fields(manifest): return manifest.fields\n"
        "def make(sample):\n"
        f"    with open({str(tmp_path / 'made')!r}, 'a') as file: file.write(sample.key + '\\n')\n"
        "    return sample.values\n"
    )
    script = "import dsets, sys; print(dsets.load('dots', mirror=sys.argv[1], accept_terms=True, "
    script += "pipeline=sys.argv[2]).train.digest)"
    command = [sys.executable, "-c", script, mirror, str(mine)]
    jobs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    told = [job.communicate() for job in jobs]
    assert [err for _, err in told] == [""] * 4
    assert len({out for out, _ in told}) == 1
    assert len((tmp_path / "made").read_text().split()) == sum(COUNTS.values())
