"""Finish a pack: when all its shards lie in the folder, write statistics and index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import digests, hdf5, index
from dsets.pack.hdf5 import Data
from dsets.pack.mapping import check_file
from dsets.pack.schema import INDEX, STATISTICS, Index, Quarantined, Shard, StatisticsFile
from dsets.pack.statistics import NAMES, Statistics


def finish(
    folder: Path,
    *,
    split: str,
    fields: Sequence[Field],
    shards: Sequence[Shard],
    statistics: Statistics | None,
    statistics_of: str | None,
    quarantine: Sequence[Quarantined],
    samples_digest: str,
    provenance: Mapping[str, Any],
) -> Index:
    """Write ``statistics.h5`` and then ``index.json``, which makes the folder a pack.

    The index is first read back as strictly as a stranger's, so what this returns opens.

    Raises:
        PackError: the parts don't make a pack.
    """
    for shard in shards:
        check_file(folder / shard.name, shard.bytes)
    made = Index(
        split=split,
        fields=tuple(fields),
        shards=tuple(shards),
        statistics=write_statistics(folder, statistics) if statistics else None,
        statistics_of=statistics_of,
        quarantine=tuple(quarantine),
        samples_digest=samples_digest,
        provenance=_plain(provenance, folder),
    )
    index.parse(index.render(made), folder / INDEX)
    index.write(folder, made)
    return made


def _plain(provenance: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The same as JSON gives it back: sorted, and lists where there were tuples."""
    try:
        plain: dict[str, Any] = json.loads(digests.canonical(provenance))
    except (TypeError, ValueError) as error:
        raise PackError("provenance is not JSON", where=where, got=error) from error
    return plain


def write_statistics(folder: Path, statistics: Statistics) -> StatisticsFile:
    """Write ``statistics.h5``, atomically; the same statistics are always written the same."""
    arrays = dict(zip(NAMES, statistics.arrays(), strict=True))
    written = hdf5.write(
        folder / STATISTICS, {name: Data.of(array) for name, array in arrays.items()}
    )
    return StatisticsFile(
        field=statistics.field,
        digest=statistics.digest,
        bytes=written.bytes,
        sha256=written.sha256,
        datasets=written.datasets,
    )
