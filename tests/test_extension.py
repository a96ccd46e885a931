"""``DSETS_EXTENSION=0``: the package without its C extension, installed so or run so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsets import Pack
from tests.adopt import tinynet
from tests.adopt.tinynet import write

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "DSETS_EXTENSION": "0"},
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_not_used_and_packs_of_pictures_have_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: object
) -> None:
    folder = write(tmp_path / "catalogue", {"tinynet.toml": tinynet.manifest_bytes()})
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    archives = write(tmp_path / "archives", tinynet.archives())
    assert callable(cli) and cli(["adopt", "tinynet", str(archives), "--quiet"]) == 0
    assert cli(["prepare", "tinynet", "--out", str(tmp_path / "with"), "--quiet"]) == 0
    said = run("-c", "from dsets import extension as e; print(e.native, e.jpeg, e.checksum)")
    assert said == "None False False\n"
    out = str(tmp_path / "without")
    events = run("-m", "dsets.cli", "prepare", "tinynet", "--out", out, "--json").splitlines()
    for one in json.loads(events[-1])["packs"]:
        assert one["digest"] == Pack.open(tmp_path / "with" / one["split"]).digest


def test_it_is_not_built(tmp_path: Path) -> None:
    places = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    run("setup.py", "--quiet", "build_ext", *places, "--force", cwd=ROOT)
    assert list(tmp_path.iterdir()) == []
