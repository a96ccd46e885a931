"""One attempt to get one file from one address into its part."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dsets.fetch import answers, body, objects, side_by_side
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.hashing import CHUNK, Data
from dsets.fetch.part import Origin, Part
from dsets.fetch.side_by_side import Watch, Whole
from dsets.fetch.sources import SCHEMES, local, printable, shown
from dsets.fetch.wire import AGAIN, Wire, ask, flowing

if TYPE_CHECKING:
    from requests import Response

    from dsets.fetch.connection import Flow

HEAD = 512  # bytes looked at before anything is kept


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
    while whole := _alone(address, part, wire):
        side_by_side.gather(whole, part, wire)
        if part.size == whole.total:
            return


def _alone(address: str, part: Part, wire: Wire) -> Whole | None:
    """Fetch over one connection; the file, if it is left because several may be faster."""
    with (
        ask(address, _range(address, part), wire) as response,
        wire.stop.breaking(response),
        flowing(response, wire, lambda: part.size) as flow,
    ):
        return _receive(address, response, part, wire, flow)


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


def _receive(address: str, response: Response, part: Part, wire: Wire, flow: Flow) -> Whole | None:
    """Judge the answer's head and first bytes before anything in the part is touched."""
    status = response.status_code
    if status == 416 and part.size:
        if answers.ends_at(part.size, response.headers):
            return None
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
    while len(head) < HEAD and (data := response.raw.read1(CHUNK, decode_content=decode)):
        head += data
        flow.received += len(data)
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
    watch = None
    if total is not None and (status == 206 or response.headers.get("Accept-Ranges") == "bytes"):
        etag, strong = response.headers.get("ETag"), answers.validator(response.headers)
        watch = Watch(Whole(address, total, strong, etag, 0.0), part, wire)
    take(part, head, wire)
    read = body.reader(response, decode)
    try:
        while data:
            wire.stop.check()
            if watch and (whole := watch.due()):
                return whole
            with part.block() as block:
                if not (count := read(block)):
                    data = b""
                    break
                flow.received += count
                take(part, block[:count], wire)
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
    return None


def take(part: Part, data: Data, wire: Wire) -> None:
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
