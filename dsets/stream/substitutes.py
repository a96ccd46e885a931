"""Promise 5: what is shown in place of a sample that cannot be read.

Candidate j of sample s in an epoch is P((s + j) mod n), where P is the permutation of the order
with round keys of its own: those of the samples digest followed by "|substitutes". The substitute
is the first candidate that can be read: the same whichever rank, batch or thread asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dsets.errors import DsetsError, PackError, UsageError
from dsets.numbers import written
from dsets.pack import Pack
from dsets.stream.permutation import Permutation, round_keys
from dsets.stream.plan import Choose, Job
from dsets.stream.readable import DAMAGED_KEY, Readable

if TYPE_CHECKING:
    from dsets.fetch.stop import Stop

POLICIES = ("substitute", "raise")
#: Candidates tried; where so many cannot be read, something else is wrong.
MOST = 1024


def candidates(n: int, samples_digest: str, seed: int, epoch: int, sample: int) -> Iterator[int]:
    """The candidates of a sample, the first ``MOST`` of all n, without itself."""
    permutation = Permutation(n, round_keys(f"{samples_digest}|substitutes", seed, epoch))
    for first in range(0, min(n, MOST), 16):
        steps = np.arange(first, min(first + 16, n, MOST), dtype=np.int64)
        yield from (each for each in permutation((sample + steps) % n).tolist() if each != sample)


def policy(unreadable: str | None, shuffle: object) -> str:
    """The policy asked for; by default substitutes in training, none in evaluation.

    Raises:
        UsageError: there is no such policy.
    """
    if unreadable is None:
        return "substitute" if shuffle else "raise"
    if unreadable not in POLICIES:
        expected = " or ".join(POLICIES)
        raise UsageError(
            "bad unreadable", where="stream", expected=expected, got=written(unreadable)
        )
    return unreadable


@dataclass(frozen=True, slots=True)
class Substitutes:
    """A stream's choice of substitutes."""

    pack: Pack
    readable: Readable
    seed: int
    verify: str
    policy: str

    def settle(self, job: Job, choose: Choose, stop: Stop | None) -> Job:
        """The job with a substitute, shown as its own key says, for each unreadable sample.

        ``stop`` ends the wait for what a remote pack fetches.

        Raises:
            PackError: a sample cannot be read and the policy is to raise, or no candidate can; or
                a shard was cut short, changed or replaced.
        """
        with self.pack.holding(job.index, stop):
            bad = self.readable.bad(job.index, self.verify)
            self.pack.doubt(job.index[bad].tolist())
        if not bad.any():
            return job
        if self.policy == "raise":
            raise self._error(int(job.index[bad.argmax()]), "unreadable sample")
        index = job.index.copy()
        for row in np.flatnonzero(bad).tolist():
            index[row] = self._first(job.epoch, int(index[row]), stop)
        return replace(job, index=index, views=choose(job.epoch, index), substituted=bad)

    def _first(self, epoch: int, sample: int, stop: Stop | None) -> int:
        digest = self.pack.samples_digest
        for each in candidates(len(self.pack), digest, self.seed, epoch, sample):
            index = np.array([each])
            with self.pack.holding(index, stop):
                if not self.readable.bad(index, self.verify).any():
                    return each
        raise self._error(sample, "unreadable sample, and so are all its substitutes")

    def _error(self, number: int, what: str) -> PackError:
        shard = int(np.searchsorted(self.pack.starts, number, side="right")) - 1
        return PackError(
            what,
            where=f"{self.pack.path / self.pack.rows(shard).name}, {self.name(number)}",
            got=self.readable.reasons[number],
            remedy=self.pack.remedy,
        )

    def name(self, number: int) -> str:
        """A sample's key, or its number where the key is damaged, too: it may be another's."""
        if self.readable.reasons.get(number) == DAMAGED_KEY:
            return f"sample {number}"
        try:
            return self.pack.keys([number])[0]
        except DsetsError:  # a remote one may not be had now
            return f"sample {number}"

    def found(self) -> dict[str, str]:
        """The unreadable samples of the pack that this process has met, and why."""
        return {self.name(number): why for number, why in sorted(self.readable.reasons.items())}
