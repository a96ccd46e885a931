"""JPEGs of many kinds, with edges and noise, as Pillow encodes them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

#: Encoder options by name; "grey" is an image of one channel.
KINDS: dict[str, dict[str, Any]] = {
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "420": {"subsampling": "4:2:0"},
    "grey": {},
    "progressive": {"subsampling": "4:2:0", "progressive": True},
    "restarts": {"subsampling": "4:2:0", "restart_marker_blocks": 3},
    "optimised": {"subsampling": "4:2:0", "optimize": True},
}


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, 3): coloured patches with soft edges, and noise."""
    random = np.random.default_rng([seed, height, width])
    patches = random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    smooth = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
    noise = random.integers(-30, 31, (height, width, 3))
    return (np.asarray(smooth).astype(np.int64) + noise).clip(0, 255).astype(np.uint8)


def jpeg(height: int, width: int, kind: str = "420", seed: int = 0, quality: int = 90) -> bytes:
    image = Image.fromarray(pixels(height, width, seed))
    target = io.BytesIO()
    image = image.convert("L") if kind == "grey" else image
    image.save(target, "JPEG", quality=quality, **KINDS[kind])
    return target.getvalue()
