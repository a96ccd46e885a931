"""Asking a server, and its answer's flow: how patient to be, and what a failure means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dsets.fetch import reasons
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.stop import Stop

if TYPE_CHECKING:
    from requests import Response

    from dsets.fetch.connection import Flow, Session
    from dsets.fetch.side_by_side import Lanes

AGAIN = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to come back to it.

    ``tries`` count anew whenever a try brought at least 1 MiB. Before try n + 1 there is a pause,
    uniformly random between 0 and min(pause_s · 2ⁿ, longest_pause_s), so that many clients cut off
    at one moment do not return at one moment; a server's Retry-After is honoured up to
    ``longest_wait_s``, and a server that wants to be left alone for longer is left for the next
    address. Where ``lasting_s`` is given, an address is also asked beyond ``tries``, until it has
    failed for that long. One that refuses is asked again ``refusals`` times, after such pauses.
    A server that gives fewer than ``slow_bytes`` in ``slow_s`` counts as cut.

    Where there are several addresses, each is given up for the next one as soon as it fails, and
    tried again after those. The first time none gets more than ``first_s`` of silence or trickle.

    One connection is watched for ``alone_s``; where the rest would take it longer than ``left_s``,
    ranges are asked for over one more connection at a time, each again for ``alone_s``, as long as
    it raises the rate by the factor ``gain``.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    tries: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_wait_s: float = 120.0
    slow_s: float = 60.0
    slow_bytes: int = 1 << 16
    first_s: float = 10.0
    alone_s: float = 2.0
    left_s: float = 8.0
    gain: float = 1.15
    lasting_s: float = 0.0
    refusals: int = 0

    def hurried(self) -> Patience:
        """The patience with an address that others may stand in for."""
        return replace(
            self, read_s=min(self.read_s, self.first_s), slow_s=min(self.slow_s, self.first_s)
        )

    def pause(self, failures: int, asked: float | None, chance: float) -> float:
        """Seconds before the next try, after this many failures; ``chance`` is in [0, 1).

        Raises:
            Refused: the server asked for more than ``longest_wait_s``.
        """
        if asked is not None and asked > self.longest_wait_s:
            raise Refused(f"wants to be asked again in {asked:.0f} s only", later=True)
        jitter = chance * min(self.pause_s * 2.0 ** min(failures - 1, 30), self.longest_pause_s)
        return max(jitter, asked or 0.0)


@dataclass(frozen=True, slots=True)
class Wire:
    """What every attempt needs: the session, how patient to be, when to stop, whom to tell."""

    session: Session
    patience: Patience
    stop: Stop
    advanced: Callable[[], None]
    lanes: Lanes


def ask(address: str, headers: dict[str, str], wire: Wire) -> Response:
    """Everything up to the answer's first line and headers, redirects included.

    Raises:
        Refused: the address is none, or leads nowhere.
        Cut: no answer came.
        Stopped: the work was called off; who waits for an answer need not wait for its time-out.
    """
    wire.stop.check()
    try:
        return _asked(address, headers, wire)
    except Cut:
        wire.stop.check()
        raise


def _asked(address: str, headers: dict[str, str], wire: Wire) -> Response:
    import requests

    from dsets.fetch.connection import REDIRECTS, waiting

    timeout = (wire.patience.connect_s, wire.patience.read_s)
    try:
        with waiting(wire.stop):
            return wire.session.get(address, headers=headers, stream=True, timeout=timeout)
    except requests.TooManyRedirects:
        raise Refused(f"redirects without end (more than {REDIRECTS} times)") from None
    except requests.exceptions.SSLError as error:
        raise Refused(f"no secure connection ({reasons.of_security(error)})") from None
    except ValueError as error:
        # requests' own errors of bad addresses, and those that escape it from urllib.
        raise Refused(reasons.of_address(error)) from None
    except requests.ConnectTimeout:
        raise Cut(f"no connection within {wire.patience.connect_s:g} s", slow=True) from None
    except requests.ReadTimeout:
        raise Cut(f"no answer within {wire.patience.read_s:g} s", slow=True) from None
    except (requests.RequestException, OSError) as error:
        raise Cut(f"no connection ({reasons.of_connection(error)})") from None


@contextmanager
def flowing(response: Response, wire: Wire, size: Callable[[], int]) -> Iterator[Flow]:
    """Watch the flow of a body while the block reads it; whatever breaks it becomes a Cut.

    ``size`` says for the message how much is here.
    """
    import requests
    from urllib3.exceptions import HTTPError

    from dsets.fetch.connection import Flow

    patience, flow = wire.patience, Flow()
    try:
        with flow.watched(response, patience.slow_s, patience.slow_bytes):
            yield flow
    except Cut:
        wire.stop.check()
        if not flow.dried:
            raise
        raise Cut(_dry(flow, patience), slow=True) from None
    except (requests.RequestException, HTTPError, ConnectionError, TimeoutError) as error:
        wire.stop.check()
        if flow.dried:
            raise Cut(_dry(flow, patience), slow=True) from None
        silent = "timed out" in str(error)
        cause = f"nothing came for {patience.read_s:g} s," if silent else "cut"
        raise Cut(f"{cause} after {size()} bytes", slow=silent) from None


def _dry(flow: Flow, patience: Patience) -> str:
    return (
        f"only a trickle came, {flow.received} bytes in all and fewer than "
        f"{patience.slow_bytes} in {patience.slow_s:g} s"
    )
