"""The folders of a pack: what is there, the work folder, and the rename that ends a job.

A pack grows in ``<pack>.part`` beside its place. That folder is locked by whoever works in it,
holds nothing but files that dsets wrote, and is swept only of those.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from dsets import locks
from dsets.atomic import flush, replacing
from dsets.errors import BusyError, DsetsError, PackError, PrepareError
from dsets.pack import index
from dsets.pack.schema import INDEX, STATISTICS, Index
from dsets.prepare.planning import PackPlan

State = Literal["finished", "started", "new", "other"]

_PLAN = "plan"
_OURS = re.compile(rf"{_PLAN}|{INDEX}|{STATISTICS}|shard-\d+\.(h5|npz|json)|\..*\.part")
_KEPT = re.compile(rf"{INDEX}|{STATISTICS}|shard-\d+\.h5")


def state(plan: PackPlan) -> State:
    """What this plan would find: the very pack finished, begun, or something other in its place."""
    if plan.out.exists():
        # A job with --force renames the old pack away and the new one to its place: look again.
        found = made(plan.out) or made(plan.out)
        return "finished" if found and found.provenance.get("plan") == plan.digest else "other"
    return "started" if _text(plan.part / _PLAN) == plan.digest else "new"


def begun_bytes(plan: PackPlan) -> int:
    """What lies in the work folder. Another job may hold it, whose files come and go meanwhile."""
    total = 0
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(plan.part) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


def made(folder: Path) -> Index | None:
    """The index of the pack in ``folder``, or None where there is no readable one."""
    try:
        return index.read(folder)
    except (OSError, PackError):
        return None


def check(plans: Sequence[PackPlan], *, force: bool) -> None:
    """Refuse to replace what is not ours to replace.

    Raises:
        PrepareError: there are other plans' packs and ``force`` is false, or there is something
            that is no pack at all.
    """
    others: list[tuple[PackPlan, Index]] = []
    for plan in plans:
        if state(plan) != "other":
            continue
        if (found := made(plan.out)) is None:
            raise PrepareError(
                "something that is no readable pack lies where the pack should",
                where=plan.out,
                remedy="choose another --out, or move it away",
            )
        others.append((plan, found))
    if others and not force:
        raise PrepareError(
            "a pack made by another plan lies there",
            where=", ".join(str(plan.out) for plan, _ in others),
            got="; ".join(f"{one[0].split.name} with {_difference(*one)}" for one in others),
            remedy="choose another --out, or replace it with --force",
        )


def _difference(plan: PackPlan, found: Index) -> str:
    """How the plan of a pack that is there differs from this one, as far as the pack tells."""
    theirs = found.provenance
    mine = plan.source.manifest
    recipe = theirs.get("pipeline")
    if not isinstance(recipe, dict):
        recipe = {}
    pairs = {
        "dataset": (theirs.get("dataset"), mine.name),
        "split": (found.split, plan.split.name),
        "reader": (theirs.get("reader"), mine.reader),
        "pipeline": (recipe.get("name"), plan.pipeline.name),
        "samples a shard": (theirs.get("samples_per_shard"), plan.samples_per_shard),
    }
    told = [f"{what} {a!s:.60}, not {b}" for what, (a, b) in pairs.items() if a != b]
    if recipe.get("name") == plan.pipeline.name and recipe.get("sha256") != plan.pipeline.sha256:
        told.append("another source of the pipeline")
    if not told:
        told.append("other raw files, fields or reader options in its manifest")
    return ", ".join(told)


@contextmanager
def working(plan: PackPlan, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the work folder, which is made if absent; waits for another process that holds it."""
    with ExitStack() as stack:
        with writing(plan.part):
            plan.part.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locks.holding(plan.part, folder=True, wait=False))
            except BusyError:
                tell("another process is making this pack; waiting for it")
                stack.enter_context(locks.holding(plan.part, folder=True))
        yield


@contextmanager
def leaving(part: Path) -> Iterator[None]:
    """Leave no empty work folder, which we hold, behind an error."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # there is unfinished work in it
            part.rmdir()
        raise


@contextmanager
def held(out: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Keep every prepare job away from a finished pack, while it is mended."""
    part = out.with_name(f"{out.name}.part")
    with ExitStack() as stack:
        with writing(part):
            try:
                stack.enter_context(locks.holding(part, folder=True, wait=False))
            except BusyError:
                tell("another process is working on this pack; waiting for it")
                stack.enter_context(locks.holding(part, folder=True))
        try:
            yield
        finally:
            with suppress(OSError):  # there is unfinished work in it, which is not ours
                part.rmdir()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while ``path`` is written (a full disk, no leave) into our error.

    Raises:
        PrepareError: in place of any OSError that is not ours already.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DsetsError):
            raise
        raise PrepareError(
            f"cannot be written: {error.strerror or error}",
            where=path,
            remedy="finished shards are kept; see to it, then run the same command again",
        ) from error


def sweep(plan: PackPlan, tell: Callable[[str], None]) -> None:
    """Clear the held work folder of what this plan cannot use, and mark it as this plan's.

    Raises:
        PrepareError: the folder holds something that dsets did not write.
    """
    there = list(plan.part.iterdir())
    if strange := [path.name for path in there if not _OURS.fullmatch(path.name)]:
        raise PrepareError(
            "not a work folder of dsets",
            where=plan.part,
            got=", ".join(strange[:3]),
            remedy="move it away, or choose another --out",
        )
    mark = plan.part / _PLAN
    mine = _text(mark) == plan.digest
    if there and not mine:
        tell("removing the unfinished work of another plan")
    for path in there:
        if not mine or path.name.startswith("."):
            path.unlink(missing_ok=True)  # a worker that outlived its job may just rename it
    if not mine:
        with replacing(mark) as part:
            part.write_text(plan.digest)
    # A job with --force was killed between the two renames of publish, or just after them.
    if plan.out.exists():
        shutil.rmtree(_old(plan), ignore_errors=True)


def tidy(plan: PackPlan, tell: Callable[[str], None]) -> None:
    """Remove what a job with --force put aside and, killed just then, left beside its new pack."""
    if _old(plan).exists():
        with held(plan.out, tell):
            if plan.out.exists():
                shutil.rmtree(_old(plan), ignore_errors=True)


def abandon(plan: PackPlan) -> None:
    """Give up the held work folder because the pack is finished: nothing in it is needed."""
    for path in plan.part.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):  # something else lies there too
        plan.part.rmdir()


def assembled(plan: PackPlan) -> Index | None:
    """The index in the held work folder, if a killed job of this plan came as far as writing it."""
    found = made(plan.part)
    return found if found and found.provenance.get("plan") == plan.digest else None


def publish(plan: PackPlan) -> None:
    """Rename the held work folder, in which a pack is assembled, to the pack's final name."""
    for path in plan.part.iterdir():
        if not _KEPT.fullmatch(path.name):
            path.unlink(missing_ok=True)
    flush(plan.part)
    if plan.out.exists():
        shutil.rmtree(_old(plan), ignore_errors=True)
        os.rename(plan.out, _old(plan))
    os.rename(plan.part, plan.out)
    flush(plan.out.parent)
    for path in plan.out.iterdir():  # what a worker that outlived its job has written meanwhile
        # (An index that another job is just linking to its training pack is that job's.)
        if not _KEPT.fullmatch(path.name) and not path.name.startswith(f".{INDEX}."):
            path.unlink(missing_ok=True)
    shutil.rmtree(_old(plan), ignore_errors=True)


def _old(plan: PackPlan) -> Path:
    return plan.out.with_name(f"{plan.out.name}.old.part")


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None
