"""The manifest that is in force: the official one, or the variant that ``adopt`` wrote.

``dsets adopt --unverified`` writes a whole manifest into the store, beside the raw files, which
says what was really brought: sizes, digests, counts. ``find`` goes on giving the official one.
"""

from __future__ import annotations

from pathlib import Path

from dsets import store
from dsets.errors import ManifestError
from dsets.manifest.find import find
from dsets.manifest.listed import listed
from dsets.manifest.parse import parse
from dsets.manifest.schema import Manifest
from dsets.manifest.toml import LARGEST


def current(name: str) -> Manifest:
    """The adopted variant of a dataset where the store has one, else the official manifest.

    Its listings of digests and tables of classes, where they are in the store, are read.

    Raises:
        ManifestError: nobody knows the dataset, or the variant is damaged.
        DataError: a listing or table is not what the manifest says.
    """
    official = find(name)
    return listed(adopted(official.name) or official, store.raw(official.name))


def left_out(found: Manifest) -> tuple[str, ...]:
    """The splits that are meant where none is named, and that a variant does not have."""
    names = {split.name for split in found.splits}
    return tuple(one.name for one in find(found.name).default_splits if one.name not in names)


def unnamed(found: Manifest) -> str:
    """What to warn of where a table of classes is not here: whose labels nothing is compared with.

    Nothing where all tables are here that the official manifest names, or where a split demands
    them, so that nothing is done without.
    """
    here = {field.name for field in found.fields if field.classes}
    demanded = {name for split in found.splits for name in split.files}
    lacking: dict[str, list[str]] = {}
    for field, table in find(found.name).class_files:
        if field not in here and table not in demanded:
            lacking.setdefault(table, []).append(field)
    return "; ".join(
        f"{table} is not here: {' and '.join(fields)} have no names of classes, and are not "
        f"compared with them; fetch it with any part, or adopt it beside the records"
        for table, fields in lacking.items()
    )


def adopted(name: str) -> Manifest | None:
    """The variant in the store, or None.

    Raises:
        ManifestError: it is damaged, or is another dataset's.
    """
    path = variant_path(name)
    if not path.is_file():
        return None
    remedy = f"adopt the files again, or remove it with 'dsets remove {name}'"
    try:
        with path.open("rb") as file:
            found = parse(file.read(LARGEST + 1), str(path))
    except OSError as error:
        raise ManifestError("cannot be read", where=path, got=error.strerror) from error
    except ManifestError as error:
        error.remedy = remedy
        raise
    if found.name != name:
        raise ManifestError(
            "another dataset's manifest", where=path, expected=name, got=found.name, remedy=remedy
        )
    return found


def variant_path(name: str) -> Path:
    """Where the variant lies. No file of a manifest is hidden, so none is in its way."""
    return store.raw(name) / ".adopted.toml"
