"""The index of a pack, ``index.json``: written canonically, read as a stranger's.

Reading checks everything that can be known without opening a shard: after it, every dataset lies
inside its file, overlaps no other, and has the type and shape that the fields ask for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dsets.atomic import replacing
from dsets.errors import PackError, UsageError
from dsets.field import Field
from dsets.near import meant
from dsets.pack import extents, strict
from dsets.pack.mapping import open_plain
from dsets.pack.schema import (
    INDEX,
    MAJOR,
    STATISTICS,
    Extent,
    Index,
    Quarantined,
    Shard,
    StatisticsFile,
    check_fields,
    field_table,
)
from dsets.pack.strict import Table

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_NAMED = 5  # packs, where one was meant
CHANNELS = {1: "grey", 3: "RGB"}


def read(folder: Path) -> Index:
    """The index of the pack in ``folder``.

    Raises:
        PackError: there is no pack, or its index is damaged, hostile, or of an unknown version.
    """
    path = folder / INDEX
    try:
        with open_plain(path) as file:
            data = file.read(strict.BYTES + 1)
    except OSError as error:
        raise PackError(
            "no pack here",
            where=folder,
            expected=f"a folder with {INDEX}",
            got=error.strerror,
            remedy=_instead(folder),
        ) from error
    return parse(data, path)


def _instead(folder: Path) -> str:
    """What to give instead: a pack below, one beside of nearly that name, or a new one."""
    if below := [str(path.parent) for path in islice(folder.glob(f"*/{INDEX}"), _NAMED)]:
        return f"below it there are packs: give {' or '.join(sorted(below))}"
    beside = [path.parent.name for path in folder.parent.glob(f"*/{INDEX}")]
    return meant(folder.name, beside) or "'dsets prepare' makes packs, and says where they are"


def parse(data: bytes, where: object) -> Index:
    """What the bytes of an index say. ``where`` is for the messages.

    Raises:
        PackError: the index is damaged, hostile, or of an unknown version.
    """
    table = strict.load(data, where)
    version = table.table("format")
    major = version.integer("major")
    if major != MAJOR:
        raise PackError(
            "unknown format of pack",
            where=where,
            expected=f"major version {MAJOR}",
            got=major,
            remedy="read it with a newer dsets" if major > MAJOR else None,
        )
    fields = tuple(_read_field(item) for item in table.tables("fields"))
    check_fields(fields, where)
    index = Index(
        split=table.text("split"),
        fields=fields,
        shards=tuple(_read_shard(item, fields) for item in table.tables("shards")),
        statistics=table.optional(
            "statistics", lambda name: _read_statistics(table.table(name), fields)
        ),
        statistics_of=table.optional("statistics_of", table.sha256),
        quarantine=tuple(
            Quarantined(item.text("key"), item.text("reason"), item.optional("sha256", item.sha256))
            for item in table.tables("quarantine")
        ),
        samples_digest=table.sha256("samples_digest"),
        provenance=table.table("provenance").values,
        format=(major, version.integer("minor")),
    )
    _check(table, index)
    return index


def write(folder: Path, index: Index) -> None:
    """Write ``folder/index.json``, atomically."""
    with replacing(folder / INDEX) as part:
        part.write_bytes(render(index))


def render(index: Index) -> bytes:
    """The bytes of ``index.json``: the same index is always written the same."""
    statistics = index.statistics
    table = {
        "format": {"major": index.format[0], "minor": index.format[1]},
        "split": index.split,
        "samples": index.samples,
        "fields": [field_table(field) for field in index.fields],
        "shards": [
            {
                "name": shard.name,
                "samples": shard.samples,
                "bytes": shard.bytes,
                "sha256": shard.sha256,
                "datasets": _datasets(shard.datasets),
            }
            for shard in index.shards
        ],
        "statistics": None
        if statistics is None
        else {
            "name": STATISTICS,
            "field": statistics.field,
            "range": [0, 255],
            "channels": CHANNELS.get(statistics.datasets["square_sum"].shape[0], "unnamed"),
            "digest": statistics.digest,
            "bytes": statistics.bytes,
            "sha256": statistics.sha256,
            "datasets": _datasets(statistics.datasets),
        },
        "statistics_of": index.statistics_of,
        "quarantine": [
            {"key": bad.key, "reason": bad.reason, "sha256": bad.sha256} for bad in index.quarantine
        ],
        "samples_digest": index.samples_digest,
        "pack_digest": index.digest,
        "provenance": index.provenance,
        "provenance_digest": index.provenance_digest,
    }
    return (_pretty(table, "") + "\n").encode()


def _datasets(extents: Mapping[str, Extent]) -> dict[str, Any]:
    return {
        name: {
            "offset": extent.offset,
            "length": extent.length,
            "dtype": extent.dtype,
            "shape": list(extent.shape),
        }
        for name, extent in sorted(extents.items())
    }


def _pretty(value: Any, indent: str) -> str:
    """JSON with one thing a line: what fits in 100 columns stays together."""
    line = json.dumps(value, ensure_ascii=True, allow_nan=False)
    if not isinstance(value, Mapping | list) or len(indent) + len(line) < 98:
        return line
    inner = indent + "  "
    if isinstance(value, Mapping):
        items = [f"{json.dumps(name)}: {_pretty(item, inner)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        items = [_pretty(item, inner) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(inner + item for item in items)
    return f"{opening}\n{body}\n{indent}{closing}"


def _read_field(table: Table) -> Field:
    shape = table.list("shape")
    classes = table.list("classes")
    if any(size is not None and type(size) is not int for size in shape):
        raise table.wrong("shape", "a list of sizes or null", shape)
    if any(type(name) is not str for name in classes):
        raise table.wrong("classes", "a list of names", classes)
    try:
        return Field(
            table.text("name"),
            table.text("dtype"),
            tuple(shape),
            table.text("layout"),
            tuple(classes),
        )
    except UsageError as error:
        raise PackError("bad field", where=table.where, got=error) from error


def _read_shard(table: Table, fields: tuple[Field, ...]) -> Shard:
    shard = Shard(
        name=table.text("name", NAME),
        samples=table.integer("samples", low=1),
        bytes=table.integer("bytes"),
        sha256=table.sha256("sha256"),
        datasets=_read_datasets(table),
    )
    extents.check(shard.datasets, extents.of_shard(shard, fields), shard.bytes, table.where)
    return shard


def _read_statistics(table: Table, fields: tuple[Field, ...]) -> StatisticsFile:
    table.text("name", STATISTICS.replace(".", r"\."))
    statistics = StatisticsFile(
        field=table.text("field"),
        digest=table.sha256("digest"),
        bytes=table.integer("bytes"),
        sha256=table.sha256("sha256"),
        datasets=_read_datasets(table),
    )
    expected = extents.of_statistics(statistics, fields, table.where)
    extents.check(statistics.datasets, expected, statistics.bytes, table.where)
    return statistics


def _read_datasets(table: Table) -> dict[str, Extent]:
    datasets = table.table("datasets")
    found = {}
    for name in datasets.values:
        item = datasets.table(name)
        found[name] = Extent(
            item.integer("offset"),
            item.integer("length"),
            item.text("dtype"),
            item.integers("shape"),
        )
    return found


def _check(table: Table, index: Index) -> None:
    """What several values of an index must agree on."""
    if not index.shards:
        raise table.wrong("shards", "at least one", [])
    for what, names in (
        ("shards", [shard.name.lower() for shard in index.shards]),
        ("quarantine", [bad.key for bad in index.quarantine]),
    ):
        if len(set(names)) != len(names):
            raise PackError("the same name twice", where=f"{table.where}: {what}")
    if {INDEX, STATISTICS} & {shard.name.lower() for shard in index.shards}:
        raise PackError("a shard is called like another file", where=f"{table.where}: shards")
    if table.integer("samples") != index.samples:
        raise table.wrong(
            "samples", f"{index.samples}, the sum over the shards", table.values["samples"]
        )
    for name, digest in (
        ("pack_digest", index.digest),
        ("provenance_digest", index.provenance_digest),
    ):
        if table.sha256(name) != digest:
            raise table.wrong(name, digest, table.values[name])
