"""``dsets verify``: a dataset's raw files, or packs, against what they are said to be."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from dsets import manifest, readers, store, verify
from dsets.errors import PackError
from dsets.verify import Report

from ._in_force import in_force
from ._lock import LOCK_FILE, read
from ._names import DATASET_OR_SPLIT, packs
from ._progress import bars
from ._text import plain


@click.command()
@click.argument("subject", metavar="NAME|PACK", type=DATASET_OR_SPLIT)
@click.option("--deep", is_flag=True, help="Read every sample too.")
@LOCK_FILE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress.")
def command(subject: str, deep: bool, lock_file: Path, as_json: bool, quiet: bool) -> int:
    """Verify the raw files of a dataset, or a pack, or every pack in a folder.

    A folder with an index.json is a pack, and so is an address, whose shards are fetched; a folder
    of such folders is verified pack by pack; anything else is a dataset's name, or DATASET/SPLIT.
    What only a split or part that was not fetched needs may be missing. With --deep, the
    samples of a dataset are read, their pictures decoded, and compared with the manifest; those
    of a pack with their own checksums, and its statistics are added up again. A dataset that
    dsets.lock has is compared with it too. Exit code 0 if all is right, 1 if anything is not.
    """
    if "://" in subject:
        with bars(quiet=quiet) as report:
            reports = [verify.pack(subject, deep=deep, progress=report)]
    elif folders := packs(Path(subject)):
        with bars(quiet=quiet) as report:
            reports = [verify.pack(folder, deep=deep, progress=report) for folder in folders]
    else:
        dataset, _, split = subject.partition("/")
        path = Path(subject)
        if dataset not in manifest.names() and (path.exists() or dataset in ("", ".", "..")):
            raise PackError(
                "no pack here", where=subject, expected="a folder with index.json, or of such"
            )
        found = in_force(dataset)
        if split:
            only = found.split(split)
            files = tuple(file for file in found.files if file.name in only.files)
            found = replace(found, files=files, splits=(replace(only, on_request=False),))
        reports = _dataset(found, lock_file, deep, quiet)
    if as_json:
        click.echo(json.dumps([{"ok": one.ok, **asdict(one)} for one in reports], indent=2))
    else:
        for one in reports:
            _print(one)
    return 0 if all(one.ok for one in reports) else 1


def _dataset(found: manifest.Manifest, lock: Path, deep: bool, quiet: bool) -> list[Report]:
    """The files; then, if it is asked for, the samples of each split whose files are here.

    In a damaged file, too: which samples are bad is what one wants to know then.
    """
    folder = store.raw(found.name)
    sources = [manifest.Source(found, split, folder) for split in found.splits]
    for source in sources:
        readers.load(found.reader).check(source)
    locked = read(lock).get(found.name)  # a damaged one is told before hours of reading
    with bars(quiet=quiet) as report:
        files = verify.files(found, folder, progress=report)
    if locked:
        names = {file.name for file in found.files}  # of one split, perhaps
        whole = {file.name for file in manifest.find(found.name).files}
        kept = {
            name: one for name, one in locked.files.items() if name in names or name not in whole
        }
        locked = replace(locked, files=kept)
        files = verify.locked(files, found, locked, lock)
    if not deep:
        return [files]
    here = [one for one in sources if all(one.path(file).is_file() for file in one.split.files)]
    with bars("samples", quiet=quiet) as report:
        return [files, *(verify.samples(source, report) for source in here)]


def _print(report: Report) -> None:
    for check in report.checks:
        word = "ok   " if check.ok else "WRONG"
        click.echo(f"{word}  {plain(report.subject)}  {plain(check.name)}: {plain(check.message)}")
