"""Carrying a plan out: what can be known before, then several files at once."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from dsets.errors import FetchError, OfflineError, SpaceError
from dsets.fetch import crew, errand, terms
from dsets.fetch.planning import Plan, Step
from dsets.fetch.sessions import Sessions
from dsets.fetch.side_by_side import CONNECTIONS, Lanes
from dsets.fetch.sources import local
from dsets.fetch.stop import Stop, Stopped
from dsets.fetch.wire import Patience
from dsets.manifest import Manifest
from dsets.manifest.schema import NOT_OFFERED
from dsets.progress import Event, Progress, ignore

OFFLINE = "DSETS_OFFLINE"
SHOWN = 8  # files, and reasons, that an error tells


def files(
    plan: Plan,
    *,
    offline: bool = False,
    progress: Progress = ignore,
    jobs: int = 4,
    connections: int = CONNECTIONS,
    patience: Patience | None = None,
    accept_terms: terms.Accept = False,
) -> tuple[Path, ...]:
    """Bring every file of the plan here and return their paths, in the plan's order.

    One failing file does not keep the others from arriving. ``progress`` is called by one thread at
    a time. A large file is fetched over several connections where that is faster: one for each of
    ``jobs`` files at once, and ``connections - 1`` more in all. With ``offline``, or
    ``$DSETS_OFFLINE`` set to anything but 0, only ``file://`` addresses are used. A file without a
    published digest is accepted as it came, and its sha256 is written in its receipt.

    Before the first byte the terms are shown, unless they were accepted before: by a
    ``TermsWarning``, or to ``accept_terms`` where that is a function of ``terms.Terms``, which then
    says whether they are. A dataset that is not open wants them accepted: True, or such a function.
    Acceptance is written down with the digest of the text.

    Raises:
        OfflineError: files are missing and nothing may be fetched.
        SpaceError: the disk has not enough room.
        TermsError: the terms were not accepted.
        FetchError: a file could not be had; the message says what each address gave.
    """
    mirrored = any(step.addresses or step.action == "have" for step in plan.steps)
    check_offered(plan.manifest, mirrored=mirrored)
    offline = is_offline(offline)
    steps = [_usable(step, offline) for step in plan.steps]
    _check_access(plan, steps, offline)
    if any(step.addresses for step in steps if step.action != "have"):
        terms.agree(plan.manifest, accept_terms)
    _check_space(plan)
    tell = _one_at_a_time(progress)
    for step in steps:
        have = step.action == "have"
        tell(Event(step.file.name, step.have_bytes, step.file.bytes, finished=have))
    stop, patience = Stop(), patience or Patience()
    lanes, sessions = Lanes(max(connections, 1) - 1), Sessions()
    tasks = [
        partial(errand.run, step, patience, stop, tell, sessions, Lanes(of=lanes)) for step in steps
    ]
    failures: list[BaseException] = []
    with closing(sessions), closing(crew.run(tasks, max(jobs, 1), stop)) as ends:
        for failure in filter(None, ends):
            failures.append(failure)
            if _stops_all(failure):
                break
    _raise(failures)
    return tuple(step.path for step in steps)


def is_offline(word: bool = False) -> bool:
    """Whether nothing may be asked: by the caller's word, or by ``$DSETS_OFFLINE``."""
    return word or os.environ.get(OFFLINE, "0") not in ("", "0")


def at_hand(step: Step) -> bool:
    """Whether a step needs no network: its file is here, or in a folder that is a mirror."""
    return step.action == "have" or any(local(address) for address in step.addresses)


def _usable(step: Step, offline: bool) -> Step:
    if not offline:
        return step
    return replace(step, addresses=tuple(a for a in step.addresses if local(a) is not None))


def check_offered(manifest: Manifest, *, mirrored: bool = False) -> None:
    """Raise FetchError where no file of a dataset is offered: it says why.

    ``mirrored``: somebody named a mirror that may have its files, or they are here.
    """
    told = manifest.catalogue
    if manifest.files and (manifest.access not in NOT_OFFERED or told is None or mirrored):
        return  # what is missing is told file by file
    reason = told.status if told else "its manifest names no files"
    page = f"; see {manifest.homepage}" if manifest.homepage else ""
    elsewhere = ", or name a mirror that you may use (--mirror)" if manifest.files else ""
    raise FetchError(
        f"nothing of it is offered here ({manifest.access}): {reason}",
        where=manifest.name,
        remedy=f"'dsets show {manifest.name}' says what is known of it{page}{elsewhere}",
    )


def _check_access(plan: Plan, steps: list[Step], offline: bool) -> None:
    lacking = [step.file.name for step in steps if step.action != "have" and not step.addresses]
    if not lacking:
        return
    names = ", ".join(lacking)
    if command := plan.manifest.made_by:
        raise (OfflineError if offline else FetchError)(
            f"nobody publishes these files, a command makes them; missing: {names}",
            where=plan.manifest.name,
            remedy=f"run: {command}",
        )
    if offline:
        raise OfflineError(
            f"offline, and not all files are here: {names}",
            where=plan.manifest.name,
            remedy=f"fetch them when online, or give --mirror a folder; they belong in "
            f"{plan.folder}",
        )
    reason = {
        "login": "needs a login",
        "on request": "is given on request only",
        "withdrawn": "was withdrawn by its publishers",
        "unavailable": "is not known to be offered by anybody",
        "open": "names no address",
    }[plan.manifest.access]
    page = plan.manifest.homepage or f"`dsets show {plan.manifest.name}`"
    raise FetchError(
        f"the dataset {reason}; missing: {names}",
        where=plan.manifest.name,
        remedy=f"see {page}; run 'dsets adopt {plan.manifest.name} PATHS' on files that you have, "
        f"put them in {plan.folder}, or name a mirror that you may use (--mirror)",
    )


def _check_space(plan: Plan) -> None:
    folder = plan.folder.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if plan.need_bytes > free:
        raise SpaceError(
            "not enough room on the disk",
            where=plan.folder,
            expected=f"{plan.need_bytes} bytes free",
            got=free,
            remedy="make room, or set DSETS_HOME to a folder on a larger disk",
        )


def _one_at_a_time(progress: Progress) -> Progress:
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            progress(event)

    return tell


def _stops_all(error: BaseException) -> bool:
    """Whether the other files need not be tried: the disk is full, or the error is none of ours."""
    return not isinstance(error, (FetchError, Stopped)) or isinstance(error, SpaceError)


def _raise(failures: list[BaseException]) -> None:
    """The failure that ended the work, if one did; else all files that did not arrive."""
    for failure in failures:
        if len(failures) == 1 or _stops_all(failure):
            raise failure
    failed = [one for one in failures if isinstance(one, FetchError)]
    if len(failed) < len(failures):
        raise Stopped
    if failed:
        files = [
            f"{one.where} ({one.expected.split(' of ')[0]})" if one.expected else str(one.where)
            for one in failed
        ]
        raise FetchError(
            f"{len(failed)} files could not be fetched: {_some(files)}",
            got=_some(_reasons(failed)),
            remedy=errand.remedy(again=any(one.again for one in failed)),
        )


def _reasons(failed: Sequence[FetchError]) -> list[str]:
    """What each place gave: once, where it gave the same for each file."""
    counts: dict[tuple[str, str], list[str]] = {}
    for one in failed:
        for address, reason in one.tried:
            folder = address.rpartition("/")[0]
            counts.setdefault((folder, reason), []).append(address)
        if not one.tried:
            counts[f"{one.where}", one.what] = [str(one.where)]
    return [
        f"{those[0] if len(those) == 1 else f'{folder}/'}: {reason}"
        + (f" ({len(those)} times)" if len(those) > 1 else "")
        for (folder, reason), those in counts.items()
    ]


def _some(texts: Sequence[str]) -> str:
    more = f"; … {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more
