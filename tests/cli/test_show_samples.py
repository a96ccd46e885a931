"""``dsets show NAME --samples N``: values in words, and drawn on the pictures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import store
from dsets.manifest import render
from tests.readers import test_coco as coco

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


def test_annotations_are_drawn(tiny: None, cli: Cli, tmp_path: Path) -> None:
    assert cli(["show", "tiny", "--samples", "3", "--png", str(tmp_path / "out")]) == 0
    drawn = {path.name: np.asarray(Image.open(path)) for path in (tmp_path / "out").iterdir()}
    assert sorted(drawn) == ["003.png", "007.png", "009.png"]
    assert drawn["003.png"].any() and drawn["007.png"].any() and not drawn["009.png"].any()


def test_pictures_need_samples(tiny: None, cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["show", "tiny", "--png", "out"]) == 1
    assert "--png goes with --samples N" in capsys.readouterr().err
