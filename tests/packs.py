"""Tiny packs for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsets.field import Field
from dsets.pack import Pack, Statistics, finish, samples_digest, shard


def written(
    folder: Path,
    fields: Sequence[Field],
    keys: Sequence[str],
    columns: Mapping[str, Any],
    *,
    shards: int = 1,
    split: str = "train",
    statistics: Statistics | None = None,
) -> Pack:
    """The pack of these columns, each with a value a key, spread evenly over ``shards``."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, rows in enumerate(np.array_split(np.arange(len(keys)), shards)):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        path = folder / f"shard-{number:05d}.h5"
        values = {name: column[part] for name, column in columns.items()}
        made.append(shard.write(path, fields, keys[part], values))
    finish(
        folder,
        split=split,
        fields=tuple(fields),
        shards=made,
        statistics=statistics,
        statistics_of=None,
        quarantine=(),
        samples_digest=samples_digest(keys),
        provenance={},
    )
    return Pack.open(folder)
