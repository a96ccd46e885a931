"""``dsets adopt NAME PATHS``: files that the user has → the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsets import manifest
from dsets.errors import AdoptError

from ._manifest_text import section
from ._names import DATASET
from ._progress import bars
from ._terms import asked
from ._text import count, plain, size, table

if TYPE_CHECKING:
    from dsets.adopt import Adopted, Chosen, Lack, Plan

#: Readers of archives alone: what was unpacked from these is of no use as it lies.
_PACKED = ("cifar", "coco", "voc")


@click.command()
@click.argument("name", metavar="NAME|BUNDLE", type=DATASET)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--copy", is_flag=True, help="Copy the files into the store instead of linking them.")
@click.option(
    "--unverified",
    is_flag=True,
    help="Take files that are not the official ones too; every pack made from them says so.",
)
@click.option("--accept-terms", is_flag=True, help="Accept the terms of a bundle, for scripts.")
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 32), metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(
    name: str,
    paths: tuple[Path, ...],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    jobs: int,
    accept_terms: bool,
    **acting: bool,
) -> None:
    """Adopt the files of a dataset from PATHS: files, or folders in any layout.

    Files are recognised by size, digest and name, wherever they lie. They stay where they are; the
    store links to them. What is still missing is said, with what it is for.

    A BUNDLE, alone, is what 'dsets bundle' made: its files are copied out of it, each proved by its
    digests, and no network is used. With --dry-run it is verified.
    """
    from dsets import adopt

    if not paths:
        _bundle(Path(name), dry_run=dry_run, given=accept_terms, as_json=as_json, quiet=quiet)
        return
    official = manifest.find(name)
    with bars(quiet=quiet) as report:
        plan = adopt.plan(official, paths, jobs=jobs, progress=report)
    for note in plan.notes:
        click.echo(f"dsets: note: {plain(note)}", err=True)
    if dry_run:
        lacks, refused = plan.lacks, None
        try:
            with bars(quiet=quiet) as report:
                lacks = adopt.foreseen(plan, report)
        except AdoptError as error:  # told at the end, as the real run will
            refused = error
        data = {**_plan_data(plan), "missing": [asdict(one) for one in lacks]}
        click.echo(json.dumps(data, indent=2) if as_json else _plan_text(plan, lacks))
        if plan.strange and not refused and not acting["unverified"]:
            click.echo(
                "dsets: note: not all of it is official: the real run needs --unverified", err=True
            )
        if refused:
            raise refused
        _check_use(plan, paths)
        return
    with bars(quiet=quiet) as report:
        # unverified, copy: as adopt.adopt takes them
        done = adopt.adopt(plan, jobs=jobs, progress=report, **acting)
    click.echo(json.dumps(_done_data(plan, done), indent=2) if as_json else _done_text(plan, done))
    _check_use(plan, paths)


def _check_use(plan: Plan, paths: Sequence[Path]) -> None:
    """Raise AdoptError when nothing could be used of what was named: a script must notice."""
    if plan.idle:
        remedy = f"'dsets show {plan.manifest.name}' lists the files"
        if plan.manifest.reader in _PACKED and any(path.is_dir() for path in paths):
            remedy += (
                "; what was unpacked must be an archive again, of the official name (tar -cf, "
                "zip -0 -r), and needs --unverified"
            )
        raise AdoptError(
            f"nothing there is of use to {plan.manifest.name}",
            where=", ".join(map(str, paths[:3])) + (", …" if len(paths) > 3 else ""),
            expected="official files, or all that a split needs, in any layout",
            remedy=remedy,
        )


def _bundle(path: Path, *, dry_run: bool, given: bool, as_json: bool, quiet: bool) -> None:
    from dsets import adopt

    if not path.is_file():
        raise click.UsageError("Missing argument 'PATHS...', or NAME is no bundle: no such file.")
    opened = adopt.look(path)
    accepted = {
        one.name: asked(one, given=given, how="bundle", quiet=quiet)
        for one in ([] if dry_run else opened.manifests)
    }
    with bars(quiet=quiet) as report:
        paths = adopt.unbundle(opened, dry_run=dry_run, progress=report, accepted=accepted)
    if as_json:
        data = {
            "bundle": str(path),
            "sha256": opened.sha256,
            "datasets": [one.name for one in opened.manifests],
            "members": len(opened.contents.members),
            "paths": [str(one) for one in paths],
        }
        click.echo(json.dumps(data, indent=2))
    elif dry_run:
        rows = [
            (name, size(one.bytes), one.sha256) for name, one in opened.contents.members.items()
        ]
        click.echo(f"{table(rows)}\n\nall right; bundle {opened.sha256}")
    else:
        click.echo("\n".join(map(str, paths)))


def _plan_data(plan: Plan) -> dict[str, Any]:
    return {
        "dataset": plan.manifest.name,
        "folder": str(plan.folder),
        "have": [one.name for one in plan.have],
        "official": [{"name": one.name, "path": str(one.path)} for one in plan.official],
        "splits": [_split_data(one) for one in plan.splits],
        "missing": [asdict(one) for one in plan.lacks],
        "notes": list(plan.notes),
    }


def _split_data(one: Chosen) -> dict[str, Any]:
    from dsets.adopt import Stranger

    return {
        "name": one.split.name,
        "official": not one.strange,
        "unverified": [
            {"paths": [str(part.path)], "differs": part.why}
            if isinstance(part, Stranger)
            else {"paths": [str(root.path) for root in part.roots], "files": len(part)}
            for part in one.strange
        ],
    }


def _plan_text(plan: Plan, lacks: Sequence[Lack]) -> str:
    rows = [(one.name, "have", "") for one in plan.have]
    rows += [
        (one.name, f"link, official, {size(one.receipt.bytes)}", plain(str(one.path)))
        for one in plan.official
    ]
    rows += _strange_rows(plan)
    return "\n\n".join(
        [
            section(f"{plan.manifest.name} in {plan.folder}", [table(rows) or "nothing found"]),
            _missing(lacks),
        ]
    )


def _strange_rows(plan: Plan) -> list[tuple[str, str, str]]:
    from dsets.adopt import Stranger

    rows = []
    for part in plan.strange:
        if isinstance(part, Stranger):
            rows.append((part.name, f"unverified: {plain(part.why)}", plain(str(part.path))))
            continue
        for root in part.roots:
            what = f"unverified: {count(len(root))} loose files"
            rows.append((part.name, what, plain(str(root.path))))
    return rows


def _missing(lacks: Sequence[Lack]) -> str:
    if not lacks:
        return "nothing is missing"
    of: dict[Lack, list[str]] = {}  # what several splits lack is one line
    for lack in lacks:
        of.setdefault(replace(lack, split=""), []).append(lack.split)
    lines = []
    for lack, splits in of.items():
        amount = ""
        if lack.expected is not None and lack.got is not None:
            amount = f", {count(lack.got)} of {count(lack.expected)}"
        purpose = lack.purpose if len(splits) == 1 else _roles(lack.purpose, splits)
        line = f"{', '.join(splits)}: {plain(lack.what)}{amount} ({plain(purpose)})"
        lines.append("\n".join([line, *(f"  {plain(detail)}" for detail in lack.details)]))
    return section("missing", lines)


def _roles(purpose: str, splits: Sequence[str]) -> str:
    """``images of train, images of val`` without the splits, where these are named already."""
    pieces = [piece.rpartition(" of ") for piece in purpose.split(", ")]
    if any(not role or split not in splits for role, _, split in pieces):
        return purpose
    return ", ".join(dict.fromkeys(role for role, _, _ in pieces))


def _done_data(plan: Plan, done: Adopted) -> dict[str, Any]:
    return {
        **_plan_data(plan),
        "linked": [str(path) for path in done.official],
        "unverified": [{"name": split.name, "samples": split.samples} for split in done.splits],
        "missing": [asdict(one) for one in done.lacks],
        "manifest": done.manifest.origin,
    }


def _done_text(plan: Plan, done: Adopted) -> str:
    rows = [(str(path), "official") for path in done.official]
    for split in done.splits:
        what = "unverified" if done.manifest.unverified(split) else "a part"
        what += f", {count(split.samples)} samples"
        rows.append((f"{plan.manifest.name}/{split.name}", what))
    taken = {split.name for split in done.splits}
    some = [one for one in plan.splits if one.split.name in taken]
    strange = _strange_rows(replace(plan, splits=tuple(some)))
    parts = [table(rows) or "nothing new"]
    parts += [section("taken as they are", [table(strange)])] if strange else []
    return "\n\n".join([*parts, _missing(done.lacks)])
