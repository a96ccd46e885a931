"""Sessions that a server can neither downgrade nor hold for ever.

A time-out of a socket is for each of its reads. A server that sends a byte now and then never meets
it, so the head of an answer and the flow of its body are timed as a whole, from another thread.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from dsets.fetch import deadlines
from dsets.fetch.answers import Refused
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop, shut

if TYPE_CHECKING:
    from requests import Response

REDIRECTS = 10
INTERIM = 16  # answers before the answer

#: Ends this thread's wait for an answer. A connection is made deep within requests, which hands
#: nothing of ours down to it.
_stop: ContextVar[Stop | None] = ContextVar("stop", default=None)


def session() -> Session:
    """A session that never asks for a compressed body and follows few redirects."""
    made = Session()
    made.max_redirects = REDIRECTS
    made.headers.update({"User-Agent": "dsets", "Accept": "*/*", "Accept-Encoding": "identity"})
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter())
    return made


@contextmanager
def waiting(stop: Stop) -> Iterator[None]:
    """``stop`` breaks the connection on which this thread waits for an answer within the block."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


class Flow:
    """Bytes that came of one body. ``dried`` once fewer than ``least`` came in ``seconds``."""

    def __init__(self) -> None:
        self.received = 0
        self.dried = False

    @contextmanager
    def watched(self, response: Response, seconds: float, least: int) -> Iterator[None]:
        """Break the response's connection when the flow dries up while the block runs."""
        before = self.received

        def look() -> float | None:
            nonlocal before
            if self.received - before < least:
                self.dried = True
                shut(response.raw.fileno)
                return None
            before = self.received
            return seconds

        with deadlines.within(seconds, look):
            yield


class Session(requests.Session):
    """``answered``: a connection may be open on which an answer came before."""

    answered = False

    def send(self, request: requests.PreparedRequest, **given: Any) -> Response:
        """Ask once more, at once, where a connection that was kept open was closed meanwhile: no
        answer came, and all that is ever asked for is a file."""
        try:
            response = super().send(request, **given)
        except requests.ConnectionError as error:
            lasting = (requests.Timeout, requests.exceptions.SSLError)
            stop = _stop.get()
            if not self.answered or isinstance(error, lasting) or (stop and stop.called):
                raise
            self.hang_up()
            response = super().send(request, **given)
        self.answered = True
        return response

    def hang_up(self) -> None:
        """Ask by another connection from now on."""
        self.answered = False
        self.close()

    def merge_environment_settings(self, *args: Any, **more: Any) -> Any:
        """Trust ``SSL_CERT_FILE`` too, where requests' own variables name no certificates."""
        merged = super().merge_environment_settings(*args, **more)
        if merged["verify"] is True and (file := os.environ.get("SSL_CERT_FILE")):
            merged["verify"] = file
        return merged

    def get_redirect_target(self, resp: Response) -> str | None:
        """Refuse to leave an encrypted connection for a plain one, before a byte goes there."""
        target = super().get_redirect_target(resp)
        if target and resp.url.lower().startswith("https:") and target.lower().startswith("http:"):
            raise Refused(f"redirects from https to plain http ({shown(target)})")
        return target


class _Final(http.client.HTTPResponse):
    """Passes over interim answers (RFC 9110, section 15.2), of which http.client knows only 100."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException(f"more than {INTERIM} interim answers")


class _Timed(HTTPConnection):
    """The read time-out is for the whole head of an answer, not for each of its bytes."""

    response_class = _Final

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        late, stop = False, _stop.get()

        def hang_up() -> None:
            if (sock := self.sock) is not None:
                shut(sock.fileno)

        def end() -> None:
            nonlocal late
            late = True
            hang_up()

        try:
            with (
                nullcontext() if self.timeout is None else deadlines.within(self.timeout, end),
                stop.waking(hang_up) if stop else nullcontext(),
            ):
                answer = super().getresponse()
        except Exception:
            if late:
                raise TimeoutError("timed out") from None
            raise
        if late:  # the end that we made looks like the end of the headers
            answer.close()
            raise TimeoutError("timed out")
        return answer


class _TimedTLS(_Timed, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _TimedTLS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: object, **more: object) -> None:
        super().init_poolmanager(*args, **more)  # type: ignore[arg-type]
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}

    def close(self) -> None:
        """Now: urllib3 leaves connections that are open to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            keys = manager.pools.keys()  # a copy: the container is no dict
            for key in keys:
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
        super().close()
