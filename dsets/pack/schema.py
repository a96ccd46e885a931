"""What a pack's index says, as frozen dataclasses. ``dsets.pack.index`` reads and writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsets.errors import PackError
from dsets.field import RESERVED, Field
from dsets.pack import digests

MAJOR, MINOR = 1, 0
ALIGNMENT = 4096
INDEX = "index.json"
STATISTICS = "statistics.h5"


def field_table(field: Field) -> dict[str, Any]:
    """A field as it stands in the index."""
    return {
        "name": field.name,
        "dtype": field.dtype,
        "shape": list(field.shape),
        "layout": field.layout,
        "classes": list(field.classes),
    }


def check_fields(fields: Sequence[Field], where: object = None) -> None:
    """Raise PackError unless there are fields, of different and unreserved names."""
    names = [field.name for field in fields]
    if not fields or len(set(names)) != len(names) or set(names) & set(RESERVED):
        raise PackError(
            "these cannot be the fields of a pack",
            where=where,
            expected=f"different names, none of {', '.join(RESERVED)}",
            got=", ".join(names) or "none",
        )


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one dataset lies in its file: values of ``shape``, little-endian, row-major."""

    offset: int
    length: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard file: its name in the pack's folder, and its datasets by HDF5 path."""

    name: str
    samples: int
    bytes: int
    sha256: str
    datasets: Mapping[str, Extent]


@dataclass(frozen=True, slots=True)
class StatisticsFile:
    """The file of exact statistics. ``digest`` is of the integers, whatever file holds them."""

    field: str
    digest: str
    bytes: int
    sha256: str
    datasets: Mapping[str, Extent]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A sample left out: its key, why, and the sha256 of the bytes that could not be used; None
    where there were none to be had."""

    key: str
    reason: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Index:
    """Everything that is known of a pack without opening a shard.

    ``statistics`` is there in a training pack; ``statistics_of`` in the others of the same
    preparation: the digest of the training pack. ``provenance`` is any JSON object.
    """

    split: str
    fields: tuple[Field, ...]
    shards: tuple[Shard, ...]
    statistics: StatisticsFile | None
    statistics_of: str | None
    quarantine: tuple[Quarantined, ...]
    samples_digest: str
    provenance: Mapping[str, Any]
    format: tuple[int, int] = (MAJOR, MINOR)

    @property
    def samples(self) -> int:
        """How many samples the pack has."""
        return sum(shard.samples for shard in self.shards)

    @property
    def unverified(self) -> tuple[str, ...]:
        """The raw files that nobody published, taken on somebody's word; none as a rule."""
        names = self.provenance.get("unverified", ())
        return tuple(map(str, names)) if isinstance(names, list | tuple) else (str(names),)

    @property
    def digest(self) -> str:
        """The pack digest: of everything but how and where the pack was made."""
        statistics = self.statistics
        return digests.digest(
            {
                "format": list(self.format),
                "split": self.split,
                "fields": [field_table(field) for field in self.fields],
                "shards": [shard.sha256 for shard in self.shards],
                "statistics": [statistics.field, statistics.digest] if statistics else None,
                "quarantine": [[bad.key, bad.reason, bad.sha256] for bad in self.quarantine],
            }
        )

    @property
    def provenance_digest(self) -> str:
        """The digest of how the pack was made, and of which training pack belongs to it."""
        return digests.digest([self.statistics_of, self.provenance])
