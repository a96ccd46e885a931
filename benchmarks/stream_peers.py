"""Peers of the streaming benchmark; runs where torch and FFCV are installed, without dsets.

    python benchmarks/stream_peers.py {dataloader,torch,ffcv} {W2a,W2b,W2c,W4} FOLDER

FOLDER holds ``images-256.npy`` and ``images-32.npy``, uint8 (n, H, W, 3). Epochs are long, since
both FFCV and the DataLoader begin each anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestant import MEAN, STD, serve

LONG = 100_000
DTYPES = {"W2a": np.uint8, "W2b": np.float32, "W2c": np.float16, "W4": np.float32}


def forever(loader: Any) -> Iterator[Any]:
    while True:
        for batch in loader:
            yield batch[0]


class Crops(torch.utils.data.Dataset):
    """A memory-mapped array; each sample cropped, mirrored and normalised with NumPy."""

    def __init__(self, path: Path, dtype: type) -> None:
        self.path, self.dtype = path, dtype
        self.images = np.load(path, mmap_mode="r")
        self.scale = (1 / np.array(STD, np.float32)).reshape(3, 1, 1)
        self.bias = (-np.array(MEAN, np.float32)).reshape(3, 1, 1) * self.scale

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        top, left, mirrored = torch.randint(33, (3,)).tolist()
        shown = self.images[number, top : top + 224, left : left + 224]
        if mirrored % 2:
            shown = shown[:, ::-1]
        if self.dtype == np.uint8:
            return torch.from_numpy(np.ascontiguousarray(shown)), number
        out = np.empty((3, 224, 224), np.float32)
        np.multiply(shown.transpose(2, 0, 1), self.scale, out=out)
        out += self.bias
        return torch.from_numpy(out.astype(self.dtype, copy=False)), number


def dataloader(workload: str, folder: Path) -> Iterator[Any]:
    """Two workers."""
    images = Crops(folder / "images-256.npy", DTYPES[workload])
    sampler = torch.utils.data.RandomSampler(images, replacement=True, num_samples=LONG)
    return forever(torch.utils.data.DataLoader(images, 256, sampler=sampler, num_workers=2))


def torch_vectorised(workload: str, folder: Path) -> Iterator[Any]:
    """A whole batch by fancy indexing over an unfolded view of the padded images in memory.

    One thread: with two it was three to seven times slower on a busy machine.
    """
    torch.set_num_threads(1)
    images = torch.from_numpy(np.load(folder / "images-32.npy")).permute(0, 3, 1, 2).contiguous()
    places = torch.nn.functional.pad(images, (4, 4, 4, 4)).unfold(2, 32, 1).unfold(3, 32, 1)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    while True:
        for rows in torch.randperm(len(images)).split(512):
            top, left = torch.randint(9, (2, len(rows)))
            shown = places[rows, :, top, left]
            mirrored = torch.rand(len(rows)) < 0.5
            shown[mirrored] = shown[mirrored].flip(3)
            yield shown.float().sub_(mean).div_(std)


def ffcv(workload: str, folder: Path) -> Iterator[Any]:
    """Raw images; random crops are an operation of our own, since FFCV has none."""
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import (
        NormalizeImage,
        RandomHorizontalFlip,
        RandomTranslate,
        ToTensor,
        ToTorchImage,
    )

    side = 32 if workload == "W4" else 256
    path = _beton(folder, side)
    steps: list[Any] = [SimpleRGBImageDecoder()]
    steps.append(RandomTranslate(4) if side == 32 else _random_crop(224))
    steps.append(RandomHorizontalFlip())
    if workload == "W2a":
        steps.append(ToTensor())
    else:
        normalise = NormalizeImage(np.array(MEAN), np.array(STD), DTYPES[workload])
        steps += [normalise, ToTensor(), ToTorchImage()]
    count = len(np.load(folder / f"images-{side}.npy", mmap_mode="r"))
    return forever(
        Loader(
            str(path),
            batch_size=512 if side == 32 else 256,
            num_workers=2,
            order=OrderOption.RANDOM,
            os_cache=True,
            indices=np.arange(10 * LONG if side == 32 else LONG) % count,
            pipelines={"image": steps},
        )
    )


def _beton(folder: Path, side: int) -> Path:
    from ffcv.fields import RGBImageField
    from ffcv.writer import DatasetWriter

    path = folder / f"images-{side}.beton"
    if not path.exists():
        images = np.load(folder / f"images-{side}.npy", mmap_mode="r")
        rows = [(np.array(image),) for image in images]
        fields = {"image": RGBImageField(write_mode="raw")}
        DatasetWriter(str(path), fields, num_workers=2).from_indexed_dataset(rows)
    return path


def _random_crop(size: int) -> Any:
    from ffcv.pipeline.allocation_query import AllocationQuery
    from ffcv.pipeline.compiler import Compiler
    from ffcv.pipeline.operation import Operation

    class RandomCrop(Operation):
        def generate_code(self) -> Callable[..., Any]:
            parallel = Compiler.get_iterator()

            def crop(images: Any, out: Any) -> Any:
                for row in parallel(images.shape[0]):
                    top = np.random.randint(images.shape[1] - size + 1)
                    left = np.random.randint(images.shape[2] - size + 1)
                    out[row] = images[row, top : top + size, left : left + size]
                return out

            crop.is_parallel = True
            return crop

        def declare_state_and_memory(self, previous: Any) -> tuple[Any, Any]:
            shape = (size, size, previous.shape[2])
            return replace(previous, shape=shape), AllocationQuery(shape, previous.dtype)

    return RandomCrop()


CONTESTANTS = {"dataloader": dataloader, "torch": torch_vectorised, "ffcv": ffcv}

if __name__ == "__main__":
    name, workload, folder = sys.argv[1:]
    serve(CONTESTANTS[name](workload, Path(folder)))
