"""Images, place after place, many at a time: out of zips by ranges, out of folders one by one, out
of archives that are here."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from dsets import codecs
from dsets.archive import directory, zipindex
from dsets.archive.directory import LOCAL, Member
from dsets.errors import DataError, FetchError, SpaceError
from dsets.fetch import crew
from dsets.fetch.answers import Cut, Refused
from dsets.fetch.asking import Spent
from dsets.fetch.ranges import REMEDY, Remote
from dsets.fetch.singles import Absent, Folder, Spoilt
from dsets.fetch.sources import shown
from dsets.fetch.stop import Stop
from dsets.fetch.wire import Patience
from dsets.manifest import File
from dsets.progress import Event, Progress
from dsets.subset.spool import Spool

TASK = "images"
GAP = 32 << 10  # bytes between two members that cost less than another request
STRETCH = 4 << 20  # bytes of neighbours in one request
IMAGE_BYTES = 64 << 20
DIRECTORY_BYTES = 512 << 20
ABSENT = "not in the archive"
GONE = "not on the host"
LARGE = "larger than an image may be"
DAMAGED = "damaged in the archive"
SPOILT = "not what the host's own checksum says"
UNUSABLE = "in the archive it {}"  # "is encrypted", "is there twice", …
UNDECODABLE = "does not decode"
TRIES = 3  # of a member whose CRC is wrong: it may have been damaged on its way
_EXTRA = (1 << 16) - 1  # bytes of a local header that the directory does not know of


@dataclass(frozen=True, slots=True)
class Place:
    """An archive at an address; ``own`` is what an earlier call made of it here. ``singly``: a
    folder in which the archive's images lie one by one. ``read`` gives the wanted images that the
    parent's own files have, out of whatever archives its reader reads; None for one too large."""

    address: str
    file: File
    own: bool = False
    singly: bool = False
    read: Callable[[Collection[str]], Iterator[tuple[str, bytes | None]]] | None = None


@dataclass(slots=True)
class Tally:
    """What it took, and the addresses that gave images."""

    spent: Spent = field(default_factory=Spent)
    addresses: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class How:
    """Requests at a time, how patient to be, and whom to tell."""

    jobs: int
    patience: Patience
    progress: Progress


def gather(
    wanted: Sequence[str], places: Sequence[Place], spool: Spool, how: How, tally: Tally
) -> dict[str, str]:
    """Bring the members into the spool; those that no archive has, with the reason, are returned.

    Raises:
        FetchError: no address gave an archive from which they could be read to the end.
        SpaceError: the disk has not enough room.
    """
    left = dict.fromkeys(wanted, ABSENT)
    given: list[str] = []
    whole = False

    def told(message: str) -> None:
        how.progress(Event(TASK, 0, None, message))

    for place in places:
        if not left:
            break
        before, stop = len(left), Stop()
        try:
            spent = Spent() if place.own else tally.spent
            if place.read:
                _copy(place.read, left, spool, how)
            elif place.singly:
                with Folder(place.address, how.patience, stop, told, spent) as folder:
                    _pick(folder, left, spool, how, stop)
            else:
                with Remote(place.address, place.file, how.patience, stop, told, spent) as remote:
                    _take_out(remote, left, spool, how, stop)
            whole = whole or not place.own
        except (Refused, Cut, DataError) as error:
            what = str(error) if isinstance(error, (Refused, Cut)) else _without_place(error)
            given.append(f"{shown(place.address)}: {what}")
            told(given[-1])
        if len(left) < before and not place.own:
            tally.addresses.append(shown(place.address))
    if left and not whole:
        raise FetchError(
            f"{len(left)} of {len(wanted)} images could not be fetched",
            where=places[0].file.name if places else None,
            got="; ".join(given) or "no address",
            remedy=REMEDY,
        )
    return left


def _take_out(remote: Remote, left: dict[str, str], spool: Spool, how: How, stop: Stop) -> None:
    """Bring what the archive has; it leaves ``left``, where the rest gets its reason."""
    unusable: dict[str, str] = {}
    found = directory.members(
        remote, remote.size, wanted=left.keys(), largest=DIRECTORY_BYTES, unusable=unusable
    )
    left |= {name: UNUSABLE.format(what) for name, what in unusable.items() if name in left}
    for name, member in list(found.items()):
        if max(member.size, member.packed) > IMAGE_BYTES:
            left[name] = LARGE
            del found[name]
        elif spool.holds(name, member):
            del left[name], found[name]
    total = sum(member.size for member in found.values())
    free = shutil.disk_usage(spool.folder).free
    if 2 * total > free:
        raise SpaceError(
            "not enough room on the disk",
            where=spool.folder,
            expected=f"{2 * total} bytes free",
            got=free,
            remedy="make room, or set DSETS_HOME to a folder on a larger disk",
        )
    ended = _Ends(left, total, how)
    tasks = [
        partial(_take, remote, start, end, [(name, found[name]) for name in names], spool, ended)
        for start, end, names in stretches(found)
    ]
    _run(tasks, how, stop, spool)
    ended.finish()


def _copy(
    read: Callable[[Collection[str]], Iterator[tuple[str, bytes | None]]],
    left: dict[str, str],
    spool: Spool,
    how: How,
) -> None:
    """Bring the images that the parent's own archives have."""
    ended = _Ends(left, None, how)
    for name, data in read(tuple(left)):
        if data is None or len(data) > IMAGE_BYTES:
            ended(name, 0, LARGE)
        else:
            ended(name, len(data), _kept(name, data, spool))
    ended.finish()


def _pick(folder: Folder, left: dict[str, str], spool: Spool, how: How, stop: Stop) -> None:
    """Bring the images that lie in the folder one by one."""
    ended = _Ends(left, None, how)
    _run([partial(_take_one, folder, name, spool, ended) for name in left], how, stop, spool)
    ended.finish()


def _run(tasks: Sequence[Callable[[], None]], how: How, stop: Stop, spool: Spool) -> None:
    """Run them all, many at a time. What ends one with an exception ends the place."""
    with closing(crew.run(tasks, how.jobs, stop)) as ends:
        for failure in filter(None, ends):
            if isinstance(failure, OSError) and failure.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpaceError(
                    "the disk is full; what came so far is kept",
                    where=spool.folder,
                    remedy="make room and give the same command again",
                ) from failure
            raise failure


class _Ends:
    """What became of each image: it leaves ``left``, or gets its reason there. Told by threads."""

    def __init__(self, left: dict[str, str], total: int | None, how: How) -> None:
        self._left = left
        self._total = total
        self._how = how
        self._done = 0
        self._lock = threading.Lock()
        how.progress(Event(TASK, 0, total))

    def __call__(self, name: str, size: int, reason: str | None) -> None:
        with self._lock:
            self._done += size
            if reason is None:
                del self._left[name]
            else:
                self._left[name] = reason
            self._how.progress(Event(TASK, self._done, self._total))

    def finish(self) -> None:
        self._how.progress(Event(TASK, self._done, self._total, finished=True))


def stretches(found: Mapping[str, Member]) -> Iterator[tuple[int, int, list[str]]]:
    """What to ask for at once: start, end, and the members that lie there, in the archive's order.

    Neighbours share a request unless more than ``GAP`` bytes or ``STRETCH`` in all would come.
    """
    start, end, names = 0, 0, list[str]()
    for name, member in sorted(found.items(), key=lambda one: one[1].header):
        stop = min(member.end, member.header + _most(name, member))
        if names and (member.header - end > GAP or stop - start > STRETCH):
            yield start, end, names
            names = []
        start = start if names else member.header
        end = stop
        names.append(name)
    if names:
        yield start, end, names


class _Bytes:
    """Some bytes of the archive, as what a member is read from."""

    def __init__(self, remote: Remote, start: int, data: bytes) -> None:
        self._remote = remote
        self._start = start
        self._data = data

    def read(self, offset: int, size: int, what: str) -> bytes:
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            raise self.error(f"cut short in {what}")
        return self._data[at : at + size]

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return self._remote.error(what, expected=expected, got=got)


def _take(
    remote: Remote,
    start: int,
    end: int,
    members: Sequence[tuple[str, Member]],
    spool: Spool,
    ended: _Ends,
) -> None:
    """One request, and each of its members proved: CRC-32 first, then it must decode. A member that
    is wrong is asked for again, alone."""
    archive = _Bytes(remote, start, remote.read(start, end - start, "the images"))
    for name, member in members:
        data = _proved(archive, name, member)
        for _ in range(TRIES - 1):
            if data is not None:
                break
            size = min(member.end, member.header + _most(name, member)) - member.header
            came = remote.read(member.header, size, name)
            data = _proved(_Bytes(remote, member.header, came), name, member)
        ended(name, member.size, DAMAGED if data is None else _kept(name, data, spool))


def _proved(archive: _Bytes, name: str, member: Member) -> bytes | None:
    """The member, if its bytes are those of its CRC."""
    try:
        return bytes(zipindex.read(archive, name, member, IMAGE_BYTES))
    except DataError:
        return None


def _most(name: str, member: Member) -> int:
    """How many bytes a member takes at most, with its own header."""
    return LOCAL.size + len(name.encode()) + _EXTRA + member.packed


def _take_one(folder: Folder, name: str, spool: Spool, ended: _Ends) -> None:
    """One image, unless an earlier call brought it."""
    try:
        data = spool.path(name).read_bytes()
        codecs.decode(data)
    except (FileNotFoundError, DataError):
        try:
            data = folder.read(PurePosixPath(name).name, IMAGE_BYTES, _decodes)
        except Absent:
            ended(name, 0, GONE)
        except Spoilt:
            ended(name, 0, SPOILT)
        else:
            ended(name, len(data), _kept(name, data, spool))
    else:
        ended(name, len(data), None)


def _kept(name: str, data: bytes, spool: Spool) -> str | None:
    """Keep an image, or the reason why not."""
    if not _decodes(data):
        return UNDECODABLE
    spool.put(name, data)
    return None


def _decodes(data: bytes) -> bool:
    try:
        codecs.decode(data)
    except DataError:
        return False
    return True


def _without_place(error: DataError) -> str:
    """The error without where it was and what to do, which the caller says."""
    return str(DataError(error.what, expected=error.expected, got=error.got))
