"""What most streams leave as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from dsets.cores import cores
from dsets.errors import UsageError
from dsets.numbers import whole, written
from dsets.stream import readable, substitutes


class Rarer(TypedDict, total=False):
    """The keywords of ``batches`` and ``as_iterable`` that ``Options`` takes."""

    drop_last: bool
    verify: str
    unreadable: str | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """The rarer choices of a stream.

    Attributes:
        drop_last: leave out a short last batch.
        verify: compare each sample with its checksum: "first", once a process, "always", "never".
        unreadable: "substitute" another sample for one that cannot be read, or "raise"; by default
            raise only when the order is not shuffled.
        threads: by default one for each core that the process may use, at most four.

    Raises:
        UsageError: a choice that there is not.
    """

    drop_last: bool = False
    verify: str = "first"
    unreadable: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.drop_last, bool):
            got = written(self.drop_last)
            raise UsageError("bad drop_last", where="stream", expected="True or False", got=got)
        readable.check(self.verify)
        substitutes.policy(self.unreadable, True)
        if self.threads is not None:
            threads = whole("threads", self.threads, 1, 256, "stream")
            object.__setattr__(self, "threads", threads)

    @classmethod
    def of(cls, where: str, rarer: Mapping[str, Any], others: tuple[str, ...]) -> Options:
        """The options among the keywords of the function ``where``, which has ``others``, too.

        Raises:
            UsageError: a keyword or a choice that there is not.
        """
        known = (*others, *(field.name for field in fields(cls)))
        for name in rarer:
            if name not in known:
                raise UsageError(
                    f"unknown argument {name!r}",
                    where=where,
                    expected=f"one of {', '.join(known)}",
                )
        return cls(**rarer)

    @property
    def threads_here(self) -> int:
        """How many threads that is on this machine."""
        return min(4, cores()) if self.threads is None else self.threads
