"""Reader of MNIST's format: one IDX file a field, plain or gzip, whatever it is called.

    [split.train.reader]                       # each field's file; all have one row a sample
    image = "train-images-idx3-ubyte.gz"
    label = "train-labels-idx1-ubyte.gz"

An image field (height, width, 1) may lie in a file without the last size. A field of single numbers
may lie in any type that its dtype holds exactly; the values of other fields have its very dtype.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from dsets.archive.stream import Stream
from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import Sample, _idx_file, _rows
from dsets.readers._cache import DECODED

if TYPE_CHECKING:
    import pandas as pd


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _files(source)


def table(source: Source) -> pd.DataFrame:
    """One row a sample: ``key`` ("train/00000"), then the fields of single numbers.

    Of the other fields only the headers are read.

    Raises:
        DataError: a file is not what the manifest or the format says.
        ManifestError: the options do not name one file for each field.
    """
    import pandas as pd

    names = _files(source)
    count = source.split.samples
    columns: dict[str, Any] = {}
    for field in source.manifest.fields:
        if field.shape == ():
            columns[field.name] = _values(source, field, names[field.name])
        else:
            with _open(source, field, names[field.name]) as stream:
                _header(source, field, stream)
    key = _rows.numbered(source.split.name, count)
    return pd.DataFrame({"key": [key(row) for row in range(count)], **columns})


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows, as read-only views of the files' decoded arrays.

    Raises:
        DataError: a file is not what the manifest or the format says.
        ManifestError: the options do not name one file for each field.
        UsageError: a row is not in the table.
    """
    wanted = _rows.chosen(source, rows)
    names = _files(source)
    fields = source.manifest.fields
    arrays = {field.name: _values(source, field, names[field.name]) for field in fields}
    key = _rows.numbered(source.split.name, source.split.samples)
    for row in wanted.tolist():
        yield Sample(key(row), {name: array[row, ...] for name, array in arrays.items()})


def _files(source: Source) -> Mapping[str, str]:
    """Field → file name, from the options."""
    fields = {field.name: True for field in source.manifest.fields}
    given = _rows.options(source, fields)
    for option, name in given.items():
        if name not in source.split.files:
            raise _rows.bad_option(source, option, f"one of {source.split.files}", repr(name))
    return {field: str(name) for field, name in given.items()}


def _open(source: Source, field: Field, name: str) -> Stream:
    """The field's file; it may yield what the manifest promises, and not a byte more."""
    if not field.fixed:
        raise ManifestError(
            "IDX cannot hold it", where=source.manifest.origin, expected="fixed sizes", got=field
        )
    size = math.prod((source.split.samples, *(n for n in field.shape if n is not None)))
    return _rows.open_raw(source, name, _idx_file.HEADER_BYTES + 8 * size)


def _header(source: Source, field: Field, stream: Stream) -> _idx_file.Header:
    """The file's header, which says what the manifest says of the field."""
    head = _idx_file.header(stream)
    promised = (source.split.samples, *field.shape)
    if head.shape != promised and not (promised[-1] == 1 and head.shape == promised[:-1]):
        raise stream.error(f"wrong shape of {field.name}", expected=promised, got=head.shape)
    if field.shape and head.dtype.newbyteorder("=") != np.dtype(field.dtype):
        raise stream.error(f"wrong type of {field.name}", expected=field.dtype, got=head.dtype.name)
    return head


def _values(source: Source, field: Field, name: str) -> npt.NDArray[Any]:
    """All values of a field: its dtype, (samples, *shape), read-only. Kept in the cache."""
    with DECODED.lock, _open(source, field, name) as stream:
        known = (__name__, stream.identity, source.split.samples, field)
        if (kept := DECODED.get(known)) is not None:
            return cast("npt.NDArray[Any]", kept)
        array = _idx_file.values(stream, _header(source, field, stream))
        array = array.reshape(source.split.samples, *field.shape)
        if field.shape == ():
            array = _rows.labels(stream.path, field, array)
        DECODED.put(known, array, array.nbytes)
        return array
