"""docs/pack-format.md: short, and its programs read a pack without dsets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "pack-format.md").read_text()
H5PY, MEMMAP = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_page_is_at_most_two_pages():
    assert len(PAGE.splitlines()) <= 120


@pytest.fixture
def one_shard(make, tmp_path) -> Path:
    return make(tmp_path / "one", samples=10, per_shard=10)


def test_its_first_program_reads_a_sample_by_h5py(one_shard, made, opened):
    found = run(H5PY + "\nprint(image.transpose(1, 2, 0).tolist(), int(label), key)", one_shard)
    image, label = made(opened.fields[0], 7), made(opened.fields[1], 7)
    assert found == [f"{image.tolist()} {label} train/00007"]


def test_its_second_program_maps_the_images_by_numpy(one_shard, made, opened):
    found = run(MEMMAP + "\nprint(images[7].transpose(1, 2, 0).tolist())", one_shard)
    assert found == [str(made(opened.fields[0], 7).tolist())]
