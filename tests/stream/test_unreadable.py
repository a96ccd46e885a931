"""Promise 5, verify= and what becomes of damaged bytes."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import extension
from dsets.errors import PackError, UsageError
from dsets.field import Field
from dsets.pack import Pack
from dsets.stream import Window, batches
from dsets.stream.substitutes import candidates
from dsets.transforms import Flip, PadCrop
from tests import packs
from tests.stream.streams import damaged, quiet

MakePack = Callable[..., Pack]
N = 37
BAD = (3, 20, 36)


@pytest.fixture
def bad_pack(make_pack: MakePack, tmp_path: Path) -> Pack:
    return damaged(make_pack(N), tmp_path / "damaged", BAD)


@pytest.fixture(params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checksums by the extension and by google-crc32c."""
    if request.param == "python":
        monkeypatch.setattr(extension, "checksum", False)
    elif not extension.checksum:
        pytest.skip("the extension was not built, or the processor has no CRC-32C")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("field", ["key", "key_hash"])
def test_promise_5_a_damaged_key_makes_a_sample_unreadable(
    make_pack: MakePack, tmp_path: Path, field: str
) -> None:
    """Its random choices would silently be others."""
    pack = damaged(make_pack(N), tmp_path / "damaged", BAD, field)
    stream = batches(pack, 5, transform=[PadCrop(2), Flip()])
    shown = np.concatenate([batch.index[batch.valid] for batch in quiet(stream)])
    assert len(shown) == N and not set(BAD) & set(shown.tolist())
    assert stream.substituted == len(BAD)
    assert set(stream.unreadable.values()) == {"key: its bytes have another checksum"}
    assert list(stream.unreadable) == [f"sample {number}" for number in BAD]


def test_promise_5_samples_whose_keys_became_one_are_listed_each(
    make_pack: MakePack, tmp_path: Path
) -> None:
    pack = damaged(make_pack(N), tmp_path / "damaged", ())
    recorded = pack.index.shards[0]
    with open(pack.path / recorded.name, "r+b") as file:  # as after a lost block of the disk
        file.seek(recorded.datasets["key"].offset)
        file.write(bytes(recorded.datasets["key"].length))
    stream = batches(Pack.open(pack.path), 5)
    with pytest.warns(UserWarning, match="'sample 0': key: its bytes"):
        list(stream)
    assert list(stream.unreadable) == [f"sample {number}" for number in range(recorded.samples)]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("field", ["image", "label", "weight"])
def test_promise_5_a_substitute_stands_for_an_unreadable_sample(
    make_pack: MakePack, tmp_path: Path, field: str
) -> None:
    pack = damaged(make_pack(N), tmp_path / "damaged", BAD, field)
    whole, stream = batches(make_pack(N), 8), batches(pack, 8)
    with pytest.warns(UserWarning, match="train/000.*another CRC-32C"):
        shown = list(stream)
    expected = list(whole)
    assert len(shown) == len(expected) == len(stream)
    for ours, theirs in zip(shown, expected, strict=True):
        assert (ours.substituted == np.isin(theirs.index, BAD)).all()
        assert (ours.index == theirs.index)[~ours.substituted].all()
        assert not np.isin(ours.index, BAD).any()
        for row, number in enumerate(ours.index.tolist()):  # all of a row is one sample's
            assert np.array_equal(ours["image"][row], make_pack(N)[number]["image"])
            assert ours["label"][row] == number % 10
    assert stream.substituted == len(BAD)
    assert sorted(stream.unreadable) == [f"train/{number:05d}" for number in BAD]
    assert all(field in why for why in stream.unreadable.values())


@given(batch_size=st.integers(1, 40), ranks=st.integers(1, 9), epoch=st.integers(0, 3))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_promise_5_the_substitute_is_the_first_readable_candidate_on_any_rank(
    bad_pack: Pack, batch_size: int, ranks: int, epoch: int
) -> None:
    seen: Counter[int] = Counter()
    expected = {
        number: next(
            each
            for each in candidates(N, bad_pack.samples_digest, 9, epoch, number)
            if each not in BAD
        )
        for number in BAD
    }
    stand_in: list[int] = []
    for rank in range(ranks):
        with batches(bad_pack, batch_size, seed=9, rank=(rank, ranks)) as stream:
            stream.load_state_dict(stream.state_dict() | {"epoch": epoch})
            for batch in quiet(stream):
                seen.update(batch.index[batch.valid & ~batch.substituted].tolist())
                stand_in += batch.index[batch.valid & batch.substituted].tolist()
    assert seen == Counter(set(range(N)) - set(BAD))  # promise 2 counts them not
    assert sorted(stand_in) == sorted(expected.values())


@given(n=st.integers(1, 300), epoch=st.integers(0, 5), data=st.data())
def test_promise_5_candidates_are_all_other_samples_once(n: int, epoch: int, data: Any) -> None:
    sample = data.draw(st.integers(0, n - 1))
    found = list(candidates(n, "d" * 64, 1, epoch, sample))
    assert sorted([*found, sample]) == list(range(n))


def test_promise_5_a_substitute_is_shown_as_its_own_key_says(bad_pack: Pack) -> None:
    """Promise 4 holds for it, too."""
    (batch,) = quiet(batches(bad_pack, N, transform=[PadCrop(3), Flip()]))
    rows = {
        int(number): row for row, number in enumerate(batch.index) if not batch.substituted[row]
    }
    for row in np.flatnonzero(batch.substituted).tolist():
        twin = rows[int(batch.index[row])]
        assert np.array_equal(batch["image"][row], batch["image"][twin])


def test_promise_5_evaluation_raises_and_a_policy_decides_otherwise(bad_pack: Pack) -> None:
    with pytest.raises(PackError, match=r"train/00003.*unreadable sample.*CRC-32C"):
        list(batches(bad_pack, 8, shuffle=False))
    with pytest.raises(PackError, match="unreadable sample"):
        list(batches(bad_pack, 8, unreadable="raise"))
    shown = quiet(batches(bad_pack, 8, shuffle=False, unreadable="substitute"))
    assert len(shown) == 5 and sum(int(batch.substituted.sum()) for batch in shown) == 3


def test_promise_5_where_nothing_can_be_read_the_stream_ends(
    make_pack: MakePack, tmp_path: Path
) -> None:
    pack = damaged(make_pack(3), tmp_path / "damaged", (0, 1, 2))
    with pytest.raises(PackError, match="so are all its substitutes"):
        list(batches(pack, 2))


def test_promise_5_one_warning_a_stream_and_resumed_where_it_was_made_an_error(
    bad_pack: Pack,
) -> None:
    stream = batches(bad_pack, 4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(stream), list(stream)
    assert len(caught) == 1 and stream.substituted == 6


def test_promise_5_substitutes_in_padding_do_not_count(bad_pack: Pack) -> None:
    """The last batch has samples 35 and 36 for three ranks; the third shows 36 again."""
    counted, padded = 0, 0
    for rank in range(3):
        unsorted: dict[str, Any] = {"shuffle": False, "unreadable": "substitute"}
        with batches(bad_pack, 5, rank=(rank, 3), **unsorted) as stream:
            shown = quiet(stream)
        padded += sum(int((batch.substituted & ~batch.valid).sum()) for batch in shown)
        counted += stream.substituted
    assert (counted, padded) == (len(BAD), 1)


@pytest.mark.parametrize(("damage", "warned"), [(10, False), (11, True), (19, True)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_promise_5_an_epoch_of_mostly_substitutes_is_warned_of_once(
    make_pack: MakePack, tmp_path: Path, damage: int, warned: bool, ranks: int
) -> None:
    """Half of 20 is not more than half."""
    pack = damaged(make_pack(20), tmp_path / "damaged", tuple(range(damage)))
    found = []
    for rank in range(ranks):
        with (
            warnings.catch_warnings(record=True) as caught,
            batches(pack, 20, rank=(rank, ranks)) as stream,
        ):
            warnings.simplefilter("always")
            assert [len(list(stream)) for _ in range(3)] == [1, 1, 1]
        found.append(
            [str(each.message) for each in caught if "more than half" in str(each.message)]
        )
    assert all(len(each) <= 1 for each in found)
    if ranks == 1 or damage == 19:
        assert all(bool(each) == warned for each in found)
    assert all(f"dsets repair {pack.path}" in text for each in found for text in each)


def test_promise_5_rows_that_are_gone_over_again_are_not_counted_twice_as_an_epochs(
    make_pack: MakePack, tmp_path: Path
) -> None:
    pack = damaged(make_pack(20), tmp_path / "damaged", tuple(range(10)))
    with warnings.catch_warnings(record=True) as caught, batches(pack, 5) as stream:
        warnings.simplefilter("always")
        for _ in range(3):
            start = stream.state_dict() | {"epoch": 0, "position": 0}
            list(stream)
            stream.load_state_dict(start)
    assert stream.substituted == 30
    assert not [each for each in caught if "more than half" in str(each.message)]


def test_a_row_with_damaged_bounds_is_unreadable(make_pack: MakePack, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(make_pack(N, 1).path, folder)
    place = make_pack(N, 1).index.shards[0].datasets["caption"]
    with open(folder / "shard-00000.h5", "r+b") as file:
        file.seek(place.offset)  # of sample 1, as sample 0 has none
        file.write(b"y")
    stream = batches(Pack.open(folder), 8)
    quiet(stream)
    assert stream.unreadable == {"train/00001": "caption: its bytes have another CRC-32C"}


def test_verify_first_looks_once_a_process_always_each_time_never_not(
    make_pack: MakePack, tmp_path: Path
) -> None:
    """Bytes that change in memory after the first epoch, the file's time put back."""

    def flip(folder: Path) -> None:
        place = make_pack(N).index.shards[0].datasets["image"]
        name = folder / "shard-00000.h5"
        before = os.stat(name)
        with open(name, "r+b") as file:
            file.seek(place.offset)
            byte = file.read(1)[0]
            file.seek(place.offset)
            file.write(bytes([byte ^ 1]))
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))

    found = {}
    for verify in ("first", "always", "never"):
        folder = tmp_path / verify
        shutil.copytree(make_pack(N).path, folder)
        pack = Pack.open(folder)
        with batches(pack, 8, verify=verify) as stream:
            list(stream)
        flip(folder)
        with batches(pack, 8, verify=verify) as stream:
            quiet(stream)
            found[verify] = stream.substituted
    assert found == {"first": 0, "always": 1, "never": 0}


def test_without_verification_damaged_values_of_two_varying_sizes_are_shown(tmp_path: Path) -> None:
    """They are read one by one, as ``pack[i]`` reads, which would refuse."""
    values = [np.full((2, number + 1), number, np.uint8) for number in range(4)]
    field = Field("mask", "uint8", (None, None))
    made = packs.written(tmp_path / "made", (field,), list("abcd"), {"mask": values})
    pack = damaged(made, tmp_path / "damaged", (0,), "mask")
    (batch,) = batches(pack, 4, shuffle=False, verify="never")
    assert batch["mask"][0].ravel()[0] == 4
    with pytest.raises(PackError, match="mask: its bytes have another CRC-32C"):
        list(batches(pack, 4, shuffle=False))


@pytest.mark.parametrize(
    "argument",
    [
        {"verify": "sometimes"},
        {"unreadable": "ignore"},
        {"shuffle": Window},
        {"shuffle": "False"},
        {"shuffle": None},
        {"drop_last": "no"},
    ],
)
def test_nonsense_is_refused(make_pack: MakePack, argument: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"bad {next(iter(argument))}"):
        batches(make_pack(N), 4, **argument)
