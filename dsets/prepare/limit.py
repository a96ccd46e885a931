"""How many bad samples a job may meet before it is a job that goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsets.errors import PrepareError, UsageError
from dsets.pack.schema import Quarantined

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` bad samples, or ``percent`` of the split's samples; neither: any number.

    Raises:
        UsageError: both are given, or one is out of range.
    """

    count: int | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.percent is not None:
            raise UsageError("give a number of bad samples or a percentage", got="both")
        if self.count is not None and self.count < 0:
            raise UsageError("bad limit", expected="0 or more bad samples", got=self.count)
        if self.percent is not None and not 0 <= self.percent <= 100:
            raise UsageError("bad limit", expected="0% to 100%", got=f"{self.percent:g}%")

    def check(self, where: str, bad: Sequence[Quarantined], samples: int) -> None:
        """Raise PrepareError, naming the first, when ``bad`` are more than a pack may have."""
        most = self.count
        if self.percent is not None:
            most = int(samples * self.percent / 100)
        if most is None or len(bad) <= most:
            return
        first = "; ".join(f"{one.key} ({one.reason})" for one in bad[:_NAMED])
        raise PrepareError(
            "too many bad samples",
            where=where,
            expected=f"at most {most} of {samples}",
            got=f"{len(bad)}, the first: {first}",
            remedy="finished shards are kept: mend the data, or go on with a higher limit",
        )


ANY = Limit()
