"""Reader of CIFAR-10 and CIFAR-100, Python and binary version, out of the ``.tar.gz``.

    [split.train.reader]
    archive = "cifar-10-python.tar.gz"
    batches = ["cifar-10-batches-py/data_batch_1", …]  # in the split's order, equally long
    meta = "cifar-10-batches-py/batches.meta"
    labels = { label = "labels" }                      # field → its key in a batch
    names = { label = "label_names" }                  # field → its class names' key in meta

The last two are what is assumed where they are absent. CIFAR-100 has ``{ label = "fine_labels",
coarse = "coarse_labels" }`` and ``{ label = "fine_label_names", coarse = "coarse_label_names" }``.
The pickles are read by ``_pickles``, which runs nothing.

The binary version has ``records``, the fields whose bytes stand before the pixels of each record,
in their order, and in place of ``meta`` and ``labels`` a text of class names for each of them:

    [split.train.reader]
    archive = "cifar-100-binary.tar.gz"
    batches = ["cifar-100-binary/train.bin"]
    records = ["coarse", "label"]
    names = { coarse = "cifar-100-binary/coarse_label_names.txt", label = "…" }

Both versions give a sample the same key, so their packs stream in the same order.
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
from dsets.readers import Sample, _cifar_batch, _cifar_records, _rows
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
    names: tuple[str, ...]  # the members that have the class names
    image: str
    layout: Layout
    binary: bool


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _options(source)


def table(source: Source) -> pd.DataFrame:
    """One row a sample: ``key`` ("data_batch_1/00000"), the labels, ``filename`` (Python version).

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
        named = {} if options.binary else {"filename": batch.filenames}
        parts.append(pd.DataFrame({"key": keys, **batch.labels, **named}))
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
    return _rows.numbered(PurePosixPath(batch).name.removesuffix(".bin"), options.layout.rows)


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
    missing = {*wanted, *options.names}
    looked_for = frozenset(missing)
    version = _cifar_records if options.binary else _cifar_batch
    found = {}
    for entry, body in tar.walk(stream):
        if entry.name not in looked_for:
            continue
        if entry.name not in missing:
            raise body.error("member is there twice")
        missing.remove(entry.name)
        if entry.name in options.names:
            version.check_names(options.layout, entry, body)
        else:
            found[entry.name] = version.batch(options.layout, entry, body)
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
    limit = rows * options.layout.row_bytes + SLACK_BYTES
    return _rows.open_raw(source, options.archive, limit)


def _options(source: Source) -> _Options:
    """The split's options, checked against the manifest."""
    binary = "records" in source.split.options
    names = {"archive": True, "batches": True}
    names |= {"records": True, "names": True} if binary else {"meta": True}
    given = _rows.options(source, names if binary else names | {"labels": False, "names": False})
    archive, batches = given["archive"], given["batches"]
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
    names_key = _keys(source, "names", labels, "label_names")
    if binary:
        records, known = given["records"], {field.name: field for field in labels}
        if not isinstance(records, tuple) or sorted(records) != sorted(known):
            raise _rows.bad_option(source, "records", f"a list of {', '.join(known)}", records)
        described = tuple((known[name], "", names_key[name]) for name in records)
        members = tuple(names_key[name] for name in records)
    else:
        key = _keys(source, "labels", labels, "labels")
        described = tuple((field, key[field.name], names_key[field.name]) for field in labels)
        members = (str(given["meta"]),)
    if shared := {*members} & {*batches}:
        raise _rows.bad_option(
            source, "names" if binary else "meta", "another member than the batches", shared
        )
    layout = Layout(
        rows=source.split.samples // len(batches),
        image=cast("tuple[int, int, int]", image.shape),
        labels=described,
    )
    return _Options(str(archive), tuple(batches), members, image.name, layout, binary)


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
