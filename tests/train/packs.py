"""Tiny packs that a tiny net can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dsets import codecs, pack
from dsets.field import Field


def make_packs(folder: Path) -> Path:
    """Packs of 40 training and 12 test samples, three classes, 16x16x1, in ``folder``."""
    training = make_pack(folder / "train", samples=40)
    make_pack(folder / "test", samples=12, training=training, seed=1)
    return folder


def make_pack(
    folder: Path,
    *,
    samples: int,
    training: Path | None = None,
    seed: int = 0,
    classes: int = 3,
    shape: tuple[int, int, int] = (16, 16, 1),
    labels: np.ndarray | None = None,
    encoded: bool = False,
) -> Path:
    """A pack of two shards. Images of class c are noise around the level 60 * c; ``encoded`` ones
    are PNG."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples) if labels is None else labels
    noise = random.integers(0, 100, (samples, *shape))
    images = np.clip(60 * labels[:, None, None, None] + noise, 0, 255).astype(np.uint8)
    keys = [f"{folder.name}/{number:05}" for number in range(samples)]
    names = tuple(f"class {number}" for number in range(classes))
    fields = (
        Field("image", "uint8", (None,) if encoded else shape),
        Field("label", "int64", (), classes=names),
    )
    folder.mkdir(parents=True)
    stored: Any = images
    if encoded:
        stored = [np.frombuffer(codecs.encode_png(image), np.uint8) for image in images]
    halves = [slice(0, samples // 2), slice(samples // 2, samples)]
    pack.finish(
        folder,
        split=folder.name,
        fields=fields,
        shards=[
            pack.shard.write(
                folder / f"shard-{number:05}.h5",
                fields,
                keys[half],
                {"image": stored[half], "label": labels[half]},
            )
            for number, half in enumerate(halves)
        ],
        statistics=None if training else pack.Statistics.of(images),
        statistics_of=pack.Pack.open(training).digest if training else None,
        quarantine=(),
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )
    return folder
