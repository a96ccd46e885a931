"""One attempt to get one file from one address into its part."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsets.fetch import answers, objects
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.hashing import CHUNK
from dsets.fetch.part import Origin, Part
from dsets.fetch.sources import SCHEMES, local, printable, shown
from dsets.fetch.stop import Stop

if TYPE_CHECKING:
    from requests import Response, Session

    from dsets.fetch.connection import Flow

AGAIN = (408, 425, 429, 500, 502, 503, 504)
HEAD = 512  # bytes looked at before anything is kept


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to come back to it.

    ``tries`` count anew whenever a try brought at least 1 MiB. Before try n + 1 there is a pause,
    uniformly random between 0 and min(pause_s · 2ⁿ, longest_pause_s), so that many clients cut off
    at one moment do not return at one moment; a server's Retry-After is honoured up to
    ``longest_wait_s``, and a server that wants to be left alone for longer is left for the next
    address. A server that gives fewer than ``slow_bytes`` in ``slow_s`` counts as cut.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    tries: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 30.0
    longest_wait_s: float = 120.0
    slow_s: float = 60.0
    slow_bytes: int = 1 << 16

    def pause(self, failures: int, asked: float | None, chance: float) -> float:
        """Seconds before the next try, after this many failures; ``chance`` is in [0, 1).

        Raises:
            Refused: the server asked for more than ``longest_wait_s``.
        """
        if asked is not None and asked > self.longest_wait_s:
            raise Refused(f"wants to be asked again in {asked:.0f} s only")
        jitter = chance * min(self.pause_s * 2.0 ** (failures - 1), self.longest_pause_s)
        return max(jitter, asked or 0.0)


@dataclass(frozen=True, slots=True)
class Wire:
    """What every attempt needs: the session, how patient to be, when to stop, whom to tell."""

    session: Session
    patience: Patience
    stop: Stop
    advanced: Callable[[], None]


def attempt(address: str, part: Part, wire: Wire) -> None:
    """Bring the part to its end from this address, going on from what it has where that is safe.

    Digests are the caller's matter.

    Raises:
        Refused: this address does not give the file.
        Cut: it may, when asked again; the part has what came so far.
        Stopped: the work was called off.
    """
    if (path := local(address)) is not None:
        _copy(path, part, wire)
    elif address.partition("://")[0].lower() in SCHEMES:
        _download(address, part, wire)
    elif objects.scheme(address) in objects.LIBRARIES:
        objects.attempt(address, part, wire)
    else:
        raise Refused("is not an address of http, https, s3, gs or file")


def _copy(path: Path, part: Part, wire: Wire) -> None:
    if not part.file.digest and part.size:
        part.clear()
    try:
        # A pipe or a device would block, or never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused("is not a file")
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            answers.check_length(part.file, total)
            if part.size > total:
                part.clear()
            file.seek(part.size)
            while data := file.read(CHUNK):
                wire.stop.check()
                if part.size == 0:
                    answers.check_head(part.file, data[:HEAD])
                take(part, data, wire)
    except FileNotFoundError:
        raise Refused("no such file") from None
    except PermissionError:
        raise Refused("may not be read") from None


def _download(address: str, part: Part, wire: Wire) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    from dsets.fetch.connection import Flow

    patience, flow = wire.patience, Flow()
    with _ask(address, _range(address, part), wire) as response, wire.stop.breaking(response):
        try:
            with flow.watched(response, patience.slow_s, patience.slow_bytes):
                _receive(address, response, part, wire, flow)
        except Cut:
            wire.stop.check()
            if not flow.dried:
                raise
            raise Cut(_dry(flow, patience)) from None
        except (requests.RequestException, HTTPError, ConnectionError, TimeoutError) as error:
            wire.stop.check()
            if flow.dried:
                raise Cut(_dry(flow, patience)) from None
            silent = "timed out" in str(error)
            cause = f"nothing came for {wire.patience.read_s:g} s," if silent else "cut"
            raise Cut(f"{cause} after {part.size} bytes") from None


def _dry(flow: Flow, patience: Patience) -> str:
    return (
        f"only a trickle came, {flow.received} bytes in all and fewer than "
        f"{patience.slow_bytes} in {patience.slow_s:g} s"
    )


def _ask(address: str, headers: dict[str, str], wire: Wire) -> Response:
    """Everything up to the answer's first line and headers, redirects included."""
    import requests

    from dsets.fetch.connection import REDIRECTS

    timeout = (wire.patience.connect_s, wire.patience.read_s)
    wire.stop.check()
    try:
        return wire.session.get(address, headers=headers, stream=True, timeout=timeout)
    except requests.TooManyRedirects:
        raise Refused(f"redirects without end (more than {REDIRECTS} times)") from None
    except requests.exceptions.SSLError as error:
        raise Refused(f"no secure connection ({_reason(error)})") from None
    except ValueError as error:
        # requests' own errors of bad addresses, and those that escape it from urllib.
        raise Refused(f"is, or leads to, no usable address ({type(error).__name__})") from None
    except requests.ConnectTimeout:
        raise Cut(f"no connection within {wire.patience.connect_s:g} s") from None
    except requests.ReadTimeout:
        raise Cut(f"no answer within {wire.patience.read_s:g} s") from None
    except (requests.RequestException, OSError) as error:
        raise Cut(f"no connection ({_reason(error)})") from None


def _range(address: str, part: Part) -> dict[str, str]:
    """The headers that ask for the rest; without the right to the rest, the part is cleared."""
    if not part.size:
        return {}
    headers = {"Range": f"bytes={part.size}-"}
    if part.origin and part.origin.address == shown(address):
        return headers | {"If-Range": part.origin.validator}
    if part.file.digest:
        return headers
    part.clear()
    return {}


def _receive(address: str, response: Response, part: Part, wire: Wire, flow: Flow) -> None:
    """Judge the answer's head and first bytes before anything in the part is touched."""
    status = response.status_code
    if status == 416 and part.size:
        if answers.ends_at(part.size, response.headers):
            return
        part.clear()
        raise Cut("has less of the file than was here; starting over", retry_after=0.0)
    if status in AGAIN:
        wait = answers.retry_after(response.headers.get("Retry-After"))
        raise Cut(f"answered {status} {printable(response.reason or '')}".rstrip(), wait)
    if status not in (200, 206):
        raise Refused(answers.refusal(status, response.reason or ""))
    decode = answers.encoded(part.file, response.headers)
    if status == 206:
        total = answers.check_range(part.file, part.size, response.headers)
        if decode or answers.changed(part.origin, address, response.headers):
            part.clear()
            raise Cut("the file changed there; starting over", retry_after=0.0)
    else:
        total = None if decode else answers.length(response.headers)
        answers.check_type(part.file, response.headers, total)
        if total is not None:
            answers.check_length(part.file, total)

    data = head = b""
    while len(head) < HEAD and (data := _read(response, decode, flow)):
        head += data
    if status == 200:
        answers.check_head(part.file, head)
        if part.size:
            part.clear()
        validator = answers.validator(response.headers)
        if validator and not decode:
            part.remember(Origin(shown(address), validator, total))
    else:
        part.pieced = True
    if total is not None:
        _check_space(part, total)
    take(part, head, wire)
    try:
        while data and (data := _read(response, decode, flow)):
            wire.stop.check()
            take(part, data, wire)
    finally:
        # What was decoded has no byte offsets to go on from.
        if decode and data:
            part.clear()
    # A connection that we broke ourselves may look like the end of the file.
    wire.stop.check()
    if flow.dried:
        raise Cut("only a trickle came")
    wanted = part.file.bytes if total is None else total
    if wanted is not None and part.size < wanted:
        raise Cut(f"the answer ended after {part.size} of {wanted} bytes")


def _read(response: Response, decode: bool, flow: Flow) -> bytes:
    """Whatever has arrived, at most 1 MiB: a cut loses nothing that had come before it."""
    data: bytes = response.raw.read1(CHUNK, decode_content=decode)
    flow.received += len(data)
    return data


def take(part: Part, data: bytes, wire: Wire) -> None:
    """Append what came, unless it is more than the file has."""
    limit = part.file.bytes
    if limit is not None and part.size + len(data) > limit:
        part.clear()
        raise Refused(f"sends more than the {limit} bytes that the manifest says")
    part.append(data)
    wire.advanced()


def _check_space(part: Part, total: int) -> None:
    if total - part.size > shutil.disk_usage(part.path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.path))


def _reason(error: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap it several times, with the address inside."""
    while inner := _inside(error):
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(str(error))


def _inside(error: BaseException) -> BaseException | None:
    wrapped = (*error.args[:1], getattr(error, "reason", None), error.__cause__)
    return next((inner for inner in wrapped if isinstance(inner, BaseException)), None)
