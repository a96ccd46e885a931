"""TOML → Manifest, strictly. The keys are described in ``manifests/__init__.py``.

A manifest may come from a stranger: nothing in it reaches a file system, an import, a terminal or
the network that has not been checked here first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from dsets.errors import ManifestError, UsageError
from dsets.field import DTYPES, RESERVED, Field
from dsets.manifest import toml
from dsets.manifest.families import families_of, files_of
from dsets.manifest.places import addresses_of, bad_address, file_name
from dsets.manifest.schema import (
    ACCESS,
    NOT_OFFERED,
    SCHEMA,
    Catalogue,
    File,
    Manifest,
    Member,
    Split,
)
from dsets.manifest.table import Table, shown

_DIGESTS = {"sha256": 64, "sha1": 40, "md5": 32}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAMES = "lower-case letters, digits, dots, _ and -"
_MODULE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def read(path: Path) -> Manifest:
    """The manifest in a file, which is named after the dataset: ``mnist.toml``.

    Raises:
        ManifestError: it cannot be read, breaks the schema, or has another name than its file.
    """
    manifest = parse(toml.read(path), str(path))
    if manifest.name != path.stem:
        raise ManifestError(
            "a manifest is named after its file",
            where=f"{path}: name",
            expected=shown(path.stem),
            got=shown(manifest.name),
        )
    return manifest


def parse(data: bytes, origin: str) -> Manifest:
    """The manifest in a TOML document; ``origin`` says in errors where it came from.

    Raises:
        ManifestError: not TOML, not the schema, or a schema of a later version.
    """
    top = Table(toml.loads(data, origin), origin)
    version = top.number("schema", 1)
    if version != SCHEMA:
        raise ManifestError(
            "this manifest is written for another version of dsets",
            where=f"{origin}: schema",
            expected=f"{SCHEMA}, the only schema that this dsets reads",
            got=version,
            remedy="upgrade dsets",
        )
    described = "catalogue" in top.values
    top.only(
        *("schema", "name", "title", "homepage", "licence", "access", "citation", "notes", "file"),
        *(
            ("catalogue",)
            if described
            else ("reader", "pipeline", "family", "split", "field", "catalogue")
        ),
    )
    files = tuple(_file(table) for table in top.tables("file"))
    families = families_of(top, {file.name for file in files})
    members = tuple(file for family in families for file in files_of(family))
    _distinct(top, "file", (file.name for file in (*files, *members)))
    known: dict[str, tuple[str, ...]] = {file.name: (file.name,) for file in (*files, *members)}
    known |= {family.name: tuple(family.names()) for family in families}
    named = {name: _split(name, table, known) for name, table in top.named("split").items()}
    absent = [name for name in named if top.named("split")[name].flag("absent")]
    splits = tuple(split for name, split in named.items() if name not in absent)
    manifest = Manifest(
        name=_matching(top, "name", _NAME, NAMES),
        title=_filled(top, "title"),
        homepage=_homepage(top),
        licence=_filled(top, "licence"),
        access=_one_of(top, "access", ACCESS),
        citation=_filled(top, "citation"),
        reader="" if described else _reader(top),
        pipeline="" if described else _pipeline(top),
        files=(*files, *members),
        families=families,
        splits=splits,
        fields=tuple(_field(name, table) for name, table in top.named("field").items()),
        digest=hashlib.sha256(data).hexdigest(),
        origin=origin,
        notes=top.text("notes", lines=True) if "notes" in top.values else "",
        catalogue=_catalogue(top.table("catalogue")) if described else None,
        absent=named[absent[0]] if absent else None,
        **_class_files(top, {file.name for file in files}),
    )
    _check_whole(top, manifest)
    return manifest


def _check_whole(top: Table, manifest: Manifest) -> None:
    """What no table can see alone. What is not offered may be described without files or splits."""
    withdrawn = manifest.access in NOT_OFFERED
    described = manifest.catalogue is not None
    if not manifest.fields and not described:
        raise top.error("field", "no fields", "at least one [field.NAME]", {})
    if not withdrawn and not described and not manifest.files:
        raise top.error("file", "no files", "at least one [[file]]", [])
    if not withdrawn and not described and not manifest.splits:
        raise top.error("split", "no splits", "at least one [split.NAME]", {})
    every = [split for split in (manifest.absent, *manifest.splits) if split]
    training = [split.name for split in every if split.training]
    if manifest.splits and training != [every[0].name]:
        expected = "training = true in the first split and in no other"
        raise top.error("split", "bad training split", expected, ", ".join(training))
    if manifest.splits and every[0].on_request:
        expected = "no on_request = true in the training split"
        raise top.error("split", "bad training split", expected, training[0])
    signed = [f.name for f in manifest.fields if f.dtype.startswith("int") and f.shape == ()]
    for split in manifest.splits:
        for name in split.withheld:
            if name not in signed:
                expected = f"fields of one signed integer: {', '.join(signed) or 'there is none'}"
                raise top.error(f"split.{split.name}.withheld", "bad field", expected, name)
    for i, file in enumerate(manifest.files):
        key = f"file[{i}].addresses"
        if withdrawn and (offered := (*file.addresses, *file.singly)):
            raise top.error(key, f"{manifest.access}, yet offered", "none", offered[0])
        if manifest.access == "open" and not file.addresses and not manifest.notes:
            expected = "an address, or notes that say where the file comes from"
            raise top.error(key, "no addresses", expected, [])


def _file(table: Table) -> File:
    table.only(
        "name",
        "addresses",
        "bytes",
        *_DIGESTS,
        "member",
        "unverified",
        "listed_bytes",
        "also",
        "part",
        "below",
        "singly",
        "known_as",
    )
    members = tuple(_member(inner) for inner in table.tables("member"))
    _distinct(table, "member", (member.name for member in members))
    name = file_name(table, "name")
    addresses = addresses_of(table, "addresses")
    also = table.texts("also")
    for i, digest in enumerate(also):
        algorithm, _, value = digest.partition(":")
        if not re.fullmatch(f"[0-9a-f]{{{_DIGESTS.get(algorithm, 0)}}}", value) or not value:
            expected = "sha256:, sha1: or md5: and lower-case hexadecimal digits"
            raise table.error(f"also[{i}]", "bad digest", expected, digest)
    return File(
        name=name,
        addresses=addresses,
        singly=addresses_of(table, "singly"),
        bytes=table.size("bytes"),
        sha256=_digest(table, "sha256"),
        sha1=_digest(table, "sha1"),
        md5=_digest(table, "md5"),
        members=members,
        unverified=table.flag("unverified"),
        listed_bytes=table.size("listed_bytes"),
        also=also,
        below=_below(table),
        part=_matching(table, "part", _NAME, "lower-case letters")
        if "part" in table.values
        else "",
        known_as=table.texts("known_as"),
    )


def _below(table: Table) -> tuple[str, ...]:
    paths = table.texts("below")
    for i, path in enumerate(paths):
        if not _relative(path):
            raise table.error(f"below[{i}]", "bad path", "a relative path with / and no ..", path)
    return paths


def _relative(path: str) -> bool:
    parts = path.split("/")
    return len(path) <= 1024 and "\\" not in path and all(part.strip(".") for part in parts)


def _member(table: Table) -> Member:
    table.only("name", "bytes", *_DIGESTS)
    name = table.text("name")
    if not _relative(name):
        raise table.error("name", "bad member name", "a relative path with / and no ..", name)
    return Member(
        name=name,
        bytes=table.size("bytes"),
        sha256=_digest(table, "sha256"),
        sha1=_digest(table, "sha1"),
        md5=_digest(table, "md5"),
    )


def check_name(name: str) -> None:
    """Raise UsageError unless a dataset may have this name, which names files and folders, too."""
    if not _NAME.fullmatch(name):
        raise UsageError("bad name of a dataset", expected=NAMES, got=repr(name))


def _split(name: str, table: Table, known: Mapping[str, tuple[str, ...]]) -> Split:
    table.only(
        *("samples", "files", "training", "withheld", "on_request", "reader", "whole_files"),
        *("absent", "counted"),
    )
    if not _NAME.fullmatch(name):
        raise table.error("", "bad split name", NAMES, name)
    absent = table.flag("absent")
    if absent and (not table.flag("training") or "files" in table.values):
        raise table.error("absent", "bad absent split", "the training split, without files", name)
    counted = table.flag("counted")
    if counted and ("samples" in table.values or not table.flag("on_request")):
        raise table.error(
            "counted", "bad counted split", "on_request = true, without samples", name
        )
    needed = () if absent else table.texts("files", needed=True)
    for i, file in enumerate(needed):
        if file not in known:
            expected = f"one of the {len(known)} names under [[file]] and [[family]]"
            raise table.error(f"files[{i}]", "no such file", expected, file)
    return Split(
        name=name,
        samples=0 if counted else table.number("samples", 1),
        files=tuple(one for file in needed for one in known[file]),
        training=table.flag("training"),
        options=table.table("reader").plain(),
        withheld=table.texts("withheld"),
        on_request=table.flag("on_request"),
        whole_files=table.size("whole_files"),
    )


def _class_files(top: Table, files: Set[str]) -> dict[str, Any]:
    """Which fields have their classes named in a file, and in which of its columns."""
    found, columns = [], set[tuple[str, ...]]()
    for name, table in top.named("field").items():
        if "classes_file" in table.values:
            file = table.text("classes_file")
            if file not in files:
                expected = "one of the names under [[file]]"
                raise table.error("classes_file", "no such file", expected, file)
            found.append((name, file))
            columns.add(table.texts("classes_columns", needed=True))
    if len(columns) > 1:
        raise top.error("field", "bad columns", "the same classes_columns everywhere", "others")
    return {"class_files": tuple(found), "class_columns": next(iter(columns), ())}


def _field(name: str, table: Table) -> Field:
    table.only("dtype", "shape", "classes", "classes_file", "classes_columns")
    if not _IDENTIFIER.fullmatch(name) or name in RESERVED:
        expected = f"an identifier of at most 64 ASCII letters, none of {', '.join(RESERVED)}"
        raise table.error("", "bad field name", expected, name)
    dtype = _one_of(table, "dtype", DTYPES)
    shape = table.numbers("shape")
    if len(shape) > 8 or any(n != -1 and not 0 < n < 2**31 for n in shape):
        expected = "at most 8 sizes from 1 to 2**31 - 1, or -1 for a size that varies"
        raise table.error("shape", "bad shape", expected, ", ".join(map(str, shape)))
    classes = table.texts("classes")
    unsigned, bits = dtype.startswith("u"), dtype.removeprefix("u").removeprefix("int")
    room = 2 ** (int(bits) - (not unsigned)) if bits.isdigit() else 0
    if len(classes) > room:
        raise table.error("classes", "too many classes", f"at most {room} for {dtype}", classes)
    return Field(name, dtype, tuple(None if n == -1 else n for n in shape), classes=classes)


def _digest(table: Table, algorithm: str) -> str | None:
    if algorithm not in table.values:
        return None
    digest = table.text(algorithm)
    if not re.fullmatch(f"[0-9a-f]{{{_DIGESTS[algorithm]}}}", digest):
        expected = f"{_DIGESTS[algorithm]} lower-case hexadecimal digits"
        raise table.error(algorithm, "bad digest", expected, digest)
    return digest


def _homepage(top: Table) -> str:
    homepage = top.text("homepage")
    if homepage and (bad_address(homepage) or not homepage.startswith(("http://", "https://"))):
        raise top.error("homepage", "bad address", "http(s)://…, or empty for none", homepage)
    return homepage


def _filled(table: Table, key: str) -> str:
    text = table.text(key, lines=key == "citation")
    if not text.strip():
        raise table.error(key, "empty text", "something to read", text)
    return text


def _catalogue(table: Table) -> Catalogue:
    table.only("status", "size")
    return Catalogue(_filled(table, "status"), _filled(table, "size"))


def _pipeline(top: Table) -> str:
    return _matching(top, "pipeline", _MODULE, "the name of a module in dsets.pipelines")


def _reader(top: Table) -> str:
    from dsets import readers  # imports the schema itself

    return _one_of(top, "reader", tuple(readers.names()))


def _one_of(table: Table, key: str, choices: tuple[str, ...]) -> str:
    choice = table.text(key)
    if choice not in choices:
        raise table.error(key, "unknown value", f"one of {', '.join(choices)}", choice)
    return choice


def _matching(table: Table, key: str, pattern: re.Pattern[str], expected: str) -> str:
    text = table.text(key)
    if not pattern.fullmatch(text):
        raise table.error(key, "bad name", expected, text)
    return text


def _distinct(table: Table, key: str, names: Iterable[str]) -> None:
    """Refuse names that some file systems take for the same."""
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name.casefold() in seen:
            raise table.error(f"{key}[{i}].name", "duplicate name", "names that differ", name)
        seen.add(name.casefold())
