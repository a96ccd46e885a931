"""One file over several connections: ranges of it side by side, appended in their order.

The part stays what it is everywhere, the beginning of the file: it is hashed as it grows and
continued like any other, by one connection or by several. What came ahead of it waits in memory,
``AHEAD`` spans at most, and is what a killed process loses: about a second of each connection.

Only files with a published digest come like this. Every range must be the one asked for, of a file
of the same size and the same ETag; the digest of the whole decides in the end. Whatever else a
server gives, one connection goes on from there, and judges it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from threading import Condition, Semaphore, Thread
from typing import TYPE_CHECKING

from dsets.fetch import answers
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.stop import Stopped
from dsets.fetch.wire import AGAIN, Wire, ask, flowing

if TYPE_CHECKING:
    from requests import Response

    from dsets.fetch.part import Part

CONNECTIONS = 4  # to one file, at most, and what a job has by default
SHORTEST, LONGEST = 1 << 18, 1 << 22  # bytes of a span, which should last a second
AHEAD = 2  # spans for each connection that may be asked for and not appended
FEW = 4  # spans for each connection: a file of fewer is left to one
FAILURES = 3  # cuts side by side, then one connection goes on alone
READ = 1 << 16
GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Whole:
    """What an address said of a file: its size, a strong validator, and how fast it gave it."""

    address: str
    total: int
    validator: str | None
    etag: str | None
    rate: float


class Lanes:
    """How many ``more`` connections the files of one job may take, and which addresses take none.

    Those of a file share the number ``of`` their job.
    """

    def __init__(self, more: int = 0, of: Lanes | None = None) -> None:
        self.most: int = more if of is None else of.most
        self.spare: Semaphore = Semaphore(more) if of is None else of.spare
        self._alone: set[str] = set()
        self._failures: dict[str, int] = {}

    def leave_alone(self, address: str) -> None:
        self._alone.add(address)

    def allowed(self, address: str) -> bool:
        return self.most > 0 and address not in self._alone

    def failed(self, address: str) -> None:
        self._failures[address] = self._failures.get(address, 0) + 1
        if self._failures[address] >= FAILURES:
            self.leave_alone(address)


class Watch:
    """One connection that is watched: ``due`` once several might be faster."""

    def __init__(self, whole: Whole, part: Part, wire: Wire) -> None:
        self._whole, self._part, self._wire = whole, part, wire
        self._begun, self._had = time.monotonic(), part.size
        self._off = not (part.file.digest and wire.lanes.allowed(whole.address))

    def due(self) -> Whole | None:
        """The file with the rate of this connection, where the rest should come by several."""
        if self._off:
            return None
        patience, taken = self._wire.patience, time.monotonic() - self._begun
        if taken < patience.alone_s:
            return None
        rate = (self._part.size - self._had) / max(taken, 1e-6)
        left = self._whole.total - self._part.size
        self._off = left < FEW * SHORTEST or left < patience.left_s * rate
        return None if self._off else replace(self._whole, rate=rate)


class _Span:
    """A range of the file: asked for by one lane, appended by the thread that owns the part."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.data = bytearray(end - start)
        self.filled = 0
        self.taken = 0

    @property
    def arrived(self) -> bool:
        return self.filled == self.end - self.start


class _Crew:
    """Lanes that fetch spans, and what they fetched; every field under ``changed``."""

    def __init__(self, whole: Whole, start: int, wire: Wire) -> None:
        self.whole, self.wire = whole, wire
        self.changed = Condition()
        self.spans: deque[_Span] = deque()
        self.next, self.end = start, whole.total
        self.lanes = 0  # how many may ask
        self.received = 0
        self.failure: BaseException | None = None
        self.over = False
        self.threads: list[Thread] = []
        second = min(max(int(whole.rate), SHORTEST), LONGEST)
        self._span = max(min(second, (whole.total - start) // (2 * CONNECTIONS)), SHORTEST)

    def add(self) -> None:
        number = self.lanes
        if number == len(self.threads):
            thread = Thread(
                target=self._work, args=(number,), name=f"dsets-fetch-lane-{number}", daemon=True
            )
            self.threads.append(thread)
            thread.start()
        with self.changed:
            self.lanes += 1
            self.changed.notify_all()

    def drop(self) -> None:
        """Let the last lane finish what it asked for; without a second one, ask for no more."""
        with self.changed:
            self.lanes -= 1
            if self.lanes == 1:
                self.end = self.next

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()
        for _ in self.threads[1:]:
            self.wire.lanes.spare.release()
        deadline = time.monotonic() + GRACE_S
        for thread in self.threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def take(self) -> bytes:
        """What came next in the file's order; waits for it. Empty at the end of what was asked for.

        Raises:
            Cut, Refused: a lane failed, and all before its failure was taken.
        """
        with self.changed:
            while True:
                self.wire.stop.check()
                if not self.spans and self.next >= self.end:
                    return b""
                span = self.spans[0] if self.spans else None
                if span and span.filled > span.taken:
                    data = bytes(memoryview(span.data)[span.taken : span.filled])
                    span.taken = span.filled
                    if span.arrived:
                        self.spans.popleft()
                        self.changed.notify_all()
                    return data
                if self.failure:
                    raise self.failure
                self.changed.wait()

    def _claim(self, number: int) -> _Span | None:
        with self.changed:
            while not self.over:
                if self.next >= self.end:
                    return None
                if number < self.lanes and len(self.spans) < AHEAD * self.lanes:
                    span = _Span(self.next, min(self.next + self._span, self.end))
                    self.next = span.end
                    self.spans.append(span)
                    return span
                self.changed.wait()
        return None

    def _work(self, number: int) -> None:
        from dsets.fetch.connection import session

        try:
            with session() as http:
                wire = replace(self.wire, session=http)
                while span := self._claim(number):
                    self._bring(span, wire)
        except Stopped:
            pass
        except BaseException as error:
            with self.changed:
                self.failure = self.failure or error
                self.changed.notify_all()

    def _bring(self, span: _Span, wire: Wire) -> None:
        headers = {"Range": f"bytes={span.start}-{span.end - 1}"}
        if self.whole.validator:
            headers["If-Range"] = self.whole.validator
        with ask(self.whole.address, headers, wire) as response, wire.stop.breaking(response):
            self._judge(span, response)
            with flowing(response, wire, lambda: span.start + span.filled) as flow:
                while not span.arrived:
                    wanted = min(span.end - span.start - span.filled, READ)
                    data = response.raw.read1(wanted, decode_content=False)
                    if not data:
                        raise Cut(f"a range ended after {span.filled} bytes")
                    flow.received += len(data)
                    span.data[span.filled : span.filled + len(data)] = data
                    with self.changed:
                        span.filled += len(data)
                        self.received += len(data)
                        self.changed.notify_all()

    def _judge(self, span: _Span, response: Response) -> None:
        status, given = response.status_code, response.headers
        if status in AGAIN:
            raise Refused(f"answered {status} to one of several connections")
        if status != 206:
            raise Refused(f"answered {status} to a range")
        if given.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused("sent a range encoded")
        answers.check_span(span.start, span.end, self.whole.total, given)
        if self.whole.etag and given.get("ETag", self.whole.etag).strip() != self.whole.etag:
            raise Refused("the file changed there")


def gather(whole: Whole, part: Part, wire: Wire) -> None:
    """Append to the part, over several connections, as long as they bring more than fewer do.

    Returns when the file is here, or when one connection is as good.

    Raises:
        Cut: a connection failed, or the server does not give ranges as it should; go on with one.
        Stopped: the work was called off.
    """
    from dsets.fetch.transfer import take

    with wire.stop.part() as stop:
        crew = _Crew(whole, part.size, replace(wire, stop=stop))
        part.pieced = True
        try:
            with stop.waking(crew.wake):
                pace = _Pace(crew)
                while data := crew.take():
                    take(part, data, wire)
                    pace.adapt()
        except Refused as error:
            wire.lanes.leave_alone(whole.address)
            raise Cut(f"{error}; going on with one connection", here=True) from None
        except Cut:
            wire.lanes.failed(whole.address)
            raise
        finally:
            stop.call()
            crew.close()


class _Pace:
    """How many lanes: one more for each stretch of time in which the last one was worth it."""

    def __init__(self, crew: _Crew) -> None:
        self._crew, self._patience = crew, crew.wire.patience
        self._before = crew.whole.rate
        self._since, self._had = time.monotonic(), 0
        self._growing = True
        crew.add()
        self._grow()

    def adapt(self) -> None:
        now, received = time.monotonic(), self._crew.received
        if not self._growing or now - self._since < self._patience.alone_s:
            return
        rate = (received - self._had) / max(now - self._since, 1e-6)
        self._since, self._had = now, received
        if self._crew.lanes > 1 and rate < self._patience.gain * self._before:
            self._growing = False
            self._crew.drop()
            if self._crew.lanes == 1:
                self._crew.wire.lanes.leave_alone(self._crew.whole.address)
            return
        self._before = rate
        self._grow()

    def _grow(self) -> None:
        """One more lane, if another file has not got it; the next stretch asks again."""
        self._growing = self._crew.lanes < CONNECTIONS
        if self._growing and self._crew.wire.lanes.spare.acquire(blocking=False):
            self._crew.add()
