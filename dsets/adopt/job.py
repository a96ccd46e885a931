"""Carry a plan out: bring the files, let the reader try them, then put them in force."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dsets import locks, readers, store
from dsets.adopt import bringing, shards, variant
from dsets.adopt.matching import one_at_a_time
from dsets.adopt.parts import Chosen, Lack, Official, Plan, Stranger, Tree
from dsets.adopt.shortfalls import shortfalls
from dsets.errors import AbsentError, AdoptError, DataError
from dsets.manifest import File, Manifest, Source, Split
from dsets.progress import Event, Progress, ignore
from dsets.readers import _keys, _listing

_NAMED = 5  # missing files


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was done: official files that came in, splits taken unverified, what is missing now."""

    official: tuple[Path, ...]
    splits: tuple[Split, ...]
    lacks: tuple[Lack, ...]
    manifest: Manifest


def adopt(
    plan: Plan,
    *,
    unverified: bool = False,
    copy: bool = False,
    jobs: int = 4,
    progress: Progress = ignore,
) -> Adopted:
    """Bring what the plan found into the store; the user's files stay as and where they are.

    Official files are linked under their names (``copy``: copied), with a receipt, so that fetch
    has them. The others come in with ``unverified`` only: they are tried by the dataset's reader,
    and a variant of the manifest is written that is in force from then on.

    Raises:
        AdoptError: files are not the official ones and ``unverified`` is false (the official ones
            are in by then); a file changed or went away since it was planned; or the reader does
            not accept what there is.
    """
    tell = one_at_a_time(progress)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with locks.holding(plan.folder, folder=True):
        variant.remove(plan.folder / variant.WORK)
        bringing.sweep(plan.folder, {file.name for file in plan.manifest.files})
        for one in plan.official:
            bringing.official(one, plan.folder, copy, tell)
        if not unverified:
            _refuse(plan)
        strange = [chosen for chosen in plan.splits if chosen.counted]
        taken, lacks = _take(plan, strange, copy, jobs, tell) if strange else ((), ())
        now = variant.settle(plan.manifest)
    official = tuple(plan.folder / one.name for one in plan.official)
    counted = {split.name for split in taken}  # rather than guessed from names
    guessed = tuple(lack for lack in plan.lacks if lack.split not in counted)
    order = [split.name for split in plan.manifest.splits]
    told = sorted(guessed + _explained(plan, lacks), key=lambda lack: order.index(lack.split))
    return Adopted(official, taken, tuple(told), now or plan.manifest)


def foreseen(plan: Plan, progress: Progress = ignore) -> tuple[Lack, ...]:
    """What will be missing after ``adopt`` with ``unverified``, as the reader counts it.

    Neither the store nor the user's files are changed, and nothing is hashed; archives are read for
    their members.

    Raises:
        AdoptError: the reader does not accept what there is, so ``adopt`` will not either.
    """
    strange = [chosen for chosen in plan.splits if chosen.strange]
    if not strange:
        return plan.lacks
    with TemporaryDirectory(prefix="dsets-adopt-") as folder, _no_trace(plan.manifest):
        work = Path(folder)
        files = []
        for part in {part.name: part for one in strange for part in one.parts}.values():
            file = bringing.unread(part, work)
            if isinstance(part, Stranger):
                file = replace(file, part=_part_of(plan.manifest, part.called))
            files += [] if isinstance(part, Official) else [file]
        taken, lacks = _tried(plan, strange, files, work, progress)
    counted = {split.name for split in taken}
    guessed = tuple(lack for lack in plan.lacks if lack.split not in counted)
    return guessed + _explained(plan, lacks)


def _explained(plan: Plan, counted: Sequence[Lack]) -> tuple[Lack, ...]:
    """What was counted as missing, with the files that it would be in."""
    found = []
    for lack in counted:
        files = [one.what for one in plan.lacks if one.split == lack.split and one.got is None]
        line = f"without {', '.join(files[:_NAMED])}"
        line += f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        found.append(replace(lack, details=(line, *lack.details)) if files else lack)
    return tuple(found)


@contextmanager
def _no_trace(official: Manifest) -> Iterator[None]:
    """Let readers keep their indices while they try files, and take away what is new of them."""
    folder = store.index(official.name)
    above = [path for path in (folder, *folder.parents) if not path.exists()]
    before = set(folder.glob("*"))
    try:
        yield
    finally:
        for path in set(folder.glob("*")) - before:
            path.unlink(missing_ok=True)
        for path in above:
            with suppress(OSError):
                path.rmdir()


def _refuse(plan: Plan) -> None:
    differences = [_difference(part) for part in plan.strange]
    if differences:
        raise AdoptError(
            "not what is officially published",
            where=plan.manifest.name,
            got=" | ".join(differences),
            remedy="get the official files, or take these as they are with --unverified, which "
            "marks every pack made from them",
        )


def _difference(part: Stranger | Tree) -> str:
    if isinstance(part, Stranger):
        return f"{part.path}: {part.why}"
    where = ", ".join(str(root.path) for root in part.roots[:3])
    more = f" and {len(part.roots) - 3} more folders" if len(part.roots) > 3 else ""
    return (
        f"{where}{more}: {len(part):,} loose files of {part.split}, of which no digest is published"
    )


def _take(
    plan: Plan, strange: Sequence[Chosen], copy: bool, jobs: int, tell: Progress
) -> tuple[tuple[Split, ...], tuple[Lack, ...]]:
    """Bring in what nobody published: in a work folder, tried there, then renamed."""
    with _work(plan.folder) as work:
        files: dict[str, File] = {}
        for part in {part.name: part for one in strange for part in one.parts}.values():
            if isinstance(part, Official):
                (work / part.name).symlink_to((plan.folder / part.name).absolute())
            elif isinstance(part, Tree):
                files[part.name] = bringing.tree(part, work, copy, jobs, tell)
            else:
                files[part.name] = replace(
                    bringing.stranger(part, work, copy, tell),
                    part=_part_of(plan.manifest, part.called),
                )
        taken, lacks = _tried(plan, strange, files.values(), work, tell)
        for name in files:
            _check_place(plan.folder, name)
        for file in files.values():
            for path in variant.own(work, file):
                _move(path, plan.folder / path.name)
        before, with_them = variant.kept(plan.manifest)
        now = before | {split.name: split for split in taken}
        both = [
            split
            for split in taken
            if split.name in before and variant.many(plan.manifest, split.name)
        ]
        for split in both:
            now[split.name] = shards.merged(plan.manifest, split, before[split.name])
        strangers = {file.name: file for file in (*with_them, *files.values())}
        variant.write(variant.made(plan.manifest, now, strangers.values()))
    if both:
        shards.settle(plan.manifest)
    return taken, lacks


def _tried(
    plan: Plan, strange: Sequence[Chosen], files: Iterable[File], work: Path, tell: Progress
) -> tuple[tuple[Split, ...], tuple[Lack, ...]]:
    """The splits that the reader finds samples of in the work folder, and what they lack.

    ``tell`` hears what the reader has to say of the files besides.
    """
    splits = {
        one.split.name: replace(
            one.split, files=tuple(part.name for part in one.parts), options=one.options
        )
        for one in strange
    }
    trial = variant.made(plan.manifest, splits, files)
    counted = [_counted(trial, trial.split(name), work, tell) for name in splits]
    taken = tuple(split for split, _ in counted if split.samples)
    if not taken:
        raise AdoptError(
            "no samples in these files",
            where=trial.name,
            expected="those of at least one split",
            got="; ".join(lack.purpose for _, lack in counted if lack),
        )
    return taken, tuple(lack for _, lack in counted if lack)


def _part_of(official: Manifest, name: str) -> str:
    """The part of the official file of that name, which a stranger in its place belongs to."""
    return next((file.part for file in official.files if file.name == name), "")


@contextmanager
def _work(folder: Path) -> Iterator[Path]:
    work = folder / variant.WORK
    work.mkdir()
    try:
        yield work
    finally:
        variant.remove(work)


def _check_place(folder: Path, name: str) -> None:
    """Raise AdoptError where a folder that is not ours has the name of the one that is listed."""
    below = _listing.folder(folder / name)
    strange = below.is_dir() and not below.is_symlink() and not variant.receipted(folder / name)
    if name.endswith(_listing.SUFFIX) and strange:
        raise AdoptError(
            "a folder that dsets did not make lies there",
            where=below,
            remedy="move it out of the store, and adopt it from there",
        )


def _move(path: Path, final: Path) -> None:
    if final.is_dir() and not final.is_symlink():
        variant.remove(final)
    elif path.is_dir() and not path.is_symlink():
        final.unlink(missing_ok=True)
    os.replace(path, final)


def _theirs(where: str, work: Path) -> str:
    """A place in the work folder as the user knows it."""
    links = [path for path in work.rglob("*") if path.is_symlink()]
    for link in sorted(links, key=lambda path: -len(str(path))):
        where = where.replace(str(link), os.path.realpath(link))
    return where


def _counted(
    trial: Manifest, split: Split, work: Path, tell: Progress
) -> tuple[Split, Lack | None]:
    """The split with as many samples as the reader finds; what it lacks of the official ones."""
    # A shortened archive may hold nothing of one split and all of another, which can be had.
    source = Source(trial, split, work)
    try:
        table = readers.load(trial.reader).table(source)
        for line in (*readers.notes(source), *readers.remarks(source)):
            tell(Event(f"{trial.name}/{split.name}", 0, None, line))
    except AbsentError as error:
        if not split.samples:
            return split, None  # nobody says that there are any in such a file
        missing = f"all of {split.name}: {error.what}"
        return replace(split, samples=0), Lack(split.name, "samples", missing, split.samples, 0)
    except DataError as error:
        raise AdoptError(
            f"the reader does not accept these files: {error.what}",
            where=_theirs(error.where or trial.name, work),
            expected=error.expected,
            got=error.got,
            remedy="get it again, or leave it out, if the other files are whole splits",
        ) from error
    finally:
        readers.forget(source)  # of paths that end with the work folder
    if not len(table):
        raise AdoptError("no samples in these files", where=f"{trial.name}/{split.name}")
    if twice := _keys.repeated(table):
        raise AdoptError(
            "two samples have one key",
            where=f"{trial.name}/{split.name}",
            expected=_keys.EXPECTED,
            got=twice,
            remedy=_keys.REMEDY,
        )
    counted = shards.counted(replace(split, samples=len(table)), table)
    if len(table) >= split.samples:
        return counted, None
    field = next((field for field in trial.fields if field.classes), None)
    details: tuple[str, ...] = ()
    if field is not None and split.training and field.name in table:
        numbers = table[field.name].value_counts().to_dict()
        counts = {name: int(numbers.get(i, 0)) for i, name in enumerate(field.classes)}
        details = shortfalls(split, field.classes, counts)
    return counted, Lack(
        split.name, "samples", f"all of {split.name}", split.samples, len(table), details
    )
