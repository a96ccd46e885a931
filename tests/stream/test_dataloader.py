"""A pack is a map-style dataset for ``torch.utils.data.DataLoader`` as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dsets.pack import Pack

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
