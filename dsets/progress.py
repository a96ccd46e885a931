"""How long work tells of itself: one small event, whoever sends it.

The library prints nothing. Whatever takes long (fetch, verify, prepare, train) takes an optional
``progress`` function and calls it with events; ``dsets.cli`` draws bars from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """``done`` of ``total`` units of one task; ``total`` is None while nobody knows it.

    ``done`` counts from the task's beginning and may fall, as when a download starts over. The
    first event of a task announces it, ``finished`` is true in its last. ``message`` is one line
    for people: something went otherwise than planned.
    """

    task: str
    done: int
    total: int | None
    message: str = ""
    finished: bool = False


Progress = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The progress function of whoever does not care."""
