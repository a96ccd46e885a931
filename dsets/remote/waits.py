"""Telling, once for each time, that a stream has been waiting for a while."""

from __future__ import annotations

import time
import warnings

from dsets.progress import Event

TOLD_S = 10.0  # shorter outages are nobody's business


class Waits:
    """The progress of what is needed now of the pack at ``address``, for any threads."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._since: float | None = None
        self._told = False

    def __call__(self, event: Event) -> None:
        if not event.message:  # it goes on
            self._since, self._told = None, False
            return
        now = time.monotonic()
        since = self._since = now if self._since is None else self._since
        if now - since >= TOLD_S and not self._told:
            self._told = True
            warnings.warn(
                f"{self._address}: what is needed next has been awaited for {now - since:.0f} s "
                f"({event.message}); it is asked for again as long as the pack is patient",
                stacklevel=2,
            )
