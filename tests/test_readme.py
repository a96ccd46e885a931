"""What the README and the guides show is run, on a tiny MNIST of our own (and the real one if it is
beside the repository). Blocks marked `sh` and `python` run; `shell` (set-up) and `text` do not."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsets
from dsets import codecs, pipeline
from dsets.readers import Sample

ROOT = Path(__file__).parent.parent
REAL = ROOT.parent / "shared" / "data" / "mnist"
SAMPLES = {"train": 600, "t10k": 200}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def write_idx(path: Path, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(head + values.tobytes(), mtime=0))


def make_mnist(folder: Path) -> Path:
    """Four files under MNIST's names, and a manifest `mnist` that has their figures."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for prefix, count in SAMPLES.items():
        labels = random.integers(0, 10, count, dtype=np.uint8)
        images = random.integers(0, 100, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 6] = 255  # a bar whose height tells the digit
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    text = (ROOT / "manifests" / "mnist.toml").read_text()
    text = re.sub(r"(?m)^(sha1|md5) = .*\n", "", text)
    text = text.replace("samples = 60000", f"samples = {SAMPLES['train']}")
    text = text.replace("samples = 10000", f"samples = {SAMPLES['t10k']}")
    for path in folder.glob("*.gz"):
        data = path.read_bytes()
        text = re.sub(
            rf'(name = "{path.name}"\n)bytes = .*\nsha256 = .*\n',
            rf'\1bytes = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n',
            text,
        )
    (folder / "mnist.toml").write_text(text)
    return folder


@pytest.fixture(params=["made", "real"] if REAL.is_dir() else ["made"])
def mnist(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    """`mnist` can be fetched; its number of training samples."""
    if request.param == "real":
        monkeypatch.setenv("DSETS_MIRROR", REAL.resolve().as_uri())
        return 60_000
    return served(monkeypatch, tmp_path)


def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    folder = make_mnist(tmp_path / "mnist")
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    monkeypatch.setenv("DSETS_MIRROR", folder.as_uri())
    return SAMPLES["train"]


def test_the_five_lines_of_python_see_every_sample_once(mnist: int) -> None:
    (code,) = blocks("README.md", "python")
    assert len(code.strip().splitlines()) <= 6
    seen: list[tuple[Any, Any]] = []
    exec(code, {"step": lambda image, label: seen.append((image, label))})
    first = seen[0]
    assert (first[0].dtype, first[0].shape) == (np.dtype("uint8"), (128, 28, 28, 1))
    assert (first[1].dtype, first[1].shape) == (np.dtype("int64"), (128,))
    assert sum(len(label) for _, label in seen) == mnist


def test_the_five_lines_stand_in_the_package_too() -> None:
    (code,) = blocks("README.md", "python")
    lines = [line.split("  #")[0].strip() for line in code.splitlines() if line.strip()]
    assert dsets.__doc__ is not None
    assert [line for line in lines if line not in dsets.__doc__] == []


def test_every_shell_line_of_the_readme_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served(monkeypatch, tmp_path)
    script = "".join(blocks("README.md", "sh"))
    assert script.count("dsets ") >= 10
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "test accuracy" in run.stdout


def test_the_streaming_guide_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served(monkeypatch, tmp_path)
    names: dict[str, Any] = {}
    code = "\n".join(blocks("docs/streaming.md", "python"))
    exec(code, names)
    names["stream"].close()
    names["again"].close()
    shape = (names["batch"]["image"].dtype, names["batch"]["image"].shape)
    assert shape == (np.dtype("float32"), (128, 1, 28, 28))


def test_the_pipeline_of_the_guide_makes_a_pack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served(monkeypatch, tmp_path)
    code, for_pictures = blocks("docs/pipelines.md", "python")
    (command,) = blocks("docs/pipelines.md", "sh")
    (tmp_path / "half.py").write_text(code)
    script = Path(sys.executable).parent / "dsets"
    subprocess.run([script, "fetch", "mnist", "--quiet"], check=True)
    subprocess.run([script, *command.split()[1:]], check=True, cwd=tmp_path)
    pack = dsets.Pack.open(tmp_path / "packs" / "half" / "train")
    assert pack[0]["image"].shape == (14, 14, 1)
    (tmp_path / "small.py").write_text(for_pictures)
    small = pipeline.load(tmp_path / "small.py")
    picture = codecs.encode_jpeg(np.zeros((40, 50, 3), np.uint8), 90)
    made = small.make(Sample("a", {"image": picture, "label": 0}))
    assert np.shape(made["image"]) == (32, 32, 3)
    assert small.environment()["profile"] == "exact"


def test_the_training_guide_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    script = Path(sys.executable).parent / "dsets"
    for command in ("fetch mnist --quiet", "prepare mnist --out packs/mnist"):
        subprocess.run([script, *command.split()], check=True, capture_output=True)
    loading, training = blocks("docs/training.md", "python")
    names: dict[str, Any] = {}
    exec(training, names)
    assert names["result"].finished
    exec(loading, names)
    assert sum(values.numel() for values in names["weights"].values()) == 431_080


def test_the_described_dataset_of_the_guide_is_described() -> None:
    (text,) = (one for one in blocks("docs/manifests.md", "toml") if "[catalogue]" in one)
    found = dsets.manifest.parse(text.encode(), "docs/manifests.md")
    assert found.catalogue and found.access == "on request"


def test_the_manifest_of_the_guide_is_a_manifest() -> None:
    text, *_ = blocks("docs/manifests.md", "toml")
    assert dsets.manifest.parse(text.encode(), "mydigits.toml").name == "mydigits"


def test_the_counted_split_of_the_guide_is_the_shipped_one() -> None:
    *_, split = blocks("docs/manifests.md", "toml")
    shipped = tomllib.loads(Path(dsets.manifest.find("voc2012").origin).read_text())
    assert tomllib.loads(split)["split"].items() <= shipped["split"].items()
