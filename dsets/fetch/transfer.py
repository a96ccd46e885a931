"""One attempt to get one file from one address into its part."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dsets.fetch import answers, body, bounds, objects, side_by_side
from dsets.fetch.answers import Cut, Misplaced, Refused
from dsets.fetch.encoding import Inflated
from dsets.fetch.hashing import CHUNK, Data
from dsets.fetch.part import Origin, Part
from dsets.fetch.side_by_side import Watch, Whole
from dsets.fetch.sources import SCHEMES, local, printable, shown
from dsets.fetch.wire import AGAIN, Wire, ask, flowing

if TYPE_CHECKING:
    from requests import Response

    from dsets.fetch.connection import Flow

HEAD = 512  # bytes looked at before anything is kept
LASTING = (401, 404, 407, 410)  # of the file, however much of it is asked for


def attempt(address: str, part: Part, wire: Wire, *, whole: bool = False) -> None:
    """Bring the part to its end from this address, going on from what it has where that is safe.

    With ``whole``, no range is asked for. Digests are the caller's matter.

    Raises:
        Misplaced: it does not answer to ranges as it should; the part is as it was.
        Refused: this address does not give the file.
        Cut: it may, when asked again; the part has what came so far.
        Stopped: the work was called off.
    """
    if (path := local(address)) is not None:
        _copy(path, part, wire)
    elif address.partition("://")[0].lower() in SCHEMES:
        _download(address, part, wire, whole=whole)
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
            total = part.told = os.fstat(file.fileno()).st_size
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


def _download(address: str, part: Part, wire: Wire, *, whole: bool) -> None:
    if whole:
        wire.lanes.leave_alone(address)
    while found := _alone(address, part, wire, whole=whole):
        side_by_side.gather(found, part, wire)
        if part.size == found.total:
            return


def _alone(address: str, part: Part, wire: Wire, *, whole: bool) -> Whole | None:
    """Fetch over one connection; the file, if it is left because several may be faster."""
    headers = {} if whole else _range(address, part)
    with (
        ask(address, headers, wire) as response,
        wire.stop.breaking(response),
        flowing(response, wire, lambda: part.size) as flow,
    ):
        status = response.status_code
        if headers and status >= 400 and status not in (*AGAIN, *LASTING, 416):
            refusal = answers.refusal(status, response.reason or "")
            raise Misplaced(f"{refusal} (to a range)")
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
    if not part.untold:
        part.clear()
    return {}


def _receive(address: str, response: Response, part: Part, wire: Wire, flow: Flow) -> Whole | None:
    """Judge the answer's head and first bytes before anything in the part is touched."""
    status = response.status_code
    if status == 416 and part.size:
        if answers.ends_at(part.size, response.headers):
            part.ended = True
            return None
        part.clear()
        raise Cut("has less of the file than was here; starting over", here=True)
    if status in AGAIN:
        wait = answers.retry_after(response.headers.get("Retry-After"))
        raise Cut(f"answered {status} {printable(response.reason or '')}".rstrip(), wait)
    if status not in (200, 206):
        raise Refused(answers.refusal(status, response.reason or ""))
    decode = answers.encoded(part.file, response.headers)
    if status == 206:
        if "Range" in response.request.headers:
            total = answers.check_range(part.file, part.size, response.headers)
        else:
            total = answers.check_unasked(part.file, response.headers)
            part.clear()
        if decode or answers.changed(part.origin, address, response.headers, total):
            part.clear()
            raise Cut("the file changed there; starting over", here=True)
    else:
        total = None if decode else answers.length(response.headers)
        answers.check_type(part.file, response.headers, total)
        if total is not None:
            answers.check_length(part.file, total)

    inflated = Inflated(response) if decode else None
    read1 = body.beginning(response, inflated)
    data = head = b""
    while len(head) < HEAD and (data := read1(CHUNK)):
        head += data
        flow.received += len(data)
    validator = None if decode else answers.validator(response.headers)
    known = 0  # bytes of this answer that are here already
    if status == 200:
        answers.check_head(part.file, head)
        if part.untold and not decode and total == part.size and part.starts_with(head):
            part.ended = True  # another address has the same length, and begins alike
            return None
        if part.untold and not decode and not answers.tells_end(response.headers):
            _compare(part, head, response, wire, flow)
            return None
        longer = total is not None and part.size > total  # so it is no beginning of this
        if part.size and not decode and not longer and _goes_on(address, part, head, validator):
            known = part.size
        elif part.size:
            part.clear()
        if validator and not known:
            part.remember(Origin(shown(address), validator, total))
    part.pieced = part.pieced or status == 206 or known > 0
    facts = (part.file.digest, part.file.bytes, total)
    ends = decode or answers.tells_end(response.headers)  # what is compressed tells its own end
    part.ended = ends or any(fact is not None for fact in facts)
    part.told = total
    if total is not None:
        _check_space(part, total)
    watch = None
    ranges = status == 206 or response.headers.get("Accept-Ranges") == "bytes"
    if total is not None and ranges and not known:
        etag = response.headers.get("ETag")
        watch = Watch(Whole(address, total, validator, etag, 0.0), part, wire)
    take(part, head[known:], wire)
    read = body.reader(response, inflated)
    try:
        while data:
            wire.stop.check()
            if watch and (whole := watch.due()):
                return whole
            with part.block() as block:
                if not (count := read(block)):
                    data = b""
                    break
                before, flow.received = flow.received, flow.received + count
                if (new := flow.received - max(known, before)) > 0:
                    if new < count:  # of a block only its beginning can be appended
                        block[:new] = block[count - new : count]
                    take(part, block[:new], wire)
    finally:
        # What was decoded has no byte offsets to go on from.
        if decode and data:
            part.clear()
    # A connection that we broke ourselves may look like the end of the file.
    wire.stop.check()
    if flow.dried:
        raise Cut("only a trickle came", slow=True)
    wanted = part.file.bytes if total is None else total
    if wanted is not None and part.size < wanted:
        raise Cut(f"the answer ended after {part.size} of {wanted} bytes")
    # One that ended as it should, and is shorter, has another file: the digest says which is right.
    if flow.received < known and not answers.tells_end(response.headers):
        raise Cut(f"the answer ended after {flow.received} bytes, fewer than were here")
    return None


def _compare(part: Part, head: bytes, response: Response, wire: Wire, flow: Flow) -> None:
    """Take from an answer without an end only what it has beyond all that is here.

    What is here came without an end, too. Of two that begin alike the shorter one was cut; of two
    that differ nobody says which is right, so the one of the address that comes first stays.
    """
    part.ended = False
    if not part.matches(0, head):
        return
    read, seen = body.reader(response, None), len(head)
    if seen > part.size:
        take(part, head[part.size :], wire)
    while True:
        wire.stop.check()
        with part.block() as block:
            if not (count := read(block)):
                break
            flow.received += count
            here = min(max(part.size - seen, 0), count)
            if not part.matches(seen, block[:here]):
                return
            seen += count
            if here < count:
                block[: count - here] = block[here:count]
                take(part, block[: count - here], wire)
    wire.stop.check()
    if flow.dried:
        raise Cut("only a trickle came", slow=True)


def _goes_on(address: str, part: Part, head: bytes, validator: str | None) -> bool:
    """Whether a whole file may serve for its rest, from a server that gives no ranges.

    Only where a digest decides in the end. What came is not thrown away then, be this server cut
    before it gets that far.
    """
    origin = part.origin
    moved = origin and origin.address == shown(address) and origin.validator != validator
    return bool(part.file.digest) and not moved and part.starts_with(head)


def take(part: Part, data: Data, wire: Wire) -> None:
    """Append what came, unless it is more than the file has, or may have (``bounds``)."""
    bounds.check(part, len(data))
    part.append(data)
    wire.advanced()


def _check_space(part: Part, total: int) -> None:
    if total - part.size > shutil.disk_usage(part.path.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.path))
