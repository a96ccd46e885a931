"""The pools of the Inceptions at the borders of the maps, where implementations differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsets import models


@pytest.mark.parametrize(
    ("name", "corner"), [("inception_v3", 4 / 9), ("inception_v4", 1), ("inception_resnet_v2", 1)]
)
def test_only_v3_counts_zeros_beyond_the_border(name: str, corner: float) -> None:
    pools = [one for one in models.sketch(models.find(name)).modules() if type(one) is nn.AvgPool2d]
    assert pools
    for pool in pools:
        means = pool(torch.ones(1, 1, 5, 5))
        assert means[0, 0, 0, 0] == pytest.approx(corner) and means[0, 0, 2, 2] == 1


@pytest.mark.parametrize("side", [4, 5])
def test_the_windows_that_v2_halves_with_begin_at_the_first_pixel(side: int) -> None:
    block = dict(models.sketch(models.find("inception_v2")).named_children())["inception_3c"]
    passing = list(block.branches)[-1]  # type: ignore[arg-type]
    maps = -torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)
    firsts = maps[..., ::2, ::2]  # the greatest of each window is its first: its corner
    assert torch.equal(passing(maps), firsts)
