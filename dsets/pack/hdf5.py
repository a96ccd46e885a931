"""Plain HDF5 files whose bytes depend on nothing but what is in them.

h5py lays the file out: contiguous datasets, allocated at once, at 4096-byte alignment, with no
filters and no times, in the library's default (oldest readable) format. The data we write
ourselves, front to back, hashing on the way: no data is held twice in memory or read back.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from dsets import direct
from dsets.atomic import replacing
from dsets.errors import PackError
from dsets.pack.schema import ALIGNMENT, Extent

_LONG = 1 << 20  # bytes that are hashed by another thread while they are written

if TYPE_CHECKING:
    import h5py  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset to write: its type, its shape, and a function that yields its bytes in order."""

    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterable[memoryview]]

    @staticmethod
    def of(array: np.ndarray) -> Data:
        """A whole array, converted to little-endian."""
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        flat = little.reshape(-1).view(np.uint8)
        return Data(array.dtype.name, array.shape, lambda: [flat.data])


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: size in bytes, sha256, and where each dataset's data lies."""

    bytes: int
    sha256: str
    datasets: Mapping[str, Extent]


def write(path: Path, datasets: Mapping[str, Data]) -> Written:
    """Write one HDF5 file under its final name, or not at all.

    Raises:
        PackError: a dataset yields another number of bytes than its shape says.
    """
    with replacing(path) as part:
        extents = _lay_out(part, datasets)
        with part.open("r+b") as file:
            size, sha256 = _fill(file, datasets, extents)
    return Written(size, sha256, extents)


def offsets(path: Path) -> dict[str, Extent]:
    """Where h5py says that each dataset of a file lies.

    Raises:
        PackError: HDF5 cannot read the file, or a dataset is not contiguous.
    """
    import h5py

    found: dict[str, Extent] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = _extent(name, item.id)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise PackError("damaged HDF5 metadata", where=path, got=error) from error
    return found


def _lay_out(part: Path, datasets: Mapping[str, Data]) -> dict[str, Extent]:
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_alignment(1, ALIGNMENT)
    # As h5py.File does: from HDF5 2.0 on the default is a format whose groups carry times.
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_LATEST)
    try:
        identifier = h5py.h5f.create(os.fsencode(part), h5py.h5f.ACC_TRUNC, fapl=access)
        with h5py.File(identifier) as file:
            return {name: _create(file, name, data) for name, data in datasets.items()}
    except (OSError, RuntimeError) as error:  # a full disk is a RuntimeError to h5py
        if not (number := re.search(r"errno = (\d+)", str(error))):
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(part)) from error


def _create(file: h5py.File, name: str, data: Data) -> Extent:
    import h5py

    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    link = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    link.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(data.shape) if data.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    kind = h5py.h5t.py_create(np.dtype(data.dtype).newbyteorder("<"), logical=True)
    return _extent(name, h5py.h5d.create(file.id, name.encode(), kind, space, layout, link))


def _extent(name: str, dataset: h5py.h5d.DatasetID) -> Extent:
    length = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
    offset = dataset.get_offset()
    if offset is None:  # nothing was allocated for a dataset of no bytes
        if length:
            raise PackError("not a contiguous dataset", where=name)
        offset = 0
    return Extent(offset, length, dataset.dtype.name, tuple(dataset.shape))


@contextmanager
def _writing(file: IO[bytes], place: int, length: int) -> Iterator[Callable[[memoryview], object]]:
    """A function that writes the next bytes of a dataset's ``length``; the file stands at them."""
    if length < direct.WORTH:
        yield file.write
        return
    file.flush()
    with direct.Run(file.fileno(), place) as run:
        yield run.write
        run.flush()
    file.seek(place + length)


def _fill(
    file: IO[bytes], datasets: Mapping[str, Data], extents: Mapping[str, Extent]
) -> tuple[int, str]:
    """Write every dataset's bytes where they belong; the file's size and sha256."""
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256()
    place = 0
    with ThreadPoolExecutor(1, thread_name_prefix="dsets-hash") as hasher:
        for name, extent in sorted(extents.items(), key=lambda item: item[1].offset):
            if not extent.length:
                continue
            digest.update(file.read(extent.offset - place))  # HDF5's own metadata and padding
            place = extent.offset
            with _writing(file, place, extent.length) as write:
                for block in datasets[name].blocks():
                    if len(block) < _LONG:
                        digest.update(block)
                        write(block)
                    else:
                        hashed = hasher.submit(digest.update, block)
                        write(block)
                        hashed.result()
                    place += len(block)
            if place != extent.offset + extent.length:
                raise PackError(
                    "the data does not fill its dataset",
                    where=name,
                    expected=f"{extent.length} bytes",
                    got=place - extent.offset,
                )
    digest.update(file.read(size - place))
    return size, digest.hexdigest()
