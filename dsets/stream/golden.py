"""Golden epochs: what a stream must reproduce on any machine, as one digest.

docs/golden-epoch.md defines the bytes. They come out of real streams, so the digest is proof of
order, random choices and gathered pixels together; it depends on the pack's samples, the seed and
the number of epochs, and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsets.field import Field
from dsets.numbers import whole
from dsets.stream.batch import Batch
from dsets.stream.gather import Column
from dsets.stream.options import Options
from dsets.stream.order import Order
from dsets.stream.state import LAST_EPOCH, Key
from dsets.stream.stream import Stream
from dsets.transforms import Crop, Flip, lighting, random
from dsets.transforms.random import Draws
from dsets.transforms.recipe import IMAGE, Geometry
from dsets.transforms.view import Views

if TYPE_CHECKING:
    from dsets.pack import Pack

#: First bytes of every epoch's canonical form.
MAGIC = b"dsets golden epoch 1\n"
#: The purposes of random words, in the order in which they are written.
PURPOSES = (random.CROP, random.FLIP, random.RESIZED_CROP, random.LIGHTING)


@dataclass(frozen=True, slots=True)
class Golden:
    """sha256, in hexadecimal: of each epoch, and of all of them."""

    epochs: tuple[str, ...]
    digest: str


def digest(
    pack: Pack,
    seed: int,
    epochs: int,
    *,
    batch_size: int = 256,
    ranks: int = 1,
    threads: int | None = None,
) -> Golden:
    """The digest of the first epochs of a shuffled stream. ``batch_size``, ``ranks`` and
    ``threads`` change how it is computed, never what comes out.

    Raises:
        UsageError: no epochs, or arguments that a stream refuses.
        PackError: a sample cannot be read.
    """
    epochs = whole("epochs", epochs, 1, LAST_EPOCH + 1, "digest", "1 or more")
    key = Key(pack.samples_digest, seed, True)
    window, image = _window(pack), _image(pack)
    recipe: list[Geometry] = [] if window is None else [Crop(window), Flip()]
    # Damaged bytes are what the digest is to show.
    options = Options(verify="never", unreadable="raise", threads=threads)
    found = []
    with ExitStack() as stack:
        streams = [
            stack.enter_context(
                Stream(
                    pack,
                    Order(len(pack), key, batch_size, False, rank, ranks),
                    recipe,
                    options=options,
                    fields=[] if image is None else [image],  # nothing else enters
                )
            )
            for rank in range(ranks)
        ]
        for epoch in range(epochs):
            hashed = hashlib.sha256(MAGIC + f"{pack.samples_digest}\n".encode())
            hashed.update(np.array([seed, epoch], "<u4").tobytes())
            for batches in zip(*streams, strict=True):
                for batch in batches:
                    for part in _records(pack, batch, seed, window):
                        hashed.update(part)
            found.append(hashed.digest())
    return Golden(tuple(one.hex() for one in found), hashlib.sha256(b"".join(found)).hexdigest())


def _image(pack: Pack) -> Field | None:
    return next((field for field in pack.fields if field.name == IMAGE), None)


def _window(pack: Pack) -> tuple[int, int] | None:
    """Height and width of the golden crop: seven eighths; None where images have no one size."""
    image = _image(pack)
    if image is None or not image.fixed or len(image.shape) != 3:
        return None
    height, width, _ = image.shape
    return (max(1, (height or 0) * 7 // 8), max(1, (width or 0) * 7 // 8))


def _records(
    pack: Pack, batch: Batch, seed: int, window: tuple[int, int] | None
) -> Iterator[bytes | memoryview]:
    """The canonical bytes of the valid rows of a batch, in parts."""
    rows = np.flatnonzero(batch.valid)
    index = batch.index[rows]
    key_hash = np.empty(len(index), np.uint64)
    with pack.holding(index):
        Column(pack.reserved("key_hash"), pack.starts).take(index, key_hash)
    draws = Draws(seed, batch.epoch, key_hash)
    numbers = _parameters(pack, draws, window)
    pixels = batch[IMAGE] if _image(pack) is not None else None
    for row, (key, drawn) in enumerate(zip(pack.keys(index.tolist()), numbers, strict=True)):
        name = key.encode()
        shown = _plain(pixels[rows[row]]) if pixels is not None else np.empty(0, np.uint8)
        yield len(name).to_bytes(4, "little") + name + drawn.tobytes()
        yield shown.nbytes.to_bytes(8, "little")
        yield shown.data


def _parameters(pack: Pack, draws: Draws, window: tuple[int, int] | None) -> npt.NDArray[np.int64]:
    """int64 (n, 25), little-endian: 16 words, 4 normals in 2**-16, top, left, height, width of the
    crop in the stored image, and 1 where it is mirrored."""
    words = [word.astype(np.int64) for purpose in PURPOSES for word in draws.words(purpose)]
    normals = [lighting.table()[word >> 20] for word in words[-4:]]
    none = np.zeros(len(draws.key_hash), np.int64)
    box = [none] * 5
    image = _image(pack)
    if window is not None and image is not None:
        height, width, _ = image.shape
        views = Views((height or 0, width or 0))
        for step in (Crop(window), Flip()):
            views = step.choose(views, draws)
        top, left = (none if corner is None else corner for corner in (views.top, views.left))
        mirrored = none if views.mirrored is None else views.mirrored.astype(np.int64)
        box = [top, left, *(none + side for side in window), mirrored]
    return np.stack([*words, *normals, *box], axis=1).astype("<i8")


def _plain(values: Any) -> npt.NDArray[np.uint8]:
    """The bytes of a row, little-endian, in C order."""
    array = np.ascontiguousarray(values)
    swapped = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return swapped.reshape(-1).view(np.uint8)
