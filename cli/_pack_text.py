"""A pack for people and for machines: what ``dsets show PACK`` prints, from its index alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dsets.field import Field
from dsets.pack.schema import Index

from ._manifest_text import field_data, field_lines, section
from ._text import count, plain, size, table

#: Bad samples that are listed one by one.
LISTED = 20


def as_data(path: Path | str, index: Index) -> dict[str, Any]:
    """The pack for JSON."""
    statistics = index.statistics
    return {
        "path": str(path),
        "format": list(index.format),
        "split": index.split,
        "unverified": list(index.unverified),
        "samples": index.samples,
        "bytes": _bytes(index),
        "fields": [{**field_data(field), "layout": field.layout} for field in index.fields],
        "shards": [
            {
                "name": shard.name,
                "samples": shard.samples,
                "bytes": shard.bytes,
                "sha256": shard.sha256,
            }
            for shard in index.shards
        ],
        "statistics": statistics and {"field": statistics.field, "digest": statistics.digest},
        "statistics_of": index.statistics_of,
        "quarantine": [
            {"key": bad.key, "reason": bad.reason, "sha256": bad.sha256} for bad in index.quarantine
        ],
        "samples_digest": index.samples_digest,
        "pack_digest": index.digest,
        "provenance": index.provenance,
        "provenance_digest": index.provenance_digest,
    }


def as_text(path: Path | str, index: Index) -> str:
    """The pack for people."""
    about = [
        ("split", plain(index.split)),
        *([("unverified", _unverified(index))] if index.unverified else []),
        ("samples", count(index.samples)),
        ("size", size(_bytes(index))),
        ("format", ".".join(map(str, index.format))),
        ("statistics", _statistics(index)),
        ("samples digest", index.samples_digest),
        ("pack digest", index.digest),
        ("provenance digest", index.provenance_digest),
    ]
    shards = [
        (shard.name, count(shard.samples), size(shard.bytes), shard.sha256)
        for shard in index.shards
    ]
    parts = [
        f"pack {path}",
        table(about),
        section("fields", map(_stored, index.fields, field_lines(index.fields))),
        section(f"{count(len(shards))} shards", [table(shards)]),
        section("provenance", [table(_leaves(index.provenance))]),
        section(
            f"quarantine, {count(len(index.quarantine))} samples",
            [quarantine_text([asdict(bad) for bad in index.quarantine])],
        ),
    ]
    return "\n\n".join(parts)


def _stored(field: Field, line: str) -> str:
    return f"{line}  stored {field.layout}" if len(field.shape) == 3 else line


def _bytes(index: Index) -> int:
    statistics = index.statistics.bytes if index.statistics else 0
    return sum(shard.bytes for shard in index.shards) + statistics


def _unverified(index: Index) -> str:
    names = plain(" ".join(index.unverified))
    return f"made from files that are not the official ones: {names}"


def _statistics(index: Index) -> str:
    if index.statistics:
        return f"of {plain(index.statistics.field)}, {index.statistics.digest}"
    return f"in the training pack, {index.statistics_of}" if index.statistics_of else "none"


def quarantine_text(quarantine: Sequence[Mapping[str, str | None]]) -> str:
    """Samples left out: key, sha256 and reason. Of very many, the first, and how many a reason."""
    rows = [
        (plain(str(bad["key"])), bad["sha256"] or "no bytes", plain(str(bad["reason"])))
        for bad in quarantine[:LISTED]
    ]
    if len(quarantine) <= LISTED:
        return table(rows)
    reasons = Counter(str(bad["reason"]) for bad in quarantine).most_common(LISTED)
    counted = table([(count(number), plain(reason)) for reason, number in reasons])
    more = f"… {count(len(quarantine) - LISTED)} more (--json has them all); of all, by reason:"
    return f"{table(rows)}\n{more}\n{counted}"


def _leaves(values: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    """A JSON object flattened: ``environment.numpy  2.4.1``."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{path}{key}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((plain(f"{path}{key}"), plain(text)))
    return rows
