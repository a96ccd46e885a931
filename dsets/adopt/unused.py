"""Why files that only have an official one's name are not used, and what helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from dsets import readers
from dsets.adopt import choosing
from dsets.adopt.matching import purpose
from dsets.adopt.parts import Lack, Stranger
from dsets.errors import UsageError
from dsets.manifest import Manifest, Source, Split

_NAMED = 3  # missing files


def notes(
    manifest: Manifest, folder: Path, strangers: Sequence[Stranger], lacks: Sequence[Lack]
) -> Iterator[str]:
    """A line for each, and one for each split that cannot be had with them because it lacks more.

    ``folder`` is where the dataset's files lie.
    """
    waiting: dict[str, None] = {}
    for part in strangers:
        missing, reason = _missing(manifest, part.called, lacks), ""
        if missing:
            names = list(dict.fromkeys(name for some in missing.values() for name in some))
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            reason = f" without {', '.join(names[:_NAMED])}{more}"
            waiting |= dict.fromkeys(missing)
        yield (
            f"{part.path}: not used for {purpose(manifest, part.called)}{reason}; "
            f"it is not the official {part.called} ({part.why})"
        )
    if manifest.access == "open":  # of others, no command brings the rest
        yield from (_remedy(manifest, folder, manifest.split(name)) for name in waiting)


def _missing(manifest: Manifest, name: str, lacks: Sequence[Lack]) -> dict[str, list[str]]:
    """Split that needs the file → its other files that are missing, and needed."""
    found: dict[str, list[str]] = {}
    for lack in lacks:
        split = manifest.split(lack.split)
        files = split.files
        if name in files and lack.what in files and lack.what != name:
            found.setdefault(lack.split, []).append(lack.what)
    for split_name, missing in found.items():
        split = manifest.split(split_name)
        spare = choosing.spare(manifest, split, set(split.files) - set(missing))
        found[split_name] = [one for one in missing if one not in spare]
    return found


def _remedy(manifest: Manifest, folder: Path, split: Split) -> str:
    command = f"{manifest.name} --split {split.name}"
    groups = choosing.groups(manifest, split)
    grouped = {name for names in groups for name in names}
    needs = ", ".join(name for name in split.files if name not in grouped)
    some = [f"at least one of {names[0]} … {names[-1]}" for names in groups]
    what = (
        " and ".join(filter(None, (needs, *some)))
        if groups
        else f"all of its {len(split.files)} files"
    )
    line = (
        f"{split.name} needs {what}, and unofficial ones are adopted with these only: name them in "
        f"one call, or let 'dsets fetch {command}' bring the official ones"
    )
    with suppress(UsageError):
        readers.selectable(manifest.reader).choice(Source(manifest, split, folder))
        line += f"; 'dsets subset {command} --max 100' makes a dataset of so many of its images"
    return line
