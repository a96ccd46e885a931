"""The dataset ``tinynet``, found by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsets import manifest
from dsets.manifest import Manifest
from tests.adopt import tinynet


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """The official manifest, in a folder that DSETS_MANIFESTS names."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    (folder / "tinynet.toml").write_bytes(tinynet.manifest_bytes())
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    return manifest.find("tinynet")
