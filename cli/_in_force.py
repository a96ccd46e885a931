"""The manifest that a command works with, and a word where it is not the official one."""

from __future__ import annotations

import click

from dsets import manifest

from ._text import count


def in_force(name: str) -> manifest.Manifest:
    """The adopted variant of a dataset where there is one, which stderr is told of; else its own.

    Raises:
        ManifestError: nobody knows the dataset, or its variant is damaged.
    """
    found = manifest.current(name)
    splits = [split for split in found.splits if found.unverified(split)]
    notes = []
    if splits:
        parts = ", ".join(f"{split.name} ({count(split.samples)} samples)" for split in splits)
        notes.append(f"{found.name} is adopted, unverified: {parts}")
    notes += [
        f"{found.name}/{one.name} is a part: {len(one.files)} of {one.whole_files} files"
        for one in found.splits
        if one.whole_files is not None and not any(found.file(name).family for name in one.files)
    ]
    if absent := manifest.left_out(found):
        notes.append(f"{found.name} is here without {', '.join(absent)}")
    for note in notes:
        click.echo(f"dsets: note: {note}", err=True)
    return found
