"""Packs: shards, an index, statistics; one split; immutable.

    shard.write      one shard from memory      (prepare does this, one task a shard)
    finish           statistics and index       (when all shards are there)
    Pack.open        read
    verify           prove that nothing has changed, or say which sample has

The format is described in docs/pack-format.md.
"""

from dsets.pack import shard
from dsets.pack.assembly import finish
from dsets.pack.digests import samples_digest
from dsets.pack.reader import Pack
from dsets.pack.schema import Extent, Index, Quarantined, Shard
from dsets.pack.statistics import Statistics
from dsets.pack.verification import Problem, verify

__all__ = [
    "Extent",
    "Index",
    "Pack",
    "Problem",
    "Quarantined",
    "Shard",
    "Statistics",
    "finish",
    "samples_digest",
    "shard",
    "verify",
]
