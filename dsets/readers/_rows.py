"""What every reader must settle before it reads: its options, its files, the rows asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.archive.stream import Stream
from dsets.errors import DataError, ManifestError, UsageError
from dsets.field import Field
from dsets.manifest.schema import Source

MISLABELLED = "the file is not the published one, or the manifest is wrong"


def open_raw(source: Source, name: str, limit: int) -> Stream:
    """A raw file of the source as a stream of at most ``limit`` bytes.

    Raises:
        DataError: the file is not there.
    """
    path = source.path(name)
    if not path.is_file():
        raise DataError(
            "no such file", where=path, remedy=f"run 'dsets fetch {source.manifest.name}'"
        )
    return Stream(path, limit, remedy=remedy(source))


def remedy(source: Source) -> str:
    """What to do about a raw file that is here and not what it should be."""
    return (
        f"run 'dsets verify {source.manifest.name}' and fetch again what it rejects; "
        f"if it rejects nothing, the manifest is wrong: {source.manifest.origin}"
    )


def options(source: Source, expected: Mapping[str, bool]) -> Mapping[str, object]:
    """The split's reader options, whose names are those in ``expected`` (True: must be there).

    Raises:
        ManifestError: an option is unknown or missing.
    """
    given = source.split.options
    unknown = sorted(set(given) - set(expected))
    missing = sorted(name for name, needed in expected.items() if needed and name not in given)
    if unknown or missing:
        raise bad_option(source, ", ".join(unknown + missing), ", ".join(expected), sorted(given))
    return given


def bad_option(source: Source, option: str, expected: object, got: object) -> ManifestError:
    where = f"{source.manifest.origin}: split.{source.split.name}.reader"
    return ManifestError(f"bad option {option}", where=where, expected=expected, got=got)


def chosen(source: Source, rows: Sequence[int], count: int | None = None) -> npt.NDArray[np.int64]:
    """The rows asked for, as int64 (n,), of ``count``; None: of those that the manifest says.

    Raises:
        UsageError: a row is not in the table.
    """
    wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
    count = source.split.samples if count is None else count
    if wanted.size and (wanted.min() < 0 or wanted.max() >= count):
        raise UsageError(
            "no such row",
            where=f"{source.manifest.name}/{source.split.name}",
            expected=f"0 to {count - 1}",
            got=f"{wanted.min()} to {wanted.max()}",
        )
    return wanted


def labels(where: object, field: Field, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A scalar field's values in the field's dtype, read-only; each names a class if it has any.

    Raises:
        DataError: the field's dtype cannot hold them, or one is outside the classes.
    """
    if not np.can_cast(values.dtype, field.dtype, "safe"):
        raise DataError(
            f"wrong type of {field.name}",
            where=where,
            expected=field.dtype,
            got=values.dtype,
            remedy=MISLABELLED,
        )
    cast = values.astype(field.dtype)
    cast.flags.writeable = False
    if field.classes and cast.size:
        wrong = np.flatnonzero(~((cast >= 0) & (cast < len(field.classes))))  # NaN too
        if wrong.size:
            raise DataError(
                f"{field.name} of row {wrong[0]} is not a class ({wrong.size} such rows)",
                where=where,
                expected=f"0 to {len(field.classes) - 1}",
                got=cast[wrong[0]],
                remedy=MISLABELLED,
            )
    return cast


def numbered(prefix: str, count: int) -> Callable[[int], str]:
    """Row → ``prefix/00042``; as wide as the last of ``count`` rows needs, at least 5 digits."""
    width = max(5, len(str(count - 1)))
    return lambda row: f"{prefix}/{row:0{width}d}"
