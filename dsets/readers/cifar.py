"""Reader of CIFAR-10 and CIFAR-100, Python version, out of the downloaded ``.tar.gz``.

    [split.train.reader]
    archive = "cifar-10-python.tar.gz"
    batches = ["cifar-10-batches-py/data_batch_1", …]  # in the split's order, equally long
    meta = "cifar-10-batches-py/batches.meta"
    labels = { label = "labels" }                      # field → its key in a batch
    names = { label = "label_names" }                  # field → its class names' key in meta

The last two are what is assumed where they are absent. CIFAR-100 has ``{ label = "fine_labels",
coarse = "coarse_labels" }`` and ``{ label = "fine_label_names", coarse = "coarse_label_names" }``.
The pickles are read by ``_pickles``, which runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from dsets.archive import tar
from dsets.archive.stream import Stream
from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import Sample, _cifar_batch, _rows
from dsets.readers._cache import DECODED
from dsets.readers._cifar_batch import Batch, Layout

if TYPE_CHECKING:
    import pandas as pd

SLACK_BYTES = 16 << 20  # what an archive may hold besides its batches
BLOCK_ROWS = 256  # turned from planes to pixels at a time


@dataclass(frozen=True, slots=True)
class _Options:
    archive: str
    batches: tuple[str, ...]
    meta: str
    image: str
    layout: Layout


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _options(source)


def table(source: Source) -> pd.DataFrame:
    """One row a sample: ``key`` ("data_batch_1/00000"), the labels, ``filename``.

    Raises:
        DataError: the archive is not what the manifest or the format says.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    options = _options(source)
    batches = _load(source, options, options.batches)
    parts = []
    for name in options.batches:
        key = _key(options, name)
        keys = [key(row) for row in range(options.layout.rows)]
        batch = batches[name]
        parts.append(pd.DataFrame({"key": keys, **batch.labels, "filename": batch.filenames}))
    return pd.concat(parts, ignore_index=True)


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows; the arrays are read-only, images views of blocks of hundreds.

    Raises:
        DataError: the archive is not what the manifest or the format says.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    options = _options(source)
    wanted = _rows.chosen(source, rows)
    parts = wanted // options.layout.rows
    batches = _load(source, options, [options.batches[part] for part in np.unique(parts)])
    for run in np.split(wanted, np.flatnonzero(np.diff(parts)) + 1):  # runs within one batch
        for start in range(0, len(run), BLOCK_ROWS):
            name = options.batches[run[0] // options.layout.rows]
            yield from _block(options, name, batches[name], run[start : start + BLOCK_ROWS])


def _block(
    options: _Options, name: str, batch: Batch, rows: npt.NDArray[np.int64]
) -> Iterator[Sample]:
    rows = rows % options.layout.rows
    images = np.ascontiguousarray(batch.planes[rows].transpose(0, 2, 3, 1))
    images.flags.writeable = False
    key = _key(options, name)
    for image, row in zip(images, rows.tolist(), strict=True):
        labels = {field: values[row, ...] for field, values in batch.labels.items()}
        yield Sample(key(row), {options.image: image, **labels})


def _key(options: _Options, batch: str) -> Callable[[int], str]:
    return _rows.numbered(PurePosixPath(batch).name, options.layout.rows)


def _load(source: Source, options: _Options, needed: Sequence[str]) -> dict[str, Batch]:
    """The batches called ``needed``, from the cache or else by one pass over the archive.

    The pass keeps every batch of the split if all fit the cache, since the next call will want the
    others. It goes to the end of the archive, where gzip's only checksum stands, and compares the
    class names: before that, nothing is kept or given out.
    """
    if not needed:
        return {}
    with DECODED.lock, _open(source, options) as stream:
        kept = {name: DECODED.get((stream.identity, options, name)) for name in needed}
        if all(kept.values()):
            return kept
        fits = len(options.batches) * options.layout.bytes <= DECODED.limit
        found = _read(options, stream, options.batches if fits else needed)
        for name, batch in found.items():
            DECODED.put((stream.identity, options, name), batch, batch.bytes)
        return {name: found[name] for name in needed}


def _read(options: _Options, stream: Stream, wanted: Sequence[str]) -> dict[str, Batch]:
    missing = {*wanted, options.meta}
    looked_for = frozenset(missing)
    found = {}
    for entry, body in tar.walk(stream):
        if entry.name not in looked_for:
            continue
        if entry.name not in missing:
            raise body.error("member is there twice")
        missing.remove(entry.name)
        if entry.name == options.meta:
            _cifar_batch.check_names(options.layout, entry, body)
        else:
            found[entry.name] = _cifar_batch.batch(options.layout, entry, body)
    if missing:
        raise stream.error("members are missing", expected=", ".join(sorted(missing)))
    return found


def _open(source: Source, options: _Options) -> Stream:
    """The archive; it may yield what all splits in it promise, and some slack."""
    rows = sum(
        split.samples
        for split in source.manifest.splits
        if split.options.get("archive") == options.archive
    )
    limit = rows * (options.layout.pixels + _cifar_batch.ROW_BYTES) + SLACK_BYTES
    return _rows.open_raw(source, options.archive, limit)


def _options(source: Source) -> _Options:
    """The split's options, checked against the manifest."""
    names = {"archive": True, "batches": True, "meta": True, "labels": False, "names": False}
    given = _rows.options(source, names)
    archive, batches, meta = given["archive"], given["batches"], given["meta"]
    image, labels = _fields(source)
    if archive not in source.split.files:
        raise _rows.bad_option(source, "archive", f"one of {source.split.files}", repr(archive))
    if not isinstance(batches, list | tuple) or not all(isinstance(b, str) for b in batches):
        raise _rows.bad_option(source, "batches", "a list of member names", batches)
    if not batches or len(set(batches)) != len(batches):
        raise _rows.bad_option(source, "batches", "different member names", batches)
    if source.split.samples % len(batches):
        raise _rows.bad_option(
            source, "batches", f"equal parts of {source.split.samples} samples", len(batches)
        )
    if meta in batches:
        raise _rows.bad_option(source, "meta", "another member than the batches", meta)
    key = _keys(source, "labels", labels, "labels")
    names_key = _keys(source, "names", labels, "label_names")
    layout = Layout(
        rows=source.split.samples // len(batches),
        image=cast("tuple[int, int, int]", image.shape),
        labels=tuple((field, key[field.name], names_key[field.name]) for field in labels),
    )
    return _Options(str(archive), tuple(batches), str(meta), image.name, layout)


def _fields(source: Source) -> tuple[Field, list[Field]]:
    """The image field and the label fields."""
    fields = source.manifest.fields
    images = [field for field in fields if len(field.shape) == 3 and field.fixed]
    labels = [field for field in fields if field.shape == ()]
    if len(images) != 1 or images[0].dtype != "uint8" or len(labels) + 1 != len(fields):
        raise ManifestError(
            "the fields are not CIFAR's",
            where=source.manifest.origin,
            expected="one uint8 field of three sizes, the others single numbers",
            got="; ".join(map(str, fields)),
        )
    return images[0], labels


def _keys(source: Source, option: str, fields: Sequence[Field], default: str) -> dict[str, str]:
    names = [field.name for field in fields]
    value = source.split.options.get(option, dict.fromkeys(names, default))
    if not isinstance(value, Mapping) or sorted(value) != sorted(names):
        raise _rows.bad_option(source, option, f"a table with {', '.join(names)}", value)
    return {name: str(key) for name, key in value.items()}
