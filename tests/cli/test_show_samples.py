"""``dsets show NAME --samples N``: values in words, and drawn on the pictures."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import store
from dsets.cli import _drawing, _sample_text
from dsets.codecs import rle
from dsets.field import Field
from dsets.manifest import render
from tests.archive import records
from tests.readers import tiny_coco as coco
from tests.readers import tiny_imagenet as imagenet
from tests.readers import tiny_youtube8m as tube

Cli = Callable[[Sequence[str]], int]


@pytest.fixture
def tiny(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COCO of three black pictures in the store."""
    picture = io.BytesIO()
    Image.new("RGB", (6, 4)).save(picture, "PNG")
    source = coco.source(store.raw("tiny"), coco.jsons())
    names = [f"val/{image['file_name']}" for image in coco.images()]
    (store.raw("tiny") / "images.zip").write_bytes(
        coco.packed(dict.fromkeys(names, picture.getvalue()))
    )
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "tiny.toml").write_bytes(
        render(source.manifest).replace(b'access = "open"', b'access = "login"')
    )
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))


def test_samples_in_full(tiny: None, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["show", "tiny", "--samples", "2"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith("003\n") and second.startswith("007\n")
    assert "image: 83 bytes, PNG" in re.sub(r"\d+ bytes", "83 bytes", second)
    assert "labels: 2: cat, person" in second
    assert "boxes: 2 x 4: (1.5, 1, 4.5, 3), (1.5, 1, 4.5, 3)" in second
    assert "caption: Ein Bär" in second
    assert cli(["show", "tiny", "--samples", "9", "--json"]) == 0
    assert [one["key"] for one in json.loads(capsys.readouterr().out)] == ["003", "007", "009"]


def test_single_numbers_are_numbers_and_classes_have_their_names_besides(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = imagenet.official(store.raw("tiny"))
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "tiny.toml").write_bytes(
        render(source.manifest).replace(b'access = "open"', b'access = "login"')
    )
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    assert cli(["show", "tiny", "--samples", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[-1]
    assert (found["label"], found["label_class"], found["ilsvrc_id"]) == (2, "n02105855", 193)
    assert cli(["show", "tiny", "--samples", "4"]) == 0
    text = capsys.readouterr().out.split("\n\n")[-1]
    assert "label: 2: n02105855\n" in text and "ilsvrc_id: 193\n" in text


def test_annotations_are_drawn(tiny: None, cli: Cli, tmp_path: Path) -> None:
    assert cli(["show", "tiny", "--samples", "3", "--png", str(tmp_path / "out")]) == 0
    drawn = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "out").iterdir()}
    assert sorted(drawn) == ["003.png", "007.png", "009.png"]
    assert drawn["003.png"].any() and drawn["007.png"].any() and not drawn["009.png"].any()


def test_stuff_and_panoptic_segments_are_drawn_with_their_names() -> None:
    black = np.zeros((80, 120, 3), np.uint8)
    region = np.zeros((80, 120), np.uint8)
    region[40:, :60] = 1
    code, ends = rle.encode([region])
    stuff = {"stuff_mask": code, "stuff_mask_ends": ends, "stuff_labels": np.array([1])}
    segments = {"segment_ids": np.array([259]), "segment_labels": np.array([1])}
    segments["panoptic_map"] = region.astype(np.int32) * 259
    for field, values in (("stuff_labels", stuff), ("segment_labels", segments)):
        bare, named = (
            _drawing.drawn({"image": black, **values}, classes)
            for classes in ({}, {field: ("grass", "sky")})
        )
        assert np.array_equal(bare.any(2), region > 0)
        changed = np.argwhere((bare != named).any(2))
        assert len(changed) and named[45:, 5:20].any(2).all()


def test_boxes_of_parts_are_drawn() -> None:
    values = {
        "image": np.zeros((20, 20, 3), np.uint8),
        "part_boxes": np.array([[2, 3, 9, 12]], np.float32),
    }
    ys, xs = np.nonzero(_drawing.drawn(values, {}).any(2))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (2, 3, 8, 11)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--png out", "--png goes with --samples N, the number of samples to draw"),
        ("--png out --limit 3", "to draw, not --limit 3"),
        ("--png out --samples --limit 3", "to draw, not --limit 3"),
        (
            "--samples 2 --limit 3",
            "--limit 3 goes with --samples without a number, and --samples 2",
        ),
        ("--limit 3", "--limit 3 goes with --samples without a number"),
        ("--samples 2 --part images", "--samples are of a split, not of --part images"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(
    tiny: None,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli(["show", "tiny", *given.split()]) == 2
    out, err = capsys.readouterr()
    assert said in err and not out and not (tmp_path / "out").exists()


def test_a_pack_is_not_drawn(cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["show", f"{tmp_path}/", "--png", str(tmp_path / "out")]) == 2
    assert "are for datasets, not the path" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_told_and_the_rest_is_drawn(
    tiny: None, cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = store.raw("tiny") / "images.zip"
    with zipfile.ZipFile(archive) as given:
        pictures = {name: given.read(name) for name in given.namelist()}
    first, *others = sorted(pictures)
    archive.write_bytes(coco.packed(pictures | {first: b"no picture"}))
    wanted = ["show", "tiny", "--samples", "3", "--png", str(tmp_path / "out")]
    assert cli(wanted) == 0
    out = capsys.readouterr().out
    assert out.count("  drawn: ") == 2 and out.count("  not drawn: ") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["007.png", "009.png"]
    archive.write_bytes(coco.packed(dict.fromkeys(pictures, b"no picture")))
    assert cli([*wanted[:-1], str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert "tiny/val: nothing to draw: no picture can be read" in err and "not drawn" in err
    assert not out and not (tmp_path / "none").exists() and others


def test_a_dataset_without_pictures_has_nothing_to_draw(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tube.files(tmp_path / "given", names=["00"])
    records.written(given / "train00.tfrecord", [tube.video("good"), tube.video("odd", labels=[9])])
    monkeypatch.setenv("DSETS_MANIFESTS", str(tube.manifest(tmp_path / "catalogue", "video")))
    assert cli(["adopt", "tinytube", str(given), "--unverified", "--quiet"]) == 0
    capsys.readouterr()
    out = tmp_path / "out"
    assert cli(["show", "tinytube", "--samples", "2", "--png", str(out)]) == 1
    err = capsys.readouterr().err
    assert "tinytube/train: nothing to draw: its samples have no picture" in err
    assert "leave --png out" in err and not out.exists()
    assert cli(["show", "tinytube", "--samples", "2"]) == 0
    good, odd = capsys.readouterr().out.split("\n\n")
    assert "mean_rgb" in good and "problem: labels has what is no class" in odd


def test_many_labels_and_wide_features_are_shortened(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tube.files(tmp_path / "given", names=["00"])
    videos = [tube.video("few", labels=[2]), tube.video("many", labels=[3] * 300)]
    records.written(given / "train00.tfrecord", videos)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tube.manifest(tmp_path / "catalogue", "video")))
    assert cli(["adopt", "tinytube", str(given), "--unverified", "--quiet"]) == 0
    capsys.readouterr()
    assert cli(["show", "tinytube", "--samples"]) == 0
    out = capsys.readouterr().out
    assert "… 300 in all)" in out and max(map(len, out.splitlines())) < 140
    assert cli(["show", "tinytube", "--samples", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[1]["labels"]) == 300
    wide = Field("frames", "float32", (None, 1024))
    assert len(_sample_text._array(wide, np.ones((99, 1024), np.float32))) < 200
