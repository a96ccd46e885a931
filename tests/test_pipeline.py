"""Pipelines: found by name or path, checked, hashed, and carried between processes."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dsets import manifest, pipeline
from dsets.errors import PipelineError
from dsets.readers import Sample

GOOD = """
from dsets.field import Field
STATISTICS = None
def fields(manifest):
    return (Field("twice", "int64", ()),)
def make(sample):
    return {"twice": 2 * sample.values["label"]}
"""


def write(folder: Path, source: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(source)
    return path


def test_a_shipped_pipeline_is_found_by_name_and_hashed_by_its_source() -> None:
    found = pipeline.load("as_is")
    import dsets.pipelines.as_is as module

    assert found.name == found.origin == "as_is"
    assert found.sha256 == hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    assert found.statistics == "image"


def test_a_users_file_is_found_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    for given in (path, str(path), "mine.py", "./mine.py"):
        found = pipeline.load(given)
        assert (found.name, found.origin) == ("mine", str(path))
        assert found.make(Sample("k", {"label": 4})) == {"twice": 8}
        assert [str(field) for field in found.fields(manifest.find("mnist"))] == ["twice: int64 ()"]
    assert [left.name for left in tmp_path.iterdir() if left != tmp_path / "home"] == ["mine.py"]


def test_a_users_file_is_loaded_anew_when_it_changed(tmp_path: Path) -> None:
    first = pipeline.load(write(tmp_path, GOOD))
    second = pipeline.load(write(tmp_path, GOOD.replace("2 *", "3 *")))
    assert first.make(Sample("k", {"label": 4})) == {"twice": 8}
    assert second.make(Sample("k", {"label": 4})) == {"twice": 12}
    assert first.sha256 != second.sha256


@pytest.mark.parametrize("missing", ["STATISTICS", "fields", "make"])
def test_an_error_names_the_module_and_what_is_missing(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path, GOOD.replace(missing, "other"))
    with pytest.raises(PipelineError, match=rf"mine\.py: breaks.*got no {missing}"):
        pipeline.load(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("make = 3", "no make"),
        ("def make(): ...", "no make"),
        ("def fields(a, b): ...", "no fields"),
        ("def environment(a): ...", "no environment"),
        ("environment = {}", "no environment"),
        ("STATISTICS = 5", "STATISTICS"),
        ("VARYING_BYTES = 0", "VARYING_BYTES"),
        ("VARYING_BYTES = True", "VARYING_BYTES"),
        ("VARYING_BYTES = 2.5", "VARYING_BYTES"),
        ("DECODED_SHAPE = (4, 4)", "DECODED_SHAPE"),
        ("DECODED_SHAPE = (4, 4, None)", "DECODED_SHAPE"),
        ("DECODED_SHAPE = [4, 4, 3]", "DECODED_SHAPE"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def", "cannot be imported: SyntaxError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
        ("import nowhere_to_be_found", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_broken_module_is_refused(tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(PipelineError, match=rf"mine\.py: .*{said}"):
        pipeline.load(write(tmp_path, f"{GOOD}\n{wrong}\n"))


@pytest.mark.parametrize(
    ("fields", "statistics", "said"),
    [
        ("()", None, "fields"),
        ("5", None, "fields"),
        ("('image',)", None, "bad fields"),
        ("1 / 0", None, "fields.. of mnist failed in line [0-9]+: ZeroDivisionError"),
        (
            "__import__('sys').exit(0)",
            None,
            "fields.. of mnist failed in line [0-9]+: SystemExit: 0",
        ),
        ("(Field('a', 'int64', ()), Field('a', 'int8', ()))", None, "fields"),
        ("(Field('key_hash', 'int64', ()),)", None, "key_hash"),
        ("(Field('a', 'int64', ()),)", "image", "STATISTICS names no field"),
        ("(Field('a', 'float32', (4, 4, 3)),)", "a", "must name an image"),
        ("(Field('a', 'uint8', (4, 4)),)", "a", "must name an image"),
        ("(Field('a', 'uint8', (4, 4, None)),)", "a", "must name an image"),
    ],
)
def test_bad_fields_are_refused(
    tmp_path: Path, fields: str, statistics: str | None, said: str
) -> None:
    source = GOOD.replace("(Field('twice', 'int64', ()),)", fields)
    source = source.replace('(Field("twice", "int64", ()),)', fields)
    found = pipeline.load(write(tmp_path, source.replace("= None", f"= {statistics!r}")))
    with pytest.raises(PipelineError, match=said):
        found.fields(manifest.find("mnist"))


@pytest.mark.parametrize("shape", ["(4, 4, 3)", "(None, None, 1)", "(None,)"])
def test_statistics_are_of_pixels_or_of_encoded_images(tmp_path: Path, shape: str) -> None:
    source = GOOD.replace('("twice", "int64", ())', f'("twice", "uint8", {shape})')
    found = pipeline.load(write(tmp_path, source.replace("= None", "= 'twice'")))
    assert found.fields(manifest.find("mnist"))[0].encoded == (shape == "(None,)")


def test_a_pixel_environment_is_strings_by_name_or_nothing(tmp_path: Path) -> None:
    assert pipeline.load(write(tmp_path, GOOD)).environment() == {}
    own = f"{GOOD}\ndef environment():\n    return {{'codec': '1.2'}}\n"
    assert pipeline.load(write(tmp_path, own)).environment() == {"codec": "1.2"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("5", "bad environment"),
        ("None", "bad environment"),
        ("{'codec': 1.2}", "bad environment"),
        ("{1: 'codec'}", "bad environment"),
        ("1 / 0", "environment.. failed in line [0-9]+: ZeroDivisionError"),
    ],
)
def test_a_bad_pixel_environment_is_refused(tmp_path: Path, given: str, said: str) -> None:
    source = f"{GOOD}\ndef environment():\n    return {given}\n"
    with pytest.raises(PipelineError, match=said):
        pipeline.load(write(tmp_path, source)).environment()


@pytest.mark.parametrize("given", ["nowhere", "nowhere.py", "/nowhere/at_all.py", "../as_is", ""])
def test_a_pipeline_that_is_nowhere_is_refused(given: str) -> None:
    with pytest.raises(PipelineError, match=r"unknown pipeline|no such pipeline"):
        pipeline.load(given)


def test_another_process_loads_it_again_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_bytes(pickle.dumps(pipeline.load(write(tmp_path, GOOD))))
    script = """
import pickle, sys
from dsets.readers import Sample
found = pickle.load(open(sys.argv[1], "rb"))
print(found.name, found.make(Sample("k", {"label": 21})))
"""
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "pickle"], capture_output=True, text=True
    )
    assert told.stdout == "mine {'twice': 42}\n", told.stderr


def test_a_source_that_changed_on_the_way_is_refused(tmp_path: Path) -> None:
    carried = pickle.dumps(pipeline.load(write(tmp_path, GOOD)))
    write(tmp_path, GOOD + "# a comment\n")
    arrived = pickle.loads(carried)
    with pytest.raises(PipelineError, match="differs from the one that the job began with"):
        arrived.make(Sample("key", {}))


def test_a_users_dataclasses_work(tmp_path: Path) -> None:
    source = "from __future__ import annotations\nfrom dataclasses import dataclass\n" + GOOD
    source += "@dataclass\nclass Box:\n    x: int\n"
    assert pipeline.load(write(tmp_path, source)).name == "mine"
