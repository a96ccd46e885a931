"""Bringing files of a remote pack into the cache, through the machinery of dsets.fetch."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from dsets.errors import FetchError, OfflineError, SpaceError
from dsets.fetch import Patience, Step, errand, is_offline
from dsets.fetch.job import OFFLINE
from dsets.fetch.part import part_path
from dsets.fetch.planning import found
from dsets.fetch.sessions import Sessions
from dsets.fetch.stop import Stop
from dsets.manifest import File
from dsets.progress import Event, Progress, ignore

GOES_ON = "a stream that is looped over again goes on exactly where it stopped"
AGAIN = f"try again when the server answers; {GOES_ON}"
REFUSED = (
    "check that the whole pack lies there, with the files that its index names, and that you may "
    f"read it; if it was replaced, open it anew; else {GOES_ON}"
)
ELSEWHERE = (
    "give a cache that can be written (DSETS_CACHE=…); one that several users share wants a common "
    "group, and umask 002"
)


def below(address: str, name: str) -> str:
    """The address of a file of the pack at ``address``; a query stays behind it."""
    base, mark, query = address.partition("?")
    return f"{base.rstrip('/')}/{quote(name)}{mark}{query}"


def bring(
    file: File,
    path: Path,
    stop: Stop,
    patience: Patience,
    sessions: Sessions,
    progress: Progress = ignore,
) -> None:
    """Have the file at ``path``, with the size and sha256 that it names, if it names them.

    Raises:
        OfflineError: it is not here and nobody may be asked.
        FetchError: it could not be had, or is damaged here and nobody may be asked; SpaceError
            where the disk is full.
        Stopped: the work was called off.
    """
    _free(path)
    if found(file, path) is not None:
        return
    if is_offline():
        raise _missing(file, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        step = Step(file, path, "download", 0, file.addresses)
        errand.run(step, patience, stop, progress, sessions)
    except SpaceError:
        raise
    except FetchError as error:  # the errand's remedies are options of `dsets fetch`
        failed = FetchError(
            error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            remedy=AGAIN if error.again else REFUSED if error.tried else ELSEWHERE,
        )
        failed.tried, failed.again = error.tried, error.again
        raise failed from error


def _free(path: Path) -> None:
    """Refuse to put a file where somebody else has put something that is none."""
    for place in (path, part_path(path)):
        with suppress(FileNotFoundError, NotADirectoryError):
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise FetchError(
                    "something that is no file lies in the cache in the place of one",
                    where=place,
                    remedy="dsets did not put it there: move it away",
                )


def _missing(file: File, path: Path) -> FetchError:
    """What to say of a file that is not here as it should be, where nobody may be asked."""
    try:
        size = os.lstat(path).st_size
    except OSError:
        return OfflineError(
            "offline, and not in the cache", where=file.name, remedy=f"unset {OFFLINE}"
        )
    return FetchError(
        "damaged in the cache, and nobody may be asked",
        where=path,
        expected=f"{file.bytes} bytes of sha256 {file.sha256}",
        got=f"{size} bytes" if size != file.bytes else "other bytes",
        remedy=f"unset {OFFLINE}: then it is fetched anew",
    )


def at_most(limit: int) -> Progress:
    """Refuse a file that goes on beyond ``limit`` bytes."""

    def watch(event: Event) -> None:
        if (event.total or event.done) > limit or event.done > limit:
            raise FetchError(
                "too big", where=event.task, expected=f"at most {limit} bytes", got=event.done
            )

    return watch
