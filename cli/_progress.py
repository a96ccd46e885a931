"""Progress on stderr: bars with rate and time left on a terminal, plain lines elsewhere.

    with bars(total_unit="bytes") as report:
        fetch.files(plan, progress=report)

``report`` takes ``dsets.progress.Event``, from any thread. A terminal gets one bar a task and,
where there is more than one task, a total; anything else (a log, a pipe) gets a line when a task
ends and now and then between. Nothing is drawn before the first event.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from dsets.progress import Event, Progress, ignore

from ._text import size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Unit = Literal["bytes", "samples"]

EVERY_S = 5.0  # between plain lines while a task runs


@contextmanager
def bars(total_unit: Unit = "bytes", *, quiet: bool = False) -> Iterator[Progress]:
    """A function that shows events until the block ends; with ``quiet`` it shows none."""
    if quiet:
        yield ignore
    elif sys.stderr.isatty():
        drawn = _Bars(total_unit)
        try:
            yield drawn.report
        finally:
            drawn.close()
    else:
        yield _Lines(total_unit).report


def amount(count: float, unit: Unit) -> str:
    return size(count) if unit == "bytes" else f"{count:,.0f} {unit}"


class _Lines:
    """Plain lines: how far all tasks together are, their rate, the time left; each task's end."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._lock = threading.Lock()
        self._seen: dict[str, Event] = {}
        self._first: dict[str, int] = {}
        self._begun = self._told = time.monotonic()

    def report(self, event: Event) -> None:
        with self._lock:
            self._first.setdefault(event.task, event.done)
            ended = event.finished and not self._ended(event.task)
            self._seen[event.task] = event
            if event.message:
                click.echo(f"{event.task}: {event.message}", err=True)
            if ended and event.done > self._first[event.task]:
                click.echo(f"{event.task}: done, {amount(event.done, self._unit)}", err=True)
            now = time.monotonic()
            if now - self._told >= EVERY_S and not event.finished:
                self._told = now
                click.echo(self._summary(now), err=True)

    def _ended(self, task: str) -> bool:
        return task in self._seen and self._seen[task].finished

    def _summary(self, now: float) -> str:
        done = sum(event.done for event in self._seen.values())
        moved = done - sum(self._first.values())
        rate = max(moved, 0) / max(now - self._begun, 1e-9)
        totals = [event.total for event in self._seen.values()]
        line = amount(done, self._unit)
        if totals and None not in totals:
            total = sum(count or 0 for count in totals)
            line += f" of {amount(total, self._unit)}"
            if total:
                line += f" ({done / total:.0%})"
            if rate:
                line += f", {_clock((total - done) / rate)} left"
        return f"{line}, {amount(rate, self._unit)}/s"


class _Bars:
    """rich's bars. The total appears with the second task."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._lock = threading.Lock()
        self._seen: dict[str, Event] = {}
        self._tasks: dict[str, TaskID] = {}
        self._total: TaskID | None = None
        self._drawn: RichProgress | None = None

    def report(self, event: Event) -> None:
        with self._lock:
            drawn = self._drawn = self._drawn or self._start()
            self._seen[event.task] = event
            if event.message:
                drawn.console.print(f"{event.task}: {event.message}", markup=False, highlight=False)
            if event.task not in self._tasks:
                if self._total is not None:  # it stays below the tasks
                    drawn.remove_task(self._total)
                    self._total = None
                # Starting there, not jumping there: what a resumed file has is no speed.
                self._tasks[event.task] = drawn.add_task(
                    _plain(event.task), total=event.total, completed=event.done
                )
            drawn.update(self._tasks[event.task], completed=event.done, total=event.total)
            if len(self._tasks) > 1:
                self._update_total(drawn)

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()

    def _update_total(self, drawn: RichProgress) -> None:
        totals = [event.total for event in self._seen.values()]
        known = None if None in totals else sum(count or 0 for count in totals)
        done = sum(event.done for event in self._seen.values())
        if self._total is None:
            self._total = drawn.add_task("total", total=known, completed=done)
        drawn.update(self._total, completed=done, total=known)

    def _start(self) -> RichProgress:
        from rich import progress
        from rich.console import Console

        counts: list[progress.ProgressColumn] = (
            [progress.DownloadColumn(), progress.TransferSpeedColumn()]
            if self._unit == "bytes"
            else [progress.MofNCompleteColumn(), progress.TextColumn(self._unit)]
        )
        drawn = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(show_speed=self._unit != "bytes"),
            *counts,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        drawn.start()
        return drawn


def _plain(text: str) -> str:
    """Text in which rich finds no markup."""
    from rich.markup import escape

    return escape(text)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
