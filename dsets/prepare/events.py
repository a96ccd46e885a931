"""What a prepare job tells beside its progress."""

from __future__ import annotations

from dataclasses import dataclass

from dsets.pack.schema import Quarantined, Shard
from dsets.progress import Event


@dataclass(frozen=True, slots=True)
class ShardEvent(Event):
    """Shard ``number`` is finished: made now, or ``kept`` from a job that was interrupted.

    ``shard`` is None when all its samples are in ``quarantine``; ``bad`` counts those of the pack
    so far. ``done`` does not count kept shards twice: they are in the task's first event.
    """

    number: int = 0
    shard: Shard | None = None
    quarantine: tuple[Quarantined, ...] = ()
    bad: int = 0
    kept: bool = False
