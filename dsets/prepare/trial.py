"""What one sample costs: a few hundred of them go through the pipeline into a shard, timed."""

from __future__ import annotations

import io
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsets import codecs, readers
from dsets.errors import DataError
from dsets.field import Field
from dsets.pack import shard
from dsets.pack.statistics import Statistics
from dsets.prepare.columns import Columns
from dsets.prepare.planning import PackPlan
from dsets.prepare.task import decoded, made
from dsets.readers import Sample

SAMPLES = 256
_SECONDS = 5.0
#: Bytes of made samples that a trial holds at most.
_HELD = 64 << 20
#: Images that are encoded and decoded to know what JPEG would take.
_ENCODED = 64
QUALITY = 90


@dataclass(frozen=True, slots=True)
class Trial:
    """Means over ``samples``; ``own`` if they are the dataset's own, not generated ones.

    ``cpu_s``: processor seconds a sample for reading, making, counting, checksums and the shard.
    ``raw_bytes``, ``jpeg_bytes``: of the image's pixels, and of them as JPEG of QUALITY;
    ``decode_s`` to decode that. None where the pack has no image of three channels.
    """

    samples: int
    own: bool
    bad: int
    cpu_s: float
    stored_bytes: float
    raw_bytes: float | None
    jpeg_bytes: float | None
    decode_s: float | None


def run(plan: PackPlan, *, own: bool) -> Trial:
    """Try the pipeline on a few hundred samples spread over the split, or on generated ones.

    Raises:
        DataError: of a raw file; or no sample that was tried is usable.
        PipelineError: of the pipeline.
    """
    count = min(SAMPLES, plan.split.samples)
    samples = _own(plan, count) if own else _generated(plan, count)
    first = next(samples)
    _warm_up(plan, first)
    columns, held, bad = Columns(plan.fields, count), 0, 0
    pixels: list[np.ndarray] = []
    begun, end = time.process_time(), time.monotonic() + _SECONDS
    for row, sample in enumerate(itertools.chain([first], samples)):
        try:
            values = made(plan, sample)
            counted = _counted(plan, values)
        except DataError:
            bad += 1
            continue
        columns.put(row, sample.key, values)
        held += sum(value.nbytes for value in values)
        pixels += counted
        if held > _HELD or time.monotonic() > end:
            break
    good = len(columns.keys)
    if not good:
        raise DataError("every sample that was tried is bad", where=plan.split.name, got=bad)
    with tempfile.TemporaryDirectory(prefix="dsets-") as folder:
        written = shard.write(
            Path(folder) / "shard.h5", plan.fields, columns.keys, columns.filled()
        )
    if plan.statistics and pixels:
        Statistics.of(pixels, plan.statistics)
    spent = time.process_time() - begun
    raw, jpeg, decode_s = _as_jpeg(plan, columns)
    return Trial(good, own, bad, spent / (good + bad), written.bytes / good, raw, jpeg, decode_s)


def _own(plan: PackPlan, count: int) -> Iterator[Sample]:
    rows = np.unique(np.linspace(0, plan.split.samples - 1, count).astype(np.int64))
    return readers.load(plan.source.manifest.reader).samples(plan.source, rows.tolist())


def _generated(plan: PackPlan, count: int) -> Iterator[Sample]:
    """Samples of the declared kinds: photographs-like noise, else zeros."""
    fields = plan.source.manifest.fields
    pictures = [_picture(seed) for seed in range(min(count, 8))]
    for number in range(count):
        values = {
            field.name: pictures[number % len(pictures)] if field.encoded else _zeros(field)
            for field in fields
        }
        yield Sample(f"generated/{number:05}", values)


def _zeros(field: Field) -> np.ndarray:
    return np.zeros([size or 1 for size in field.shape], field.dtype)


def _picture(seed: int) -> bytes:
    """A JPEG of 500 x 375 and about 110 kB: the mean size of ImageNet's photographs."""
    from PIL import Image

    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + random.normal(0, 16, smooth.shape)
    target = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=92)
    return target.getvalue()


def _warm_up(plan: PackPlan, sample: Sample) -> None:
    """Import and open what the first sample needs; what it costs is no sample's."""
    with suppress(DataError):
        made(plan, sample)


def _image(plan: PackPlan) -> Field | None:
    """The pack's first image, as pixels or encoded."""
    for field in plan.fields:
        if field.encoded or (field.dtype == "uint8" and len(field.shape) == 3):
            return field
    return None


def _counted(plan: PackPlan, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The pixels of a sample that a training pack's statistics would count.

    Raises:
        DataError: the image goes in encoded, and cannot be decoded: in any split it is bad.
    """
    image = decoded(plan, values)
    if image is not None:
        return [image] if plan.statistics else []
    named = zip(plan.fields, values, strict=True)
    return [value for field, value in named if field.name == plan.statistics]


def _as_jpeg(plan: PackPlan, columns: Columns) -> tuple[float | None, float | None, float | None]:
    """Bytes of an image as pixels and as JPEG, and the seconds to decode that."""
    field = _image(plan)
    if field is None:
        return None, None, None
    images = list(columns.filled()[field.name][:_ENCODED])
    if field.encoded:
        encoded = [image.tobytes() for image in images]
    elif field.shape[2] == 3:
        encoded = [codecs.encode_jpeg(image, QUALITY) for image in images]
    else:
        return float(np.mean([image.nbytes for image in images])), None, None
    begun = time.process_time()
    decoded = [codecs.decode(data).nbytes for data in encoded]
    spent = time.process_time() - begun
    return (
        float(np.mean(decoded)),
        float(np.mean([len(data) for data in encoded])),
        spent / len(encoded),
    )
