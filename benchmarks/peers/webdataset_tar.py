"""WebDataset's TarWriter with raw arrays; Pillow; a tar a process, two processes."""

import multiprocessing
import os

import numpy as np  # noqa: F401
import PIL.Image
import webdataset
from pillow_crop import crop, timed


def half(job: tuple[list[str], str]) -> None:
    paths, target = job
    with webdataset.TarWriter(target) as writer:
        for path in paths:
            name = os.path.basename(path).removesuffix(".JPEG")
            writer.write({"__key__": name, "rgb": crop(path).tobytes(), "cls": "0"})


def work(paths: list[str], out: str) -> None:
    jobs = [(paths[k::2], f"{out}/{k}.tar") for k in range(2)]
    with multiprocessing.Pool(2) as pool:
        pool.map(half, jobs, chunksize=1)


if __name__ == "__main__":
    PIL.Image.preinit()
    timed(work)
