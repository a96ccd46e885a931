"""Manifests are found by name: the user's folders first, and nothing outside the folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsets import manifest
from dsets.errors import ManifestError


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders of the user's in DSETS_MANIFESTS, the first before the second."""
    pair = (tmp_path / "first", tmp_path / "second")
    for folder in pair:
        folder.mkdir()
    monkeypatch.setenv("DSETS_MANIFESTS", os.pathsep.join(map(str, pair)) + os.pathsep)
    return pair


def test_shipped_manifests_are_found_without_any_setting() -> None:
    assert {"cifar10", "digits", "mnist"} <= set(manifest.names())
    assert manifest.find("mnist").name == "mnist"


def test_the_users_manifests_win_the_first_folder_first(
    folders: tuple[Path, Path], good: str
) -> None:
    first, second = folders
    mine = good.replace('"tiny"', '"mnist"')
    (second / "mnist.toml").write_text(mine)
    assert manifest.find("mnist").title == "Tiny pictures"
    (first / "mnist.toml").write_text(mine.replace("Tiny", "Tinier"))
    assert manifest.find("mnist").title == "Tinier pictures"
    assert manifest.names().count("mnist") == 1


def test_a_users_manifest_joins_the_shipped_ones(folders: tuple[Path, Path], good: str) -> None:
    (folders[1] / "tiny.toml").write_text(good)
    (folders[1] / ".hidden.toml").write_text(good)
    (folders[1] / "README.md").write_text("Not a manifest.")
    assert set(manifest.names()) >= {"mnist", "tiny"}
    assert not {".hidden", "README"} & set(manifest.names())
    assert manifest.find("tiny").origin == str(folders[1] / "tiny.toml")


def test_what_is_called_like_a_manifest_and_is_none_is_not_hidden(
    folders: tuple[Path, Path],
) -> None:
    (folders[0] / "folder.toml").mkdir()
    (folders[0] / "dangling.toml").symlink_to("nowhere")
    os.mkfifo(folders[0] / "pipe.toml")  # would block whoever opens it
    for name in ("folder", "dangling", "pipe"):
        assert name in manifest.names()
        with pytest.raises(ManifestError, match=rf"{name}\.toml: cannot be read"):
            manifest.find(name)


def test_a_file_name_that_is_no_text_disturbs_nobody(folders: tuple[Path, Path]) -> None:
    Path(os.fsdecode(os.fsencode(folders[0]) + b"/\xff\x1b.toml")).write_text("")
    with pytest.raises(ManifestError) as caught:
        manifest.find("nosuch")
    assert str(caught.value).isprintable()


def test_a_missing_folder_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "absent"))
    for act in (manifest.names, lambda: manifest.find("mnist")):
        with pytest.raises(ManifestError, match=r"DSETS_MANIFESTS: no such folder.*absent"):
            act()


def test_an_unknown_name_gets_the_near_ones_and_where_the_known_are() -> None:
    with pytest.raises(
        ManifestError, match=r"got 'mnits'; did you mean mnist\? 'dsets list"
    ) as one:
        manifest.find("mnits")
    assert len(str(one.value)) < 200  # not every name there is
    with pytest.raises(ManifestError) as caught:
        manifest.find("zzzzzzzz")
    assert caught.value.remedy == (
        "'dsets list --all' names those that there are, "
        "DSETS_MANIFESTS the folders of your own manifests"
    )


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../tiny", "/etc/passwd", "MNIST", "\x1b[2J", "a\0"]
)
def test_no_name_leads_out_of_the_folders(folders: tuple[Path, Path], good: str, name: str) -> None:
    (folders[0].parent / "tiny.toml").write_text(good)
    with pytest.raises(ManifestError, match="unknown dataset") as caught:
        manifest.find(name)
    assert str(caught.value).isprintable()


def test_a_broken_manifest_breaks_no_other(folders: tuple[Path, Path]) -> None:
    (folders[0] / "broken.toml").write_text("schema = ")
    assert "broken" in manifest.names()
    assert manifest.find("mnist").name == "mnist"
    with pytest.raises(ManifestError, match=r"broken\.toml: not valid TOML"):
        manifest.find("broken")


def test_finding_a_manifest_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'pandas', 'h5py', 'dask', 'torch', 'requests', 'rich', 'PIL', 'click'}"
    code = f"import sys, dsets; dsets.manifest.find('mnist'); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
