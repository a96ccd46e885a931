"""``dsets stats``: what a pack's pixels are, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dsets import pack
from dsets.field import Field
from dsets.pack.statistics import Statistics

Cli = Callable[[Sequence[str]], int]
DIGEST = "ab" * 32
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)


def make(folder: Path, statistics: Statistics | None, split: str) -> Path:
    folder.mkdir(parents=True)
    fields = (Field("image", "uint8", (4, 5, 3)),)
    keys = [f"{split}/{number}" for number in range(len(IMAGES))]
    shard = pack.shard.write(folder / "shard-00000.h5", fields, keys, {"image": IMAGES})
    pack.finish(
        folder,
        split=split,
        fields=fields,
        shards=[shard],
        statistics=statistics,
        statistics_of=None if statistics else DIGEST,
        quarantine=[],
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )
    return folder


def test_the_figures_are_those_of_the_pixels(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "packs" / "train", Statistics.of(IMAGES), "train")
    assert cli(["stats", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    pixels = IMAGES.reshape(-1, 3).astype(np.float64)
    assert told["images"] == 7
    assert told["pixels"] == 140
    np.testing.assert_allclose(told["channel_mean"], pixels.mean(0))
    np.testing.assert_allclose(told["channel_std"], pixels.std(0))
    np.testing.assert_allclose(told["covariance"], np.cov(pixels.T, bias=True))
    assert told["outer_sum"] == (pixels.T @ pixels).astype(int).tolist()

    assert cli(["stats", str(path.parent)]) == 0  # the folder of all splits does as well
    text = capsys.readouterr().out
    assert told["digest"] in text
    assert "4x5x3" in text


def test_a_pack_without_statistics_says_where_they_are(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["stats", str(make(tmp_path / "test", None, "test"))]) == 1
    assert f"in the training pack, {DIGEST}" in capsys.readouterr().err


def test_a_folder_without_packs_is_an_error_and_no_folder_is_wrong_usage(
    cli: Cli, tmp_path: Path
) -> None:
    assert cli(["stats", str(tmp_path)]) == 1
    assert cli(["stats", str(tmp_path / "nowhere")]) == 2
