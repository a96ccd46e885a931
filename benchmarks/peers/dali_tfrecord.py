"""NVIDIA DALI on the CPU, two threads: decode, resize, crop; raw records written front to back.

DALI writes no packs itself, so its batches are appended to one file as they come.
"""

import nvidia.dali.fn as fn
import nvidia.dali.types as types
from nvidia.dali import pipeline_def
from pillow_crop import SIDE, timed


@pipeline_def(batch_size=64, num_threads=2, device_id=None)
def made(paths: list[str]):
    data, _ = fn.readers.file(files=paths, name="reader", pad_last_batch=True)
    images = fn.decoders.image(data, device="cpu", output_type=types.RGB)
    images = fn.resize(images, resize_shorter=SIDE, interp_type=types.INTERP_LINEAR, antialias=True)
    return fn.crop(images, crop=(SIDE, SIDE))


def work(paths: list[str], out: str) -> None:
    pipe = made(paths)
    pipe.build()
    left = len(paths)
    with open(f"{out}/raw.bin", "wb") as file:
        while left:
            (batch,) = pipe.run()
            for row in range(min(left, len(batch))):
                file.write(batch.at(row))
            left -= min(left, len(batch))


if __name__ == "__main__":
    timed(work)
