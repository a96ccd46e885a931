"""``dsets fetch NAME``: manifest → verified raw files in the store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsets import fetch, manifest, store

from ._lock import LOCK_FILE, pinned
from ._names import DATASET_OR_SPLIT, checked
from ._progress import bars
from ._terms import agree
from ._text import plain, size, table

_SHOWN = 3  # files of a family that a plan shows


@click.command()
@click.argument("name", type=DATASET_OR_SPLIT)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="URL",
    help="Try the files by name below this address or folder first. May be repeated.",
)
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="SPLIT",
    help="Only the files of this split. May be repeated.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="PART",
    help="Only the files of this part, such as annotations. May be repeated.",
)
@click.option(
    "--shards",
    callback=checked(fetch.listings.part),
    metavar="I/N",
    help="Of thousands of files of one kind only the I-th of N parts, such as 1/100.",
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 32), metavar="N")
@click.option(
    "--connections",
    default=4,
    show_default=True,
    type=click.IntRange(1, 16),
    metavar="N",
    help="Connections to one file at most, where several are faster; 1 for never.",
)
@click.option("--offline", is_flag=True, help="Use what is here; fail if anything is missing.")
@click.option("--lock", is_flag=True, help="Write what was fetched into the lock file.")
@LOCK_FILE
@click.option("--accept-terms", is_flag=True, help="Accept the dataset's terms, for scripts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors and the paths.")
def command(
    name: str,
    dry_run: bool,
    mirrors: tuple[str, ...],
    splits: tuple[str, ...],
    parts: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Fetch the raw files of a dataset and verify them.

    NAME is a dataset, or DATASET/SPLIT for the files of one split only; 'dsets show' lists splits
    and parts. What is here already is kept, and half a file is continued. Mirrors come first, then
    DSETS_MIRROR, then the addresses of the manifest. Licence and access are shown before the first
    byte; a dataset that is not open to everybody wants them accepted. Where there is a dsets.lock,
    the files it has are fetched as it says.
    """
    dataset, slash, split = name.partition("/")
    official = manifest.find(dataset)
    fetch.check_offered(official, mirrored=_mirrored(official, mirrors))
    found = official if how["lock"] else pinned(official, how["lock_file"])
    named = [*([split] if slash else []), *splits]
    wanted = tuple(file for one in named for file in found.split(one).files)
    wanted = wanted if named else found.default_files
    if parts:
        those = dict.fromkeys(file for part in parts for file in found.part(part))
        wanted = tuple(file for file in those if not named or file in wanted)
    folder = store.raw(found.name)
    listings = fetch.listings.needed(found, wanted)
    if how["shards"]:
        wanted = fetch.listings.in_part(found, wanted, fetch.listings.part(how["shards"]))
        if not any(found.file(file).family for file in wanted):
            _note(
                f"no file is in part {how['shards']}: there are fewer files than parts, or nearly"
            )
    if dry_run and (absent := [one for one in listings if not (folder / one).exists()]):
        # What its listing does not have is left out, so a plan without it is a guess.
        _note(
            f"the publishers' listing ({', '.join(absent)}) is not here: it tells which of these "
            f"files there are, and their digests; 'dsets fetch {name}' brings it first, online or "
            "with --mirror"
        )
    if lists := fetch.listings.needed(found, wanted):
        with bars(quiet=quiet) as report:
            plan = fetch.plan(found, folder, files=lists, mirrors=mirrors, progress=report)
        if plan.missing and not dry_run:
            agree(official, given=how["accept_terms"], how="fetched", quiet=quiet)
            with bars(quiet=quiet) as report:
                fetch.files(plan, offline=how["offline"], progress=report, jobs=how["jobs"])
        found = fetch.listings.resolved(found, folder)
        wanted = (*lists, *_listed(found, wanted, quiet))
    with bars(quiet=quiet) as report:
        plan = fetch.plan(found, folder, files=wanted, mirrors=mirrors, progress=report)
    if dry_run:
        offline = fetch.is_offline(how["offline"])
        if offline and (far := sum(not fetch.at_hand(step) for step in plan.missing)):
            _note(f"offline, the real run fails: {far:,} of these files are not here")
        click.echo(json.dumps(_plan_data(plan), indent=2) if as_json else _plan_text(plan))
        return
    if any(step.addresses for step in plan.missing):
        agree(official, given=how["accept_terms"], how="fetched", quiet=quiet)
    with bars(quiet=quiet) as report:
        paths = fetch.files(
            plan,
            offline=how["offline"],
            progress=report,
            jobs=how["jobs"],
            connections=how["connections"],
        )
    if how["lock"]:
        fetch.lockfile.update(how["lock_file"], plan)
    if found.families:
        from dsets.adopt import shards

        shards.settle(found)  # what is here of a part is counted, and in force
    elif manifest.adopted(found.name):
        from dsets import adopt

        adopt.settle(official)  # what is official now needs no stand-in
    files = [_file_data(step, path) for step, path in zip(plan.steps, paths, strict=True)]
    for step, file in zip(plan.steps, files, strict=True):
        if step.file.digest is None and not quiet:
            click.echo(
                f"{step.file.name}: no digest is published; remembered sha256 {file['sha256']}",
                err=True,
            )
        if file["note"] and not quiet:
            click.echo(
                f"dsets: warning: {step.file.name} may be cut short: {file['note']}", err=True
            )
    if as_json:
        data = {"dataset": found.name, "folder": str(plan.folder), "files": files}
        click.echo(json.dumps(data, indent=2))
    else:
        for path in paths:
            click.echo(path)


def _note(text: str) -> None:
    click.echo(f"dsets: note: {text}", err=True)


def _mirrored(found: manifest.Manifest, mirrors: tuple[str, ...]) -> bool:
    """Whether its files may be had although nobody offers them: from a mirror, or they are here."""
    folder = store.raw(found.name)
    here = any((folder / file.name).exists() for file in found.files)
    return here or bool(fetch.sources.bases(mirrors))


def _listed(found: manifest.Manifest, wanted: tuple[str, ...], quiet: bool) -> tuple[str, ...]:
    """The files without those that the publishers' own listing does not have."""
    names = fetch.listings.published(found, wanted)
    if len(names) < len(wanted) and not quiet:
        _note(f"{len(wanted) - len(names):,} files are not in the publishers' listing")
    return names


def _plan_text(plan: fetch.Plan) -> str:
    rows = [("file", "size", "do", "here", "from")]
    seen: dict[tuple[str, str], int] = {}
    for step in plan.steps:
        group = (step.file.family, step.action)
        seen[group] = seen.get(group, 0) + 1
        if step.file.family and seen[group] > _SHOWN:
            continue
        known = "?" if step.file.bytes is None else size(step.file.bytes)
        sources = ("",) if step.action == "have" else step.addresses or ("no address",)
        rows.append(
            (step.file.name, known, step.action, size(step.have_bytes), fetch.shown(sources[0]))
        )
        rows += [("", "", "", "", fetch.shown(address)) for address in sources[1:]]
    rows += [
        (f"… {number - _SHOWN:,} more", "", action, "", f"of {family}")
        for (family, action), number in seen.items()
        if family and number > _SHOWN
    ]
    unknown = sum(step.file.bytes is None for step in plan.missing)
    about = fetch.listings.about_bytes(plan.manifest, [step.file.name for step in plan.missing])
    more = f", and {unknown:,} files of unknown size" if unknown else ""
    more += f", about {size(about)} as far as is known" if about else ""
    terms = "\n".join(map(plain, fetch.terms.of(plan.manifest).text.splitlines()))
    return (
        f"{terms}\n\n{table(rows)}\n\nto download {size(plan.download_bytes)}{more}; "
        f"disk {size(plan.need_bytes)} in {plan.folder}"
    )


def _plan_data(plan: fetch.Plan) -> dict[str, Any]:
    terms = fetch.terms.of(plan.manifest)
    return {
        "dataset": plan.manifest.name,
        "terms": {
            **asdict(terms),
            "sha256": terms.sha256,
            "accepted": fetch.terms.accepted(plan.manifest) is not None,
        },
        "folder": str(plan.folder),
        "download_bytes": plan.download_bytes,
        "need_bytes": plan.need_bytes,
        "about_bytes": fetch.listings.about_bytes(
            plan.manifest, [step.file.name for step in plan.missing]
        ),
        "files": [
            {
                "name": step.file.name,
                "action": step.action,
                "bytes": step.file.bytes,
                "have_bytes": step.have_bytes,
                "addresses": [fetch.shown(address) for address in step.addresses],
            }
            for step in plan.steps
        ],
    }


def _file_data(step: fetch.Step, path: Path) -> dict[str, Any]:
    receipt = fetch.receipt(path)
    return {
        "name": step.file.name,
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": receipt.digests["sha256"] if receipt else None,
        "from": receipt.address if receipt else None,
        "note": receipt.note if receipt else "",
        "was_here": step.action == "have",
    }
