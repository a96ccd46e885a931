"""Where the threads of a stream spend their time.

A watch puts its own clock around the steps of one stream's assembly, from outside: a stream that
nobody watches pays nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dsets.bench.process import queued

if TYPE_CHECKING:
    from dsets.stream import Stream


class Watch:
    """Seconds, summed over the threads of a stream.

    ``kernel`` is processor time while rows are gathered and transformed, ``storage`` what that took
    beside it: waiting for pages that are not in memory (and for locks, which are short). ``ready``
    is time spent ready to go on without a processor, which Linux tells apart. ``functions`` are the
    user's, ``device`` the way there. In what is left the threads plan, hand batches over, or wait
    for the consumer.
    """

    def __init__(self, stream: Stream) -> None:
        self._lock = threading.Lock()
        self.seconds = dict.fromkeys(("storage", "kernel", "functions", "device", "ready"), 0.0)
        assembly = stream._assembly
        steps = {"_fill": "kernel", "_take": "kernel", "_apply": "functions"}
        for name, kind in steps.items():
            setattr(assembly, name, self._timed(kind, getattr(assembly, name)))
        assembly._device = _Timed(assembly._device, self._timed("device", assembly._device.place))

    def _timed(self, kind: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begun = time.perf_counter(), time.thread_time(), queued()
            try:
                return step(*arguments)
            finally:
                wall = time.perf_counter() - begun[0]
                busy, ready = time.thread_time() - begun[1], queued() - begun[2]
                self._add(kind, wall, busy, ready)

        return timed

    def _add(self, kind: str, wall: float, busy: float, ready: float) -> None:
        ready = min(max(ready, 0.0), max(wall - busy, 0.0))
        waiting = max(wall - busy - ready, 0.0)
        with self._lock:
            self.seconds["ready"] += ready
            self.seconds[kind] += busy if kind == "kernel" else busy + waiting
            if kind == "kernel":
                self.seconds["storage"] += waiting


class _Timed:
    """A device whose ``place`` is another."""

    def __init__(self, device: Any, place: Callable[..., Any]) -> None:
        self._device = device
        self.place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)
