"""A pack is a map-style dataset for ``torch.utils.data.DataLoader`` as it is; its stream
an iterable one, by ``as_iterable``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets.errors import MissingLibraryError, PackError, UsageError
from dsets.pack import Pack
from dsets.stream import Key, Order, Ragged, as_iterable, batches
from dsets.transforms import Flip, PadCrop

data = pytest.importorskip("torch.utils.data")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_each_sample_once(make_pack: Callable[..., Pack], method: str) -> None:
    pack = make_pack(37)
    loader: Any = data.DataLoader(
        pack,
        batch_size=None,
        shuffle=True,
        num_workers=2,
        multiprocessing_context=method,
    )
    keys = sorted(sample["key"] for sample in loader)
    assert keys == pack.keys(range(37))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_of_a_pack_is_an_error(
    make_pack: Callable[..., Pack], tmp_path: Path, workers: int
) -> None:
    folder = shutil.copytree(make_pack(37).path, tmp_path / "damaged")
    with (folder / "shard-00000.h5").open("r+b") as file:
        file.seek(Pack.open(folder).index.shards[0].datasets["image"].offset)
        file.write(b"damaged")
    loader: Any = data.DataLoader(Pack.open(folder), batch_size=None, num_workers=workers)
    with pytest.raises(PackError, match=r"shard-00000\.h5, image, sample 0: damaged"):
        list(loader)


def epoch_of(loader: Any) -> list[tuple[list[int], bytes]]:
    """What each batch holds: its samples and its pixels."""
    return [(batch["index"].tolist(), batch["image"].numpy().tobytes()) for batch in loader]


def stream_epochs(pack: Pack, epochs: int, **arguments: Any) -> list[list[tuple[list[int], bytes]]]:
    with batches(pack, 5, **arguments) as stream:
        return [
            [(batch.index.tolist(), batch["image"].tobytes()) for batch in stream]
            for _ in range(epochs)
        ]


ARGUMENTS: dict[str, Any] = {"seed": 3, "transform": [PadCrop(1), Flip()]}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_out_the_streams_batches_in_its_order(
    make_pack: Callable[..., Pack], method: str
) -> None:
    pack = make_pack(37)
    dataset = as_iterable(pack, 5, **ARGUMENTS)
    loader: Any = data.DataLoader(
        dataset,
        batch_size=None,
        num_workers=2,
        multiprocessing_context=method,
        persistent_workers=True,  # which count the epochs
    )
    seen = [epoch_of(loader) for _ in range(2)]
    assert seen == stream_epochs(pack, 2, **ARGUMENTS)
    assert len(loader) == 8


def test_new_workers_are_told_their_epoch(make_pack: Callable[..., Pack]) -> None:
    pack = make_pack(37)
    dataset = as_iterable(pack, 5, **ARGUMENTS)
    loader: Any = data.DataLoader(
        dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    dataset.set_epoch(1)
    assert epoch_of(loader) == stream_epochs(pack, 2, **ARGUMENTS)[1]


def test_without_workers_epochs_follow_each_other(make_pack: Callable[..., Pack]) -> None:
    pack = make_pack(37)
    loader: Any = data.DataLoader(as_iterable(pack, 5, **ARGUMENTS), batch_size=None)
    assert [epoch_of(loader) for _ in range(2)] == stream_epochs(pack, 2, **ARGUMENTS)


def test_an_iterable_refuses_nonsense_where_it_is_made(make_pack: Callable[..., Pack]) -> None:
    with pytest.raises(UsageError, match="bad batch_size"):
        as_iterable(make_pack(37), 0)


def test_without_torch_an_iterable_says_what_to_install(
    make_pack: Callable[..., Pack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dsets.stream._iterable", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.data", None)
    with pytest.raises(MissingLibraryError, match="pip install"):
        as_iterable(make_pack(37), 5)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("turns", [1, 2, 3, 11])  # 37 samples have fewer batches than 11 turns
@pytest.mark.parametrize("ranks", [1, 2])
def test_turns_deal_out_every_batch_once(turns: int, drop_last: bool, ranks: int) -> None:
    key = Key("a" * 64, 0, True)
    whole = Order(37, key, 5, drop_last, 0, ranks)
    expected = [position for position in range(0, 37, 5) if not whole.over(position)]
    parts = []
    for turn in range(turns):
        order = Order(37, key, 5, drop_last, 0, ranks, turn, turns)
        position, part = order.first, []
        while not order.over(position):
            part.append(position)
            position = order.following(position)
        assert len(part) == len(order)
        parts.append(part)
    together = [parts[number % turns][number // turns] for number in range(len(expected))]
    assert together == expected and sum(map(len, parts)) == len(expected)


@pytest.mark.parametrize("epoch", ["a", None, -1, 1.5, True, 2**32])
def test_a_strange_epoch_is_refused_at_once(make_pack: Callable[..., Pack], epoch: Any) -> None:
    dataset = as_iterable(make_pack(9), 4)
    with pytest.raises(UsageError, match="set_epoch: bad epoch"):
        dataset.set_epoch(epoch)
    dataset.set_epoch(np.int64(3))  # type: ignore[arg-type]
    third = [batch["index"].tolist() for batch in dataset]
    dataset.set_epoch(3)
    assert third == [batch["index"].tolist() for batch in dataset]


def test_an_argument_that_there_is_not_is_named(make_pack: Callable[..., Pack]) -> None:
    arguments: dict[str, Any] = {"device": "cpu"}
    with pytest.raises(UsageError, match=r"^as_iterable: unknown argument 'device'; expected one "):
        as_iterable(make_pack(9), 4, **arguments)


def test_a_ragged_field_is_a_list_of_rows_out_of_a_loader(make_pack: Callable[..., Pack]) -> None:
    pack = make_pack(9)
    dataset = as_iterable(pack, 4, shuffle=False)
    (plain, *_), (loaded, *_) = dataset, data.DataLoader(dataset, batch_size=None)
    ragged = [name for name, value in plain.items() if isinstance(value, Ragged)]
    assert ragged
    for name in ragged:
        assert type(loaded[name]) is list
        assert [row.tolist() for row in loaded[name]] == [row.tolist() for row in plain[name]]


@pytest.mark.parametrize("name", ["index", "valid", "substituted"])
def test_a_function_may_not_return_what_a_batch_needs(
    make_pack: Callable[..., Pack], name: str
) -> None:
    def named(batch: Any) -> dict[str, Any]:
        return {name: batch["label"]}

    with pytest.raises(UsageError, match=f"returned the field '{name}'"):
        next(iter(as_iterable(make_pack(9), 5, transform=[named])))
