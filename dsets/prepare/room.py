"""Whether there is room for packs: on the disk while they are made, and in an index for shards.

Beside a shard lies its record and, of a training pack, a file of its integer sums until the pack is
finished. A mean image's sums take 1.5 MiB for 256 x 256 RGB however small the shard, so of small
shards they take much of the disk.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsets.errors import PrepareError, UsageError
from dsets.pack import extents, strict
from dsets.pack.schema import Shard
from dsets.prepare import folder
from dsets.prepare.planning import PackPlan

#: What a shard has beside it: its record, what is in its file of sums besides sums, ends of blocks.
_RECORD_BYTES = 12 << 10
#: Sums that are more than this of the pack tell of shards that are too small.
_HEAVY = 0.1
#: What index.json has for a shard and for each dataset in it, generously (docs/scaling.md).
_INDEX_SHARD_BYTES = 200
_INDEX_DATASET_BYTES = 125


def peak_bytes(plans: Iterable[PackPlan], *, begun: bool = False) -> int:
    """About what making these packs, one after the other, takes of the disk at most.

    ``begun``: what it takes beyond what already lies there of them.
    """
    peak = done = 0
    for plan in plans:
        beside = plan.shards * (_RECORD_BYTES + plan.sums_bytes)
        more = plan.need_bytes - (folder.begun_bytes(plan) if begun else 0)
        peak = max(peak, done + more + beside)
        done += more
    return peak


def heavy_bytes(plan: PackPlan) -> int:
    """What the sums of all shards take until the pack is finished; 0 if that hardly counts."""
    sums = plan.shards * plan.sums_bytes
    return sums if sums > _HEAVY * plan.need_bytes else 0


def free_bytes(root: Path) -> int:
    """What the disk of the folder ``root``, which may not be there yet, can still take."""
    return shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).free


def check_disk(plans: Sequence[PackPlan]) -> None:
    """Raise PrepareError when the packs cannot be made on their disk."""
    need, free = peak_bytes(plans, begun=True), free_bytes(plans[0].out.parent)
    if need <= free:
        return
    expected, remedy = f"about {need} bytes free", "free some, or choose another --out"
    for plan in plans:
        if sums := heavy_bytes(plan):
            expected += (
                f" ({sums} of them for the sums of {plan.shards} shards, while {plan.split.name} "
                "is made)"
            )
            remedy += ", or a larger --shard-size: every shard has a mean image's sums"
    raise PrepareError(
        "not enough disk space",
        where=plans[0].out.parent,
        expected=expected,
        got=free,
        remedy=remedy,
    )


def check_index(plan: PackPlan, shard_bytes: int) -> None:
    """Refuse a pack that nobody could open, before it is made: an index has a largest size.

    Raises:
        UsageError: shards of ``shard_bytes``, as asked for, are too many for it.
    """
    datasets = extents.of_shard(Shard("", 1, 0, "", {}), plan.fields)
    need = plan.shards * (_INDEX_SHARD_BYTES + _INDEX_DATASET_BYTES * len(datasets))
    if need > strict.BYTES:
        raise UsageError(
            f"too many shards for the index of a pack: {plan.shards:,}",
            where=f"{plan.source.manifest.name}/{plan.split.name}",
            expected=f"an index of at most {strict.BYTES:,} bytes",
            got=f"about {need:,}",
            remedy=f"give a shard size of {math.ceil(shard_bytes * need / strict.BYTES):,} bytes "
            "or more (--shard-size)",
        )
