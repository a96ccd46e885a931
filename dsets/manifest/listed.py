"""What a manifest leaves to files of the dataset: digests in listings, names of classes in tables.

Both files came from elsewhere; a listing adds no file, and a table no field.
"""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsets.errors import DataError
from dsets.manifest.family import Family
from dsets.manifest.schema import File, Manifest

_MOST_BYTES = 64 << 20
_MOST_CLASSES = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")
_REMEDY = "remove it and fetch it again"


def listed(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with what its listings and tables in ``folder`` add, as far as they are there.

    Raises:
        DataError: one is there and not what it should be.
    """
    digests: dict[str, str] = {}
    for family in manifest.families:
        if family.listing and (folder / family.listing).is_file():
            digests |= _digests(family, folder / family.listing)
    files = manifest.files
    if digests:
        files = tuple(_proved(file, digests) for file in files)
    classes = {
        field: _classes(path, manifest.class_columns)
        for field, name in manifest.class_files
        if (path := _there(manifest, folder, name))
    }
    if not digests and not classes:
        return manifest
    fields = tuple(
        replace(field, classes=classes[field.name]) if field.name in classes else field
        for field in manifest.fields
    )
    return replace(manifest, files=files, fields=fields)


def _proved(file: File, digests: dict[str, str]) -> File:
    return replace(file, md5=digests[file.name]) if file.name in digests else file


def _there(manifest: Manifest, folder: Path, name: str) -> Path | None:
    """The file of this name, if it is there."""
    path = folder / manifest.file(name).name
    return path if path.is_file() else None


def _digests(family: Family, path: Path) -> dict[str, str]:
    """Name in the store → md5, of a listing {"files": {"train00.tfrecord": "…"}}."""
    try:
        found: Any = json.loads(_data(path))["files"]
        pairs = [(str(name), str(value)) for name, value in found.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _error(path, 'JSON with md5 digests by name under "files"', error) from error
    digests = {}
    for name, md5 in pairs:
        number = family.number(name)
        if number is None or name != family.published_name(number):
            continue  # not of this family, whatever it is
        if not _MD5.fullmatch(md5):
            raise _error(path, f"an md5 of {name}", f"{md5!a:.60}")
        digests[family.file_name(number)] = md5
    if not digests:
        raise _error(path, f"files called {family.published}", f"{len(pairs)} others")
    return digests


def _classes(path: Path, columns: tuple[str, ...]) -> tuple[str, ...]:
    names = []
    try:
        rows = csv.DictReader(_data(path).decode("utf-8-sig").splitlines(keepends=True))
        for row in rows:
            names.append(next((text for column in columns if (text := row.get(column))), ""))
            if len(names) > _MOST_CLASSES:
                raise _error(path, f"at most {_MOST_CLASSES:,} rows", "more")
    except (UnicodeDecodeError, csv.Error) as error:
        raise _error(path, "CSV in UTF-8", error) from error
    if not names or not all(name and name.isprintable() for name in names):
        raise _error(path, f"a printable {' or '.join(columns)} in each row", "none in some")
    return tuple(names)


def _data(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _error(path, "a file that can be read", error.strerror) from error
    if len(data) > _MOST_BYTES:
        raise DataError(
            "too long for a listing or a table of classes",
            where=path,
            expected=f"at most {_MOST_BYTES:,} bytes",
            got=f"{size:,}",
            remedy=_REMEDY,
        )
    return data


def _error(path: Path, expected: str, got: object) -> DataError:
    what = "not what the manifest says it is"
    return DataError(what, where=path, expected=expected, got=got, remedy=_REMEDY)
