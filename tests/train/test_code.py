"""The digest of the code: the same for the same sources, another for any other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import dsets
from dsets.train import code

HERE = Path(dsets.__file__).parent


def digest_of(folder: Path) -> str:
    """What a copy of the package says of itself."""
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('dsets', {str(folder / '__init__.py')!r},"
        f" submodule_search_locations=[{str(folder)!r}])\n"
        "sys.modules['dsets'] = module = importlib.util.module_from_spec(spec)\n"
        f"code = importlib.util.spec_from_file_location('code', {str(HERE / 'train/code.py')!r})\n"
        "found = importlib.util.module_from_spec(code); code.loader.exec_module(found)\n"
        "print(found.digest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_it_changes_with_any_source_that_trains_and_with_no_other(tmp_path: Path) -> None:
    copy = tmp_path / "dsets"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    assert digest_of(copy) == code.digest()
    for name, counts in (
        ("fetch/job.py", False),
        ("train/engine.py", True),
        ("transforms/__init__.py", True),
    ):
        before = digest_of(copy)
        with (copy / name).open("a") as file:
            file.write("# another line\n")
        assert (digest_of(copy) != before) == counts
    (copy / "models" / "more.py").touch()
    assert digest_of(copy) != before
