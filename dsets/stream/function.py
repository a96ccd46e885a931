"""The user's own functions on a batch, and what to say where one of them fails."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dsets.errors import StreamError, UsageError
from dsets.numbers import written
from dsets.raised import described
from dsets.stream.batch import Batch
from dsets.stream.plan import Job
from dsets.transforms.recipe import Function

#: From a sample's number to its key.
Name = Callable[[int], str]
#: The batch of a job as it is before the functions.
Gather = Callable[[Job], Batch]


def apply(
    functions: Sequence[Function], job: Job, batch: Batch, gather: Gather, name: Name
) -> Batch:
    """The batch of a job after the functions, in order.

    Raises:
        StreamError: one failed; names the first sample that fails alone in the same way, or the
            batch's first and last where none does.
    """
    if not functions:
        return batch
    # The functions may change what they get in place.
    job = replace(job, index=job.index.copy(), valid=job.valid.copy())
    for number, function in enumerate(functions):
        try:
            batch = _checked(function, batch)
        except BaseException as error:  # sys.exit(0) would end the consumer without a word
            # Kept in no variable, which would keep the error, its frames and the batch alive.
            culprit = _first_failing(functions, job, gather, _Failure(number, error))
            first, last = (name(int(job.index[row])) for row in (0, -1))
            who = f"samples {first!r} to {last!r}"
            if culprit is not None:
                who = f"sample {name(culprit)!r}"
            raise StreamError(
                f"transform {_called(function)} failed: {described(error)}",
                where=f"epoch {job.epoch}, position {job.position}, {who}",
            ) from error
    batch.epoch, batch.position = job.epoch, job.position
    return batch


@dataclass(frozen=True, slots=True, eq=False)
class _Failure:
    """Which of the functions failed, and how."""

    number: int
    error: BaseException

    def same(self, other: _Failure) -> bool:
        """True where the same line raised the same type of error with the same message.

        A function that takes an even number of rows fails on every sample alone, for that reason.
        """
        return (
            self.number == other.number
            and type(self.error) is type(other.error)
            and self._line() == other._line()
            and described(self.error) == described(other.error)
        )

    def _line(self) -> tuple[object, int]:
        """Assertions often have no message: only the line tells one from another."""
        frame, line = deque(traceback.walk_tb(self.error.__traceback__), 1)[0]
        return frame.f_code, line


def _first_failing(
    functions: Sequence[Function], job: Job, gather: Gather, failure: _Failure
) -> int | None:
    """The first sample that fails alone in the same way; None where none does.

    The functions may have changed the batch in place, so each sample is gathered anew.
    """
    for row in range(len(job.index)):
        rows = slice(row, row + 1)
        shown = None if job.substituted is None else job.substituted[rows].copy()
        one = Job(
            job.epoch,
            job.position,
            job.index[rows].copy(),
            job.valid[rows].copy(),
            None,
            shown,
        )
        try:
            batch = gather(one)
        except Exception:  # storage fails just now; what the function did is what is told
            return None
        alone = _failure(functions[: failure.number + 1], batch)
        if alone is not None and alone.same(failure):
            return int(job.index[row])
    return None


def _failure(functions: Sequence[Function], batch: Batch) -> _Failure | None:
    for number, function in enumerate(functions):
        try:
            batch = _checked(function, batch)
        except BaseException as error:
            return _Failure(number, error)
    return None


def _called(function: Function) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _checked(function: Function, batch: Batch) -> Batch:
    """What a function returns, as a batch of the same rows."""
    fields: object = function(batch)
    if not isinstance(fields, Mapping):
        raise UsageError("bad result", expected="a mapping of fields", got=type(fields).__name__)
    for name, values in fields.items():
        rows = len(values) if hasattr(values, "__len__") else None
        if not isinstance(name, str):
            raise UsageError("bad name of a field", expected="text", got=written(name))
        if rows != len(batch.index):
            raise UsageError(f"bad field {name!r}", expected=f"{len(batch.index)} rows", got=rows)
    return batch.replace(fields)
