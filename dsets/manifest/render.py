"""Manifest → TOML: what ``adopt`` writes. Reading it back gives an equal manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dsets.manifest.family import Family
from dsets.manifest.schema import File, Manifest

_TOP = ("schema", "name", "title", "homepage", "licence", "access", "citation")
_FILE = ("bytes", "sha256", "sha1", "md5", "listed_bytes")
_MEMBER = ("bytes", "sha256", "sha1", "md5")


def render(manifest: Manifest) -> bytes:
    """The manifest as a TOML document of schema 1, always the same bytes for equal manifests.

    ``parse`` gives it back in every detail but ``origin`` and ``digest``, which are of the
    document.
    """
    return ("\n".join(_lines(manifest)) + "\n").encode()


def _lines(manifest: Manifest) -> Iterator[str]:
    yield from (f"{key} = {_value(getattr(manifest, key))}" for key in _TOP)
    if manifest.catalogue is None:
        yield f"reader = {_value(manifest.reader)}"
        yield f"pipeline = {_value(manifest.pipeline)}"
    if manifest.notes:
        yield f"notes = {_value(manifest.notes)}"
    if manifest.catalogue is not None:
        yield from ("", "[catalogue]", f"status = {_value(manifest.catalogue.status)}")
        yield f"size = {_value(manifest.catalogue.size)}"
    for file in manifest.files:
        if not file.family:
            yield from _file(file)
    for family in manifest.families:
        yield from _family(family, {file.name for file in manifest.files})
    for split in ((manifest.absent,) if manifest.absent else ()) + manifest.splits:
        yield from ("", f"[split.{_key(split.name)}]")
        yield f"samples = {split.samples}" if split.samples else "counted = true"
        if split.training:
            yield "training = true"
        if split is manifest.absent:
            yield "absent = true"
        else:
            yield f"files = {_value(_named(manifest, split.files))}"
        if split.withheld:
            yield f"withheld = {_value(split.withheld)}"
        if split.on_request:
            yield "on_request = true"
        if split.whole_files is not None:
            yield f"whole_files = {split.whole_files}"
        if split.options:
            yield from ("", f"[split.{_key(split.name)}.reader]")
            yield from (f"{_key(key)} = {_value(value)}" for key, value in split.options.items())
    for field in manifest.fields:
        shape = tuple(-1 if size is None else size for size in field.shape)
        yield from ("", f"[field.{_key(field.name)}]", f"dtype = {_value(field.dtype)}")
        yield f"shape = {_value(shape)}"
        if table := dict(manifest.class_files).get(field.name):
            yield f"classes_file = {_value(table)}"
            yield f"classes_columns = {_value(manifest.class_columns)}"
        elif field.classes:
            yield f"classes = {_value(field.classes)}"


def _named(manifest: Manifest, files: tuple[str, ...]) -> tuple[str, ...]:
    """The names, in which a family stands for its files where it is all that there are of it."""
    for family in manifest.families:
        known = {file.name for file in manifest.files if file.family == family.name}
        names = tuple(name for name in family.names() if name in known)
        for start in range(len(files) - len(names) + 1 if names else 0):
            if files[start] == names[0] and files[start : start + len(names)] == names:
                files = (*files[:start], family.name, *files[start + len(names) :])
                break
    return files


def _family(family: Family, files: set[str]) -> Iterator[str]:
    numbers = tuple(n for n in family.present if family.file_name(n) in files)
    if not numbers:
        return
    yield from ("", "[[family]]", f"name = {_value(family.name)}", f"count = {family.count}")
    for key in ("published", "alphabet", "called", "folders", "listing", "about_bytes"):
        if value := getattr(family, key):
            yield f"{key} = {_value(value)}"
    if len(numbers) < family.count:
        yield f"numbers = {_value(numbers)}"


def _file(file: File) -> Iterator[str]:
    yield from ("", "[[file]]", f"name = {_value(file.name)}")
    if file.unverified:
        yield "unverified = true"
    for key in _FILE:
        if (value := getattr(file, key)) is not None:
            yield f"{key} = {_value(value)}"
    if file.also:
        yield f"also = {_value(file.also)}"
    if file.part:
        yield f"part = {_value(file.part)}"
    if file.below:
        yield f"below = {_value(file.below)}"
    if file.known_as:
        yield f"known_as = {_value(file.known_as)}"
    if file.addresses:
        yield f"addresses = {_value(file.addresses)}"
    if file.singly:
        yield f"singly = {_value(file.singly)}"
    for member in file.members:
        yield from ("", "[[file.member]]", f"name = {_value(member.name)}")
        for key in _MEMBER:
            if (value := getattr(member, key)) is not None:
                yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)  # of whole numbers and floats, inf and nan included, TOML's own spelling


def _key(key: str) -> str:
    plain = key.isascii() and key.replace("-", "_").isidentifier()
    return key if plain else _quoted(key)


def _quoted(text: str) -> str:
    # JSON's escapes are all TOML's too; DEL is the one character that only JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
