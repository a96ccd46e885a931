"""What the peers that have no decoder of their own are given: Pillow, as torchvision uses it."""

from __future__ import annotations

import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIDE = 256


def crop(path: str):
    """uint8 (256, 256, 3): shorter side to 256 (bilinear, antialiased), the central square."""
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(Path(path).read_bytes())).convert("RGB")
    width, height = image.size
    if width <= height:
        width, height = SIDE, max(SIDE, SIDE * height // width)
    else:
        width, height = max(SIDE, SIDE * width // height), SIDE
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def paths(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob("*.JPEG"))


def timed(work: Callable[[list[str], str], None]) -> None:
    """Run ``work(paths, out)`` on the folders of the command line and print what it took."""
    images, out = paths(sys.argv[1]), sys.argv[2]
    begin, spent = time.perf_counter(), processor_s()
    work(images, out)
    print(time.perf_counter() - begin, processor_s() - spent)


def processor_s() -> float:
    """Processor seconds of this process and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
