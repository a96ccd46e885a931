"""Peers of the JPEG streaming benchmark; runs where torch, FFCV and DALI are, without dsets.

    python benchmarks/stream_jpeg_peers.py {dataloader,ffcv,dali} FOLDER [pixels]

FOLDER holds ``bytes.npy`` and ``bounds.npy``, the JPEGs and where each begins, and ``images.tar``.
Filters: DALI antialiased bilinear and the DataLoader Pillow's, as ours; FFCV has no choice, it is
OpenCV's INTER_AREA. ``pixels`` writes what the boxes of ``boxes.npy`` look like.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestant import MEAN, STD, serve
from PIL import Image

LONG, BATCH, SIDE, SIZE = 100_000, 256, 256, 224


class Jpegs:
    """The encoded images by number."""

    def __init__(self, folder: Path) -> None:
        self.bytes = np.load(folder / "bytes.npy", mmap_mode="r")
        self.bounds = np.load(folder / "bounds.npy").astype(np.int64)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, number: int) -> np.ndarray:
        return np.array(self.bytes[self.bounds[number] : self.bounds[number + 1]])


def random_box(random: np.random.Generator) -> tuple[int, int, int, int]:
    """(top, left, height, width), as the usual random resized crop."""
    for _ in range(10):
        area = SIDE * SIDE * random.uniform(0.08, 1)
        aspect = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        height, width = round(np.sqrt(area / aspect)), round(np.sqrt(area * aspect))
        if 0 < height <= SIDE and 0 < width <= SIDE:
            top, left = random.integers(0, SIDE - height + 1), random.integers(0, SIDE - width + 1)
            return int(top), int(left), height, width
    return 0, 0, SIDE, SIDE


def shown(data: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = box
    image = Image.open(io.BytesIO(data.tobytes())).convert("RGB")
    image = image.crop((left, top, left + width, top + height))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


class Crops(torch.utils.data.Dataset):
    def __init__(self, folder: Path) -> None:
        self.jpegs = Jpegs(folder)
        self.scale = (1 / np.array(STD, np.float32)).reshape(3, 1, 1)
        self.bias = (-np.array(MEAN, np.float32)).reshape(3, 1, 1) * self.scale

    def __len__(self) -> int:
        return len(self.jpegs)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        pixels = shown(self.jpegs[number], random_box(random))
        pixels = pixels[:, :: -1 if random.integers(2) else 1]
        out = np.empty((3, SIZE, SIZE), np.float32)
        np.multiply(pixels.transpose(2, 0, 1), self.scale, out=out)
        out += self.bias
        return torch.from_numpy(out), number


def dataloader(folder: Path) -> Iterator[Any]:
    """Pillow, two workers."""
    images = Crops(folder)
    sampler = torch.utils.data.RandomSampler(images, replacement=True, num_samples=LONG)
    while True:
        for batch in torch.utils.data.DataLoader(images, BATCH, sampler=sampler, num_workers=2):
            yield batch[0]


def ffcv(folder: Path) -> Iterator[Any]:
    from ffcv.fields import RGBImageField
    from ffcv.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter

    class Written(RGBImageField):
        """Takes JPEGs as they are, where FFCV would encode pixels once more."""

        def encode(self, destination: Any, field: Any, malloc: Any) -> None:
            destination["mode"], destination["height"], destination["width"] = 0, SIDE, SIDE
            destination["data_ptr"], storage = malloc(field.nbytes)
            storage[:] = field

    path, jpegs = folder / "images.beton", Jpegs(folder)
    if not path.exists():
        rows = [(jpegs[number],) for number in range(len(jpegs))]
        DatasetWriter(str(path), {"image": Written()}, num_workers=1).from_indexed_dataset(rows)
    normalise = NormalizeImage(np.array(MEAN), np.array(STD), np.float32)
    decoder = RandomResizedCropRGBImageDecoder((SIZE, SIZE))
    steps = [decoder, RandomHorizontalFlip(), normalise, ToTensor(), ToTorchImage()]
    loader = Loader(
        str(path),
        batch_size=BATCH,
        num_workers=2,
        order=OrderOption.RANDOM,
        os_cache=True,
        indices=np.arange(LONG) % len(jpegs),
        custom_fields={"image": RGBImageField},
        pipelines={"image": steps},
    )
    while True:
        for batch in loader:
            yield batch[0]


def dali(folder: Path) -> Iterator[Any]:
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None)
    def pipe() -> Any:
        encoded = fn.readers.webdataset(
            paths=str(folder / "images.tar"), ext=["jpg"], random_shuffle=True, initial_fill=1024
        )
        decoded = fn.decoders.image_random_crop(
            encoded, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        return fn.crop_mirror_normalize(
            _resized(decoded),
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=list(MEAN),
            std=list(STD),
            mirror=fn.random.coin_flip(),
        )

    running = pipe()
    running.build()
    while True:
        (batch,) = running.run()
        yield np.asarray(batch.as_tensor())  # where DALI has it: copied nowhere


def _resized(images: Any) -> Any:
    from nvidia.dali import fn, types

    return fn.resize(images, size=[SIZE, SIZE], interp_type=types.INTERP_LINEAR, antialias=True)


def pixels(name: str, folder: Path) -> np.ndarray:
    """uint8 (boxes, SIZE, SIZE, 3)."""
    jpegs, boxes = Jpegs(folder), np.load(folder / "boxes.npy")
    out = np.empty((len(boxes), SIZE, SIZE, 3), np.uint8)
    for row, (top, left, height, width) in enumerate(boxes.tolist()):
        data = jpegs[row % len(jpegs)]
        if name == "dataloader":
            out[row] = shown(data, (top, left, height, width))
        elif name == "ffcv":
            from ffcv.libffcv import imdecode, resize_crop

            whole = np.zeros((SIDE, SIDE, 3), np.uint8)
            imdecode(data, whole, SIDE, SIDE, SIDE, SIDE, 0, 0, 1, 1, False, False)
            resize_crop(whole, top, top + height, left, left + width, out[row])
        else:
            out[row] = _by_dali(data, (top, left, height, width))
    return out


def _by_dali(data: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    from nvidia.dali import fn, pipeline_def

    top, left, height, width = box

    @pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def pipe() -> Any:
        encoded = fn.external_source(source=lambda: [data], batch=True)
        decoded = fn.decoders.image_slice(
            encoded, start=[top, left], shape=[height, width], axes=[0, 1]
        )
        return _resized(decoded)

    running = pipe()
    running.build()
    return np.asarray(running.run()[0].at(0))


CONTESTANTS = {"dataloader": dataloader, "ffcv": ffcv, "dali": dali}

if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    if sys.argv[3:] == ["pixels"]:
        np.save(folder / f"shown-{name}.npy", pixels(name, folder))
    else:
        serve(CONTESTANTS[name](folder))
