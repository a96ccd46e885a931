"""How close each resize profile comes to other libraries, on real pictures.

    python benchmarks/parity.py FOLDER

FOLDER holds pictures: loose, or in tars, or in tars of tars. Each becomes 256 x 256 (shorter side
to 256, central crop) by every profile and by every other way, all of which get the same sizes and
crop offsets. Prints the Markdown table of docs/profiles.md: PSNR per picture, median and 5th
percentile over the pictures, and the mean absolute difference over all values.

Needs torch, whose ``interpolate(antialias=True)`` on uint8 is the kernel that torchvision's resize
calls, and opencv-python-headless.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from constants import pictures
from PIL import Image

from dsets import codecs

SIDE = 256
Way = Callable[[bytes], np.ndarray]


def by_profile(name: str) -> Way:
    profile = codecs.profile(name)
    return lambda data: codecs.resized(data, geometry, profile)


def by_pillow(kind: Image.Resampling) -> Way:
    def way(data: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        size = geometry(*image.size)
        return cropped(np.asarray(image.resize((size.width, size.height), kind)), size)

    return way


def by_opencv(kind: int) -> Way:
    def way(data: bytes) -> np.ndarray:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)[:, :, ::-1]
        size = geometry(image.shape[1], image.shape[0])
        resized = cv2.resize(image, (size.width, size.height), interpolation=kind)
        return cropped(resized, size)

    return way


def by_torch(mode: str) -> Way:
    def way(data: bytes) -> np.ndarray:
        image = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        size = geometry(image.shape[1], image.shape[0])
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(
            tensor, (size.height, size.width), mode=mode, antialias=True
        )
        return cropped(resized[0].permute(1, 2, 0).numpy(), size)

    return way


def geometry(width: int, height: int) -> codecs.Resize:
    return codecs.centre_crop(width, height, SIDE)


def cropped(pixels: np.ndarray, size: codecs.Resize) -> np.ndarray:
    return pixels[size.top : size.top + SIDE, size.left : size.left + SIDE]


WAYS: Mapping[str, Way] = {
    "Pillow bilinear": by_pillow(Image.Resampling.BILINEAR),
    "Pillow bicubic": by_pillow(Image.Resampling.BICUBIC),
    "torchvision bilinear, antialias": by_torch("bilinear"),
    "torchvision bicubic, antialias": by_torch("bicubic"),
    "OpenCV INTER_AREA": by_opencv(cv2.INTER_AREA),
    "OpenCV INTER_LINEAR": by_opencv(cv2.INTER_LINEAR),
}


def row(ours: list[np.ndarray], theirs: list[np.ndarray]) -> str:
    """Of one profile against one other way."""
    psnr, absolute, same = [], [], 0
    for one, other in zip(ours, theirs, strict=True):
        difference = one.astype(np.float64) - other
        mean_square = np.mean(difference**2)
        same += mean_square == 0
        psnr.append(np.inf if mean_square == 0 else 10 * np.log10(255**2 / mean_square))
        absolute.append(np.abs(difference).mean())
    median, low = (_decibels(np.quantile(psnr, q, method="lower")) for q in (0.5, 0.05))
    return f"{median} | {low} | {np.mean(absolute):.3f} | {same} of {len(ours)}"


def _decibels(value: float) -> str:
    return "identical" if np.isinf(value) else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = list(pictures(parser.parse_args().folder))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    made = {name: [by_profile(name)(data) for data in found] for name in codecs.PROFILES}
    print(f"Pillow {Image.__version__}, OpenCV {cv2.__version__}, torch {torch.__version__}\n")
    print("| profile | against | median PSNR, dB | 5th percentile | mean difference | identical |")
    print("| --- | --- | --- | --- | --- | --- |")
    for other, way in WAYS.items():
        theirs = [way(data) for data in found]
        for name, ours in made.items():
            print(f"| `{name}` | {other} | {row(ours, theirs)} |", flush=True)


if __name__ == "__main__":
    main()
