from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dsets import pack
from dsets.field import Field
from dsets.pack import Pack, Statistics

IMAGES = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3) * 3


def write(folder: Path, statistics: Statistics | None, statistics_of: str | None = None) -> str:
    fields = (Field("image", "uint8", (3, 4, 3)),)
    shard = pack.shard.write(folder / "a.h5", fields, ["a", "b"], {"image": IMAGES})
    pack.finish(
        folder,
        split="train",
        fields=fields,
        shards=[shard],
        statistics=statistics,
        statistics_of=statistics_of,
        quarantine=[],
        samples_digest=pack.samples_digest(["a", "b"]),
        provenance={},
    )
    return str(folder)


def test_numbers_are_given_in_0_to_255_and_0_to_1(cli, tmp_path, capsys):
    folder = write(tmp_path, Statistics.of(IMAGES))
    assert cli(["stats", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = IMAGES.reshape(-1, 3).astype(float)
    assert (found["images"], found["pixels"]) == (2, 24)
    assert found["outer_sum"] == (rows.T @ rows).astype(int).tolist()
    assert np.allclose(found["mean"], rows.mean(axis=0))
    assert np.allclose(found["std_0_1"], rows.std(axis=0) / 255)
    assert np.allclose(found["covariance_0_1"], np.cov(rows.T / 255, bias=True))
    assert np.allclose(sum(found["eigenvalues_0_1"]), np.trace(found["covariance_0_1"]))
    assert found["digest"] == Pack.open(folder).statistics.digest


def test_people_get_a_table(cli, tmp_path, capsys):
    assert cli(["stats", write(tmp_path, Statistics.of(IMAGES))]) == 0
    text = capsys.readouterr().out
    assert "exact, from every sample" in text
    assert "mean, 0-255" in text
    assert "component 3, 0-1" in text


def test_a_pack_without_statistics_names_the_pack_that_has_them(cli, tmp_path, capsys):
    assert cli(["stats", write(tmp_path, None, "7" * 64)]) == 1
    assert "expected a training pack (this one's is 7777" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--png"]])
def test_wrong_usage_is_exit_code_2(cli, arguments, capsys):
    assert cli(["stats", *arguments]) == 2


def test_no_pack_is_one_line_on_stderr(cli, tmp_path, capsys):
    assert cli(["stats", str(tmp_path / "none")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("dsets: error: ")
    assert error.count("\n") == 1
