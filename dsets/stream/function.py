"""The user's own functions on a batch, and what to say where one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

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
        StreamError: one failed; names the first sample for which it does.
    """
    if not functions:
        return batch
    # The functions may change what they get in place.
    job = replace(job, index=job.index.copy(), valid=job.valid.copy())
    for number, function in enumerate(functions):
        try:
            batch = _checked(function(batch), batch)
        except BaseException as error:  # sys.exit(0) would end the consumer without a word
            culprit = _first_failing(functions[: number + 1], job, gather)
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


def _first_failing(functions: Sequence[Function], job: Job, gather: Gather) -> int | None:
    """The first sample that fails alone; None when it takes several to fail.

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
        try:
            for each in functions:
                batch = _checked(each(batch), batch)
        except BaseException:
            return int(job.index[row])
    return None


def _called(function: Function) -> str:
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _checked(fields: object, batch: Batch) -> Batch:
    """What a function returned, as a batch of the same rows."""
    if not isinstance(fields, Mapping):
        raise UsageError("bad result", expected="a mapping of fields", got=type(fields).__name__)
    for name, values in fields.items():
        rows = len(values) if hasattr(values, "__len__") else None
        if not isinstance(name, str):
            raise UsageError("bad name of a field", expected="text", got=written(name))
        if rows != len(batch.index):
            raise UsageError(f"bad field {name!r}", expected=f"{len(batch.index)} rows", got=rows)
    return batch.replace(fields)
