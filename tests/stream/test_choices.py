"""What a stream shows of a sample: promise 4."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.pack import Pack
from dsets.stream import batches
from dsets.transforms import CentreCrop, Crop, Flip, Normalise, PadCrop, specification
from dsets.transforms.random import Draws
from dsets.transforms.recipe import Recipe
from tests.stream.streams import stream_of

MakePack = Callable[..., Pack]
N = 37

property_test = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(
    batch_size=st.integers(1, 20),
    ranks=st.integers(1, 4),
    threads=st.integers(1, 3),
    epoch=st.integers(0, 2),
    order=st.one_of(st.permutations([PadCrop(3), Flip()]), st.permutations([Crop((5, 3)), Flip()])),
)
@property_test
def test_promise_4_random_choices_depend_on_seed_epoch_and_sample_only(
    make_pack: MakePack,
    batch_size: int,
    ranks: int,
    threads: int,
    epoch: int,
    order: list[Any],
) -> None:
    pack = make_pack(N, 2)
    state = {"epoch": epoch, "position": 0}

    def shown(batch_size: int, ranks: int, threads: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for rank in range(ranks):
            stream = stream_of(
                pack, batch_size, rank=(rank, ranks), threads=threads, transform=order, seed=9
            )
            with stream:
                stream.load_state_dict(stream.state_dict() | state)
                for batch in stream:
                    for number, image in zip(batch.index, batch["image"], strict=True):
                        assert found.setdefault(int(number), image.tobytes()) == image.tobytes()
        return found

    assert shown(batch_size, ranks, threads) == shown(N, 1, 1)


@pytest.mark.parametrize("crop", [PadCrop(3), Crop((4, 7)), CentreCrop((4, 7))])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_promise_4_a_sample_is_shown_as_its_key_says(
    make_pack: MakePack, layout: str, crop: Any
) -> None:
    """From keys to pixels and floats, by the specification."""
    pack = make_pack(N, 3, (6, 9, 3), layout)
    normal = Normalise.of(pack)
    stream = stream_of(pack, 8, seed=5, transform=[Flip(), crop, normal])
    for epoch in range(2):
        for batch in stream:
            keys = pack.keys(batch.index.tolist())
            digests = [hashlib.sha256(key.encode()).digest()[:8] for key in keys]
            hashes = np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
            views = Recipe((Flip(), crop)).choose((6, 9), Draws(5, epoch, hashes))
            assert views.top is not None and views.left is not None
            assert views.mirrored is not None
            for row, number in enumerate(batch.index.tolist()):
                view = int(views.top[row]), int(views.left[row]), bool(views.mirrored[row])
                shown = specification.window(pack[number]["image"], *view, views.size)
                expected = specification.normalise(shown, normal)
                assert np.array_equal(batch["image"][row], expected)
    stream.close()


def test_promise_4_another_epoch_or_seed_chooses_anew(make_pack: MakePack) -> None:
    pack = make_pack(N)

    def images(seed: int) -> list[bytes]:
        stream = batches(pack, N, seed=seed, transform=[PadCrop(3), Flip()])
        epochs = [batch for _ in range(2) for batch in stream]
        return [batch["image"][np.argsort(batch.index)].tobytes() for batch in epochs]

    assert len({*images(0), *images(1)}) == 4
