"""``dsets prepare --json``: one JSON object a line on stdout, for schedulers and other programs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from dsets.errors import DsetsError
from dsets.prepare import ShardEvent
from dsets.progress import Event, Progress

from ._text import plain

_PARTS = ("what", "where", "expected", "got", "remedy")


@contextmanager
def events(packs: Collection[str], *, quiet: bool = False) -> Iterator[Progress]:
    """A function that prints events as they come; lines for people go to stderr, unless ``quiet``.

    ``progress`` has ``done`` of ``total``, the rate in this run and the seconds left: samples of
    one of the ``packs``, called DATASET/SPLIT, or bytes of a raw file that is checked. ``shard`` is
    a finished file, ``quarantined`` a sample that was left out.
    """
    begun: dict[str, tuple[float, int]] = {}

    def report(event: Event) -> None:
        if event.message and not quiet:
            click.echo(plain(f"{event.task}: {event.message}"), err=True)
        if event.total is None:
            return
        started, first = begun.setdefault(event.task, (time.monotonic(), event.done))
        if isinstance(event, ShardEvent):
            _shard(event)
        rate = (event.done - first) / max(time.monotonic() - started, 1e-9)
        _line(
            "progress",
            task=event.task,
            done=event.done,
            total=event.total,
            unit="samples" if event.task in packs else "bytes",
            bad=event.bad if isinstance(event, ShardEvent) else 0,
            per_s=round(rate, 1),
            eta_s=round((event.total - event.done) / rate, 1) if rate else None,
            finished=event.finished,
        )

    yield report


@contextmanager
def failures() -> Iterator[None]:
    """Print the event ``error``, the last one, when a job fails or is interrupted.

    It has the parts of the error that goes on from here; what is no DsetsError has ``what`` alone.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads events any more
    except DsetsError as error:
        parts = {name: getattr(error, name) for name in _PARTS}
        _line("error", kind=type(error).__name__, **parts)
        raise
    except (KeyboardInterrupt, click.Abort):
        _line("error", kind="Interrupted", **dict.fromkeys(_PARTS) | {"what": "interrupted"})
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        _line("error", kind=type(error).__name__, **dict.fromkeys(_PARTS) | {"what": what})
        raise


def _shard(event: ShardEvent) -> None:
    made = event.shard
    _line(
        "shard",
        task=event.task,
        number=event.number,
        name=made and made.name,
        samples=made.samples if made else 0,
        bytes=made.bytes if made else 0,
        sha256=made and made.sha256,
        bad=len(event.quarantine),
        kept=event.kept,
    )
    for bad in event.quarantine:
        _line("quarantined", task=event.task, **asdict(bad))


def _line(event: str, **values: Any) -> None:
    click.echo(json.dumps({"event": event, **values}))
