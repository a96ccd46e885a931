"""Detection and segmentation sets with bad samples: left out, counted and told, never a stop."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dsets import manifest, store
from dsets.manifest import Source, render
from dsets.readers import _coco_index
from tests.readers import tiny_coco as coco
from tests.readers import tiny_voc as voc

Cli = Callable[[Sequence[str]], int]
Captured = pytest.CaptureFixture[str]
BAD = {
    "000003": {"Annotations": b"<annotation>"},
    "000004": {"Annotations": voc.BOMB},
    "000005": {"Annotations": voc.xml(">2<", ">nan<")},
    "000006": {"SegmentationClass": voc.png([[1, 2, 3, 0, 0, 0]] * 4, "RGB")},
    "000007": {"SegmentationClass": voc.png([[1] * 4] * 6)},
    "000008": {"SegmentationClass": voc.png([[77] * 6] * 4)},
}
REASONS = {
    "000003": "not sound XML",
    "000004": "not sound XML",
    "000005": "bad annotation: a bad number",
    "000006": "class_mask not a map of indices",
    "000007": "class_mask of another size than its picture",
    "000008": "class_mask with indices that are no class",
}
ODD = {"Annotations": voc.xml("", "").replace(b"<width>6", b"<width>9")}


def described(source: Source, samples: int, folder: Path) -> None:
    """Make it the dataset ``tiny``."""
    files = []
    for file in source.manifest.files:
        data = source.path(file.name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        address = f"https://example.org/{file.name}"
        files.append(replace(file, bytes=len(data), sha256=digest, addresses=(address,)))
    splits = (replace(source.split, samples=samples),)
    found = replace(source.manifest, files=tuple(files), splits=splits, pipeline="detection")
    (folder / "tiny.toml").write_bytes(render(found))


@pytest.fixture
def devkit(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine images of VOC: two are sound, six bad, and the last contradicts itself."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    endings = {"Annotations": "xml", "SegmentationClass": "png"}
    mask = voc.png([[0, 1, 2, 3, 0, 255]] * 4)
    given: dict[str, bytes | None] = {}
    for number in range(1, 10):
        key = f"{number:06}"
        own = BAD.get(key, ODD if key == "000009" else {})
        given[f"JPEGImages/{key}.jpg"] = voc.picture(6, 4)
        for kind, content in {
            "Annotations": voc.xml("", ""),
            "SegmentationClass": mask,
            **own,
        }.items():
            own_name = content.replace(b"000001.jpg", f"{key}.jpg".encode())
            given[f"{kind}/{key}.{endings[kind]}"] = own_name
    given["ImageSets/Main/train.txt"] = b"".join(b"%06d\n" % number for number in range(1, 10))
    described(voc.source(store.raw("tiny"), voc.members(**given)), 9, tmp_path)


@pytest.mark.parametrize("pipeline", ["detection", "segmentation"])
def test_bad_annotations_and_masks_are_quarantined(
    devkit: None, cli: Cli, tmp_path: Path, capsys: Captured, pipeline: str
) -> None:
    command = ["prepare", "tiny", "--pipeline", pipeline, "--quiet", "--out", str(tmp_path / "out")]
    assert cli([*command, "--max-bad", "5"]) == 1
    told = capsys.readouterr().err
    assert "too many bad samples; expected at most 5 of 9, got 6" in told
    assert cli([*command, "--max-bad", "6"]) == 0
    index = json.loads((tmp_path / "out" / "train" / "index.json").read_text())
    assert {one["key"]: one["reason"] for one in index["quarantine"]} == REASONS
    picture = hashlib.sha256(voc.picture(6, 4)).hexdigest()
    assert {one["sha256"] for one in index["quarantine"]} == {picture}
    assert str(tmp_path) not in json.dumps(index["quarantine"])


def test_deep_verification_names_each_bad_sample_and_goes_on(
    devkit: None, cli: Cli, capsys: Captured
) -> None:
    assert cli(["verify", "tiny", "--deep", "--quiet"]) == 1
    lines = capsys.readouterr().out.splitlines()
    wrong = {line.split()[2].rstrip(":"): line for line in lines if line.startswith("WRONG")}
    for key, reason in REASONS.items():
        assert reason in wrong[key]
    assert "expected 6 x 4, got 4 x 6" in wrong["000007"]
    assert "0 to 3, and 255 for void, got 77" in wrong["000008"]
    assert "the annotation says 9 x 4, the picture is 6 x 4" in wrong["000009"]
    assert sorted(wrong) == sorted([*REASONS, "000009", "samples", "remarks"])


def test_samples_that_cannot_be_used_are_shown_with_their_reason(
    devkit: None, cli: Cli, tmp_path: Path, capsys: Captured
) -> None:
    assert cli(["show", "tiny", "--samples", "9", "--png", str(tmp_path / "drawn")]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    assert len(blocks) == 9 and "problem" not in blocks[0]
    assert "problem: " in blocks[4] and "bndbox/xmin" in blocks[4]
    assert "contradiction: the annotation says 9 x 4" in blocks[8]
    assert [one.stem for one in sorted((tmp_path / "drawn").iterdir())] == [
        *("000001", "000002", "000009")
    ]


def test_bad_and_stray_annotations_of_coco(
    home: Path, cli: Cli, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    _coco_index._OPEN.clear()
    given = coco.instances(
        coco.annotation(1, 3, segmentation=[[1, 2, 3]]),
        coco.annotation(2, 7),
        coco.annotation(3, 9, bbox=[float("nan"), 1, 2, 3]),
        coco.annotation(4, 12345),
    )
    source = coco.source(store.raw("tiny"), given)
    out = io.BytesIO()
    Image.new("RGB", (6, 4)).save(out, "PNG")
    names = [f"val/{image['file_name']}" for image in coco.images()]
    source.path("images.zip").write_bytes(coco.packed(dict.fromkeys(names, out.getvalue())))
    described(source, 3, tmp_path)
    stray = "annotations are of no image of the split and left out; the first is of image 12345"

    assert cli(["prepare", "tiny", "--json", "--out", str(tmp_path / "out")]) == 0
    assert f"instances_val.json: 1 {stray}" in capsys.readouterr().err
    index = json.loads((tmp_path / "out" / "val" / "index.json").read_text())
    assert {one["key"]: one["reason"] for one in index["quarantine"]} == {
        "003": "a polygon that is none",
        "009": "an annotation cannot be read",
    }
    assert cli(["verify", "tiny", "--deep", "--quiet"]) == 1
    told = capsys.readouterr().out
    assert f"annotations: {source.path('a.zip')}: instances_val.json: 1 {stray}" in told
    assert "003: annotation 1: a polygon that is none" in told


def test_a_split_of_an_unpublished_number_of_samples_is_counted_in_its_files(
    home: Path, cli: Cli, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    source = voc.source(store.raw("tiny"), voc.members(**voc.PICTURES))
    layout = replace(
        source.split,
        name="layout-train",
        samples=0,
        training=False,
        on_request=True,
        options={"archive": "v.tar", "set": "Layout/train"},
    )
    described(source, 2, tmp_path)
    found = manifest.find("tiny")
    told = replace(found, splits=(*found.splits, layout))
    (tmp_path / "tiny.toml").write_bytes(render(told))

    command = ["prepare", "tiny/layout-train", "--quiet", "--out", str(tmp_path / "out")]
    assert cli(command) == 0
    index = json.loads((tmp_path / "out" / "layout-train" / "index.json").read_text())
    assert sum(shard["samples"] for shard in index["shards"]) == 1
    assert cli(["verify", "tiny/layout-train", "--deep", "--quiet"]) == 0
    assert cli(["repair", str(tmp_path / "out" / "layout-train")]) == 0
    capsys.readouterr()
    assert cli(["why", str(tmp_path / "out" / "layout-train")]) == 0
    assert "the whole split, as counted: 1 samples" in capsys.readouterr().out
    assert cli(["show", "tiny"]) == 0
    assert "layout-train  counted  on request" in capsys.readouterr().out

    source.path("v.tar").unlink()
    assert cli([*command[:-1], str(tmp_path / "other")]) == 1
    error = capsys.readouterr().err
    assert "no v.tar" in error and "run 'dsets fetch tiny/layout-train'" in error


def test_fields_of_which_a_split_has_nothing_are_told(
    home: Path, cli: Cli, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path))
    _coco_index._OPEN.clear()
    kinds = {"instances": None, "keypoints": None, "captions": None, "stuff": None}
    source = coco.source(store.raw("tiny"), coco.jsons(), **kinds)
    names = [f"val/{image['file_name']}" for image in coco.images()]
    source.path("images.zip").write_bytes(coco.packed(dict.fromkeys(names, voc.picture(6, 4))))
    described(source, 3, tmp_path)
    told = "boxes, labels, crowd, areas, mask, mask_ends: empty, this split has no such annotations"
    assert cli(["prepare", "tiny", "--out", str(tmp_path / "boxes")]) == 0
    assert told in capsys.readouterr().err
    assert cli(["prepare", "tiny", "--pipeline", "panoptic", "--out", str(tmp_path / "out")]) == 0
    assert "empty" not in capsys.readouterr().err
    index = json.loads((tmp_path / "out" / "val" / "index.json").read_text())
    assert {one["key"]: one["reason"] for one in index["quarantine"]} == {
        "003": "003: no panoptic map of this picture",
        "009": "009: no panoptic map of this picture",
    }
