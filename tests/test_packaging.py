"""What arrives at a user's: the wheel, its metadata, and what importing costs."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsets

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
#: Folder in the tree → folder in the wheel.
HOMES = {
    "dsets": "dsets",
    "cli": "dsets/cli",
    "manifests": "dsets/manifests",
    "pipelines": "dsets/pipelines",
}
#: A user's own pipeline is code that the user asked to run.
RUNS_CODE = {ROOT / "dsets" / "pipeline.py"}
HEAVY = ("numpy", "pandas", "h5py", "dask", "distributed", "torch", "requests", "PIL", "rich")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def copy_tree(tree: Path) -> Path:
    """The tree without what was built in it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in (*HOMES, "tests", "benchmarks", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    return tree


def build_wheel(tree: Path, out: Path) -> set[str]:
    """The names in the wheel built from the source distribution, as users get it."""
    run = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_tree_and_no_forgotten_package(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    (tree / "dsets" / "forgotten").mkdir()
    (tree / "dsets" / "forgotten" / "__init__.py").touch()  # on disk, but not in pyproject.toml
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in HOMES.items()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".toml", ".json") or path.name == "py.typed"
    }
    names = build_wheel(tree, tmp_path / "out")
    extension = {name for name in names if re.fullmatch(r"dsets/_native\..*\.?(so|pyd)", name)}
    assert names - extension == expected
    (archive,) = (tmp_path / "out").glob("*.tar.gz")
    with tarfile.open(archive) as source:
        shipped = {Path(name).name for name in source.getnames() if "/dsets/native/" in name}
    assert shipped == {path.name for path in (ROOT / "dsets" / "native").iterdir()}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler here")
def test_a_wheel_from_the_source_distribution_has_the_extension(tmp_path: Path) -> None:
    names = build_wheel(copy_tree(tmp_path / "tree"), tmp_path / "out")
    assert any(name.startswith("dsets/_native.") for name in names)


def test_every_package_of_the_tree_is_listed() -> None:
    found = {
        ".".join((*inside.split("/"), *path.parent.relative_to(ROOT / folder).parts))
        for folder, inside in HOMES.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_a_plain_install_brings_no_torch_and_the_extra_does() -> None:
    assert not [need for need in PYPROJECT["project"]["dependencies"] if "torch" in need]
    requirements = importlib.metadata.requires("dsets") or []
    torch = [need for need in requirements if need.startswith("torch")]
    assert len(torch) == 1
    assert torch[0].replace("'", '"').endswith('extra == "torch"')


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a new interpreter has loaded after running ``code``."""
    report = (
        f"import sys\n{code}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, cwd="/"
    )
    return set(run.stderr.split())


def test_importing_loads_nothing_heavy() -> None:
    assert loaded_by("import dsets") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["show", "mnist"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_by(f"from dsets.cli import main; assert main({arguments!r}) == 0") == set()


def test_the_check_for_heavy_libraries_can_fail() -> None:
    assert loaded_by("import numpy") == {"numpy"}


def test_exported_names_are_sorted_few_and_all_there() -> None:
    assert dsets.__all__ == sorted(dsets.__all__)
    assert dir(dsets) == dsets.__all__
    assert len(dsets.__all__) <= 15
    for name in dsets.__all__:
        assert getattr(dsets, name) is not None


def test_no_export_hides_a_module_of_the_same_name() -> None:
    for name in dsets.__all__:
        if importlib.util.find_spec(f"dsets.{name}"):
            assert getattr(dsets, name) is sys.modules[f"dsets.{name}"]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_library_never_imports_its_front_end_nor_a_pipeline() -> None:
    outward = ("dsets.cli.", "dsets.pipelines.", "dsets.manifests.", "tests.", "click.", "rich.")
    assert not [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("dsets")
        for name in imports(path)
        if f"{name}.".startswith(outward)
    ]


def forbidden(path: Path) -> Iterator[str]:
    """Ways to trust input that no shipped file may use, as ``line: what``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assert):
            yield f"{node.lineno}: assert"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("eval", "pickle.load", "pickle.loads", "os.system", "yaml.load"):
                yield f"{node.lineno}: {name}"
            if name == "exec" and path not in RUNS_CODE:
                yield f"{node.lineno}: exec"
            if name == "torch.load" and not any(
                word.arg == "weights_only" and ast.unparse(word.value) == "True"
                for word in node.keywords
            ):
                yield f"{node.lineno}: torch.load without weights_only=True"
            if any(word.arg == "shell" for word in node.keywords):
                yield f"{node.lineno}: shell="
            if name == "print" and path.is_relative_to(ROOT / "dsets"):
                yield f"{node.lineno}: print in the library"


def test_no_shipped_file_trusts_input_or_runs_it() -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{problem}"
        for path in sources(*HOMES)
        for problem in forbidden(path)
    ]


def test_the_look_for_forbidden_ways_finds_them(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("assert x\neval('1')\ntorch.load(f)\nrun('ls', shell=True)\npickle.load(f)\n")
    assert len(list(forbidden(path))) == 5


def test_no_module_name_is_an_attic() -> None:
    names = {path.stem for path in sources(*HOMES)}
    assert not names & {"utils", "util", "common", "helpers", "misc"}
