"""Repair: only what is damaged, only to the same bytes, and never by code that a pack names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsets import prepare
from dsets.errors import DsetsError, PackError, PrepareError, UsageError
from dsets.pack import index, verify
from dsets.prepare import repair

Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture
def made(tiny: Any) -> Path:
    """The finished training pack of nine shards."""
    prepare.run(tiny.plan())
    return Path(tiny.folder / "out" / "train")


def flip(path: Path, place: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


def mend(pack: Path, **more: Any) -> repair.Repair:
    found = repair.plan(pack, **more)
    assert repair.run(found).damaged == ()
    return found


def test_flipped_bits_a_cut_and_a_missing_shard_are_mended_to_the_same_bytes(
    tiny: Any, made: Path, hashes: Hashes
) -> None:
    before = hashes(made.parent)
    times = {path.name: path.stat().st_mtime_ns for path in made.iterdir()}
    flip(made / "shard-00001.h5")
    flip(made / "shard-00004.h5", 0.9)
    os.truncate(made / "shard-00006.h5", 100)
    (made / "shard-00008.h5").unlink()
    found = mend(made)
    assert found.damaged == tuple(f"shard-0000{number}.h5" for number in (1, 4, 6, 8))
    assert hashes(made.parent) == before and verify(made, deep=True) == []
    whole = [name for name in times if name not in found.damaged]
    assert all((made / name).stat().st_mtime_ns == times[name] for name in whole)
    assert sorted(path.name for path in made.parent.iterdir()) == ["test", "train"]


def test_workers_mend_to_the_same_bytes(
    tiny: Any, made: Path, hashes: Hashes, cli: Callable[[Sequence[str]], int]
) -> None:
    before = hashes(made.parent)
    for number in (0, 3, 4, 8):
        flip(made / f"shard-0000{number}.h5")
    flip(made / "statistics.h5")
    assert cli(["repair", str(made), "--workers", "2", "--quiet"]) == 0
    assert hashes(made.parent) == before
    assert sorted(path.name for path in made.parent.iterdir()) == ["test", "train"]


def test_workers_and_a_scheduler_cannot_both_be_meant(made: Path) -> None:
    flip(made / "shard-00000.h5")
    found = repair.plan(made)
    with pytest.raises(UsageError, match="either workers or a scheduler"):
        repair.run(found, workers=2, scheduler="tcp://127.0.0.1:8786")


def test_a_whole_pack_needs_neither_raw_files_nor_its_pipeline(tiny: Any, made: Path) -> None:
    shutil.rmtree(tiny.folder / "home" / "raw")
    assert repair.plan(made).damaged == ()


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: os.truncate(path, 8)])
def test_statistics_are_added_up_again_without_raw_files(
    tiny: Any, made: Path, hashes: Hashes, harm: Callable[[Path], object]
) -> None:
    before = hashes(made)
    shutil.rmtree(tiny.folder / "home" / "raw")
    harm(made / "statistics.h5")
    assert mend(made).damaged == ("statistics.h5",)
    assert hashes(made) == before


def test_shards_and_statistics_together(made: Path, hashes: Hashes) -> None:
    before = hashes(made)
    flip(made / "shard-00000.h5")
    flip(made / "statistics.h5")
    mend(made)
    assert hashes(made) == before


def test_a_link_in_a_shards_place_is_replaced_and_what_it_leads_to_is_left_alone(
    tiny: Any, made: Path, hashes: Hashes
) -> None:
    before = hashes(made)
    thesis = tiny.folder / "thesis.txt"
    thesis.write_text("years of work")
    (made / "shard-00002.h5").unlink()
    (made / "shard-00002.h5").symlink_to(thesis)
    mend(made)
    assert hashes(made) == before and thesis.read_text() == "years of work"


def test_a_shard_without_its_source_is_a_clear_error(tiny: Any, made: Path) -> None:
    flip(made / "shard-00001.h5")
    (tiny.folder / "home/raw/tiny/train-images").unlink()
    with pytest.raises(
        PrepareError, match=r"missing.*no good train-images; run 'dsets fetch tiny'"
    ):
        repair.plan(made)


def test_a_changed_source_is_refused(tiny: Any, made: Path, hashes: Hashes) -> None:
    flip(made / "shard-00001.h5")
    flip(tiny.folder / "home/raw/tiny/train-images")
    before = hashes(made)
    with pytest.raises(PrepareError, match="no good train-images"):
        repair.plan(made)
    assert hashes(made) == before


def test_a_damaged_index_is_never_believed(made: Path) -> None:
    text = (made / "index.json").read_text()
    for harmed in ("", text[:-40], text.replace('"samples": 10', '"samples": 11'), text + " "):
        (made / "index.json").write_text(harmed)
        with pytest.raises(PackError, match=r"without its index: restore index"):
            repair.plan(made)


def test_a_pipeline_of_ones_own_must_be_given_and_be_the_same(tiny: Any, hashes: Hashes) -> None:
    recipe = tiny.recipe("pass")
    prepare.run(tiny.plan(pipeline=recipe))
    pack = tiny.folder / "out" / "train"
    before = hashes(pack)
    flip(pack / "shard-00003.h5")
    with pytest.raises(PrepareError, match=r"not installed.*'mine'.*--pipeline"):
        repair.plan(pack)
    other = tiny.recipe('(HERE / "ran").touch()', "other")
    with pytest.raises(PrepareError, match="another version of the pipeline"):
        repair.plan(pack, pipeline=other)
    other.write_text(other.read_text() + '\n(HERE / "ran").touch()\n')
    with pytest.raises(PrepareError, match="another version of the pipeline"):
        repair.plan(pack, pipeline=other)
    assert not (tiny.folder / "ran").exists()  # its source was compared before it ran
    moved = tiny.folder / "elsewhere.py"
    recipe.rename(moved)
    mend(pack, pipeline=moved)
    assert hashes(pack) == before


def rewrite(pack: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A stranger's index: consistent in itself, with a provenance of their choice."""
    found = index.read(pack)
    provenance = json.loads(json.dumps(found.provenance))
    change(provenance)
    index.write(pack, replace(found, provenance=provenance))


@pytest.mark.parametrize("name", ["{here}/evil.py", "evil.py", "../evil", "os", "evil", ""])
def test_code_that_a_pack_names_never_runs(tiny: Any, made: Path, name: str) -> None:
    evil = made / "evil.py"
    evil.write_text(f"open({str(tiny.folder / 'ran')!r}, 'w')")
    flip(made / "shard-00001.h5")
    rewrite(made, lambda found: found["pipeline"].update(name=name.format(here=made)))
    with pytest.raises(PrepareError, match="not installed"):
        repair.plan(made)
    assert not (tiny.folder / "ran").exists()


@pytest.mark.parametrize("dataset", ["{here}/tiny", "../tiny", "{here}/tiny.toml", "nobody"])
def test_a_manifest_that_a_pack_names_is_never_read(made: Path, dataset: str) -> None:
    flip(made / "shard-00001.h5")
    rewrite(made, lambda found: found.update(dataset=dataset.format(here=made)))
    with pytest.raises(DsetsError, match="unknown dataset"):
        repair.plan(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.clear(), "no good dataset"),
        (lambda found: found.update(dataset=7), "no good dataset"),
        (lambda found: found.update(pipeline="as_is"), "no good pipeline"),
        (lambda found: found["pipeline"].update(sha256="0" * 64), "another version of the pipe"),
        (lambda found: found.update(samples_per_shard=True), "no good samples_per_shard"),
        (lambda found: found.update(samples_per_shard=0), "no good samples_per_shard"),
        (lambda found: found.update(samples_per_shard=11), "would make another pack"),
        (lambda found: found.update(plan="0" * 64), "would make another pack"),
        (lambda found: found["environment"].update(jpeg="other"), "another pixel environment"),
        (lambda found: found["raw"].clear(), "made from another train-images"),
        (lambda found: found["raw"].update({"train-images": "sha256:0"}), "from another train-im"),
        (lambda found: found.update(raw=[]), "no good raw"),
    ],
)
def test_another_origin_is_refused(
    made: Path, hashes: Hashes, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    flip(made / "shard-00001.h5")
    rewrite(made, change)
    before = hashes(made)
    with pytest.raises(DsetsError, match=said):
        repair.plan(made)
    assert hashes(made) == before


def test_a_newer_dsets_may_mend_what_it_makes_to_the_same_bytes(made: Path) -> None:
    flip(made / "shard-00001.h5")
    rewrite(made, lambda found: found["environment"].update(dsets="0.0.1"))
    mend(made)
    assert verify(made) == []


def test_other_bytes_than_the_index_names_never_take_a_shards_place(
    made: Path, hashes: Hashes
) -> None:
    found = index.read(made)
    wrong = replace(found.shards[2], sha256="1" * 64)
    index.write(made, replace(found, shards=(*found.shards[:2], wrong, *found.shards[3:])))
    before = hashes(made)
    plan = repair.plan(made)
    assert plan.damaged == ("shard-00002.h5",)
    with pytest.raises(PrepareError, match=r"to other bytes.*the file was not replaced"):
        repair.run(plan)
    assert hashes(made) == before


@pytest.mark.parametrize("name", ["shard-00099.h5", "shard-1.h5", "shard-00001.H5", "other"])
def test_a_shard_that_no_plan_has_is_refused(made: Path, name: str) -> None:
    found = index.read(made)
    strange = replace(found.shards[2], name=name)
    index.write(made, replace(found, shards=(*found.shards[:2], strange, *found.shards[3:])))
    with pytest.raises(PackError, match=r"two shards|that the pack's plan does not have|same name"):
        repair.plan(made)


def test_an_interrupted_repair_goes_on(
    tiny: Any, made: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashes(made.parent)
    for number in (1, 3, 5):
        flip(made / f"shard-0000{number}.h5")
    seen = []

    def stop(event: Any) -> None:
        seen.append(event.done)
        if event.done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair.run(repair.plan(made), progress=stop)
    again = repair.plan(made)
    assert again.damaged == ("shard-00003.h5", "shard-00005.h5")
    repair.run(again)
    assert hashes(made.parent) == before


def test_the_unfinished_work_of_a_prepare_job_is_left_alone(tiny: Any, made: Path) -> None:
    part = made.with_name("train.part")
    part.mkdir()
    (part / "plan").write_text("another")
    flip(made / "shard-00001.h5")
    mend(made)
    assert (part / "plan").read_text() == "another"


def test_a_pack_that_was_replaced_meanwhile_is_not_touched(tiny: Any, made: Path) -> None:
    flip(made / "shard-00001.h5")
    found = repair.plan(made)
    prepare.run(tiny.plan(shards=3), force=True)
    with pytest.raises(PrepareError, match="replaced meanwhile"):
        repair.run(found)
    assert verify(made) == []


def test_the_command_says_what_is_damaged_and_mends_it(
    tiny: Any,
    made: Path,
    cli: Callable[[Sequence[str]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    flip(made / "shard-00001.h5")
    assert cli(["verify", str(made), "--quiet"]) == 1
    assert cli(["repair", str(made), "--dry-run"]) == 0
    assert "shard-00001.h5  damaged" in capsys.readouterr().out
    assert cli(["verify", str(made), "--quiet"]) == 1
    assert cli(["repair", str(made.parent), "--json", "--quiet"]) == 0
    out = capsys.readouterr().out
    test, train = json.loads(out[out.index("[\n") :])
    assert test["damaged"] == [] and train["damaged"] == ["shard-00001.h5"] and train["mended"]
    assert cli(["verify", str(made), "--quiet"]) == 0
    assert cli(["repair", str(made)]) == 0
    assert "nothing is damaged" in capsys.readouterr().out
    assert cli(["repair", str(tiny.folder / "nowhere")]) == 1
    assert "no pack here" in capsys.readouterr().err


def test_a_pack_may_be_named_by_a_crooked_path_or_a_link(
    tiny: Any, made: Path, hashes: Hashes
) -> None:
    before = hashes(made)
    link = tiny.folder / "link"
    link.symlink_to(made)
    for path in (link, made / ".." / "test" / ".." / "train", made / "."):
        flip(made / "shard-00001.h5")
        mend(path)
        assert hashes(made) == before
    assert sorted(path.name for path in made.parent.iterdir()) == ["test", "train"]


def test_a_folder_that_cannot_be_written_is_told(made: Path) -> None:
    flip(made / "shard-00001.h5")
    found = repair.plan(made)
    made.with_name("train.part").write_text("in the way")
    with pytest.raises(PrepareError, match=r"train\.part: cannot be written"):
        repair.run(found)
