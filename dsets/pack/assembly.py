"""Finish a pack: when all its shards lie in the folder, write statistics and index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import hdf5, index
from dsets.pack.hdf5 import Data
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

    What was written is read back as strictly as a stranger's, so a pack that this returns opens.

    Raises:
        PackError: the parts don't make a pack.
    """
    made = Index(
        split=split,
        fields=tuple(fields),
        shards=tuple(shards),
        statistics=_write(folder, statistics) if statistics else None,
        statistics_of=statistics_of,
        quarantine=tuple(quarantine),
        samples_digest=samples_digest,
        provenance=provenance,
    )
    if index.parse(index.render(made), folder / INDEX) != made:
        raise PackError("the index does not survive being written", where=folder)
    index.write(folder, made)
    return made


def _write(folder: Path, statistics: Statistics) -> StatisticsFile:
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
