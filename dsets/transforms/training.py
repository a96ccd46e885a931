"""The statistics that transforms take from a training pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsets.errors import UsageError
from dsets.numbers import written

if TYPE_CHECKING:
    from dsets.pack import Pack, Statistics


def statistics_of(pack: Pack, where: str) -> Statistics:
    """The pack's own statistics; ``where`` is who wants them.

    Raises:
        UsageError: it has none, as only training packs do; or is no pack.
    """
    if not hasattr(pack, "statistics"):
        remedy = "dsets.Pack.open(path) opens a pack"
        raise UsageError(
            "not a pack", where=where, expected="a Pack", got=written(pack), remedy=remedy
        )
    statistics = pack.statistics
    if statistics is None:
        raise UsageError(
            "the pack has no statistics",
            where=where,
            expected="a training pack with an image",
            got=written(pack),
            remedy=f"take {where}(the training pack) for every split",
        )
    return statistics
