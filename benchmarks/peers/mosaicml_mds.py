"""MosaicML Streaming's MDSWriter with raw arrays; Pillow; a folder a process, two processes."""

import multiprocessing

import PIL.Image
from pillow_crop import SIDE, crop, timed
from streaming import MDSWriter


def half(job: tuple[list[str], str]) -> None:
    paths, target = job
    columns = {"image": f"ndarray:uint8:{SIDE},{SIDE},3", "label": "int"}
    with MDSWriter(out=target, columns=columns) as writer:
        for path in paths:
            writer.write({"image": crop(path), "label": 0})


def work(paths: list[str], out: str) -> None:
    jobs = [(paths[k::2], f"{out}/{k}") for k in range(2)]
    with multiprocessing.Pool(2) as pool:
        pool.map(half, jobs, chunksize=1)


if __name__ == "__main__":
    PIL.Image.preinit()
    timed(work)
