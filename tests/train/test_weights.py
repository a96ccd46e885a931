"""The digest of weights: of names, types, shapes and values, not of how they lie in memory."""

from __future__ import annotations

import hashlib

import pytest
import torch

from dsets.train import weights

STATE = {"weight": torch.arange(24.0).reshape(2, 3, 2, 2), "count": torch.tensor(7)}


def test_it_is_what_anybody_can_compute() -> None:
    total = hashlib.sha256(b"weight\0float32\0(2, 3, 2, 2)\0")
    total.update(STATE["weight"].numpy().astype("<f4").tobytes())
    total.update(b"count\0int64\0()\0" + (7).to_bytes(8, "little"))
    assert weights.digest(STATE) == total.hexdigest()


def test_the_layout_in_memory_has_no_part_in_it() -> None:
    other = {**STATE, "weight": STATE["weight"].to(memory_format=torch.channels_last)}
    assert weights.digest(other) == weights.digest(STATE)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": STATE["weight"] + 1},
        {"weight": STATE["weight"].reshape(3, 2, 2, 2)},
        {"weight": STATE["weight"].to(torch.bfloat16)},
        {"more": torch.zeros(0)},
    ],
)
def test_anything_else_is(change: dict[str, torch.Tensor]) -> None:
    assert weights.digest({**STATE, **change}) != weights.digest(STATE)
