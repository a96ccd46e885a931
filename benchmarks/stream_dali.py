"""NVIDIA DALI on the CPU for the streaming benchmark; needs no dsets and no torch.

    python benchmarks/stream_dali.py dali {W2a,W2b,W2c,W4} FOLDER

Its fastest configuration known to us: TFRecords of raw pixels through DALI's own memory-mapped
reader, two threads, crop, mirror and normalisation in its one fused operator, and batches looked at
where DALI has them: copied nowhere. FOLDER holds ``images-256.npy`` and ``images-32.npy``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import nvidia.dali.fn as fn
import nvidia.dali.math as dali_math
import nvidia.dali.tfrecord as tfrec
import nvidia.dali.types as types
from contestant import MEAN, STD, serve
from nvidia.dali import pipeline_def

DTYPES = {"W2a": types.UINT8, "W2b": types.FLOAT, "W2c": types.FLOAT16, "W4": types.FLOAT}


def dali(workload: str, folder: Path) -> Iterator[Any]:
    """Batches for ever; each is valid until the next is asked for."""
    side = 32 if workload == "W4" else 256
    records, index = _records(folder, side)
    pipe = _pipeline(workload, side, records, index)
    pipe.build()  # before the first batch is asked for: a clock that starts there leaves it out
    return _batches(pipe)


def _pipeline(workload: str, side: int, records: Path, index: Path) -> Any:
    @pipeline_def(
        batch_size=512 if side == 32 else 256,
        num_threads=2,
        device_id=None,
        prefetch_queue_depth=2,
    )
    def made() -> Any:
        feature = {"image": tfrec.FixedLenFeature((), tfrec.string, "")}
        stored = fn.readers.tfrecord(
            path=[str(records)],
            index_path=[str(index)],
            features=feature,
            random_shuffle=True,
            initial_fill=1024,
            name="reader",
        )["image"]
        images = fn.reinterpret(stored, dtype=types.UINT8, shape=[side, side, 3], layout="HWC")
        shown: dict[str, Any] = {}
        if side == 32:
            corner = fn.random.uniform(range=(-4, 5), shape=[2])
            corner = fn.cast(dali_math.floor(corner), dtype=types.INT32)
            images = fn.slice(
                images, corner, [32, 32], axes=[0, 1], out_of_bounds_policy="pad", fill_values=0
            )
        else:
            shown = {"crop": (224, 224)}
            for axis in "xy":
                shown[f"crop_pos_{axis}"] = fn.random.uniform(range=(0.0, 1.0))
        if workload == "W2a":
            shown |= {"output_layout": "HWC"}
        else:
            shown |= {"output_layout": "CHW", "mean": MEAN, "std": STD}
        mirror = fn.random.coin_flip(probability=0.5)
        return fn.crop_mirror_normalize(images, dtype=DTYPES[workload], mirror=mirror, **shown)

    return made()


def _batches(pipe: Any) -> Iterator[Any]:
    for _ in range(2):
        pipe.schedule_run()
    while True:
        (batch,) = pipe.share_outputs()
        yield np.asarray(batch.as_tensor())
        pipe.release_outputs()
        pipe.schedule_run()


def _records(folder: Path, side: int) -> tuple[Path, Path]:
    """The images as a TFRecord file and its index for DALI, which ignores the checksums."""
    path, index = folder / f"images-{side}.tfrecord", folder / f"images-{side}.index"
    if not index.exists():
        images = np.load(folder / f"images-{side}.npy", mmap_mode="r")
        places = []
        with path.open("wb") as file:
            for image in images:
                value = _field(1, _field(1, image.tobytes()))  # Feature of one BytesList
                entry = _field(1, b"image") + _field(2, value)
                example = _field(1, _field(1, entry))
                places.append(f"{file.tell()} {len(example) + 16}")
                file.write(len(example).to_bytes(8, "little") + bytes(4) + example + bytes(4))
        index.write_text("\n".join(places) + "\n")
    return path, index


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, in protocol buffers' wire format."""
    size, head = len(data), [number << 3 | 2]
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + data


if __name__ == "__main__":
    _, workload, folder = sys.argv[1:]
    serve(dali(workload, Path(folder)))
