"""Readers: raw files, still archived, become a table of samples and the samples themselves.

A reader is a module in this folder with two functions (the ``Reader`` protocol). It is named by a
manifest's ``reader`` key and checks its own options, the table ``[split.NAME.reader]``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from dsets import store
from dsets.errors import DataError, ManifestError, UsageError
from dsets.manifest.schema import Source

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 1 << 16  # keys at a time, of a table


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: its key, unique in the split, and a value for each of the manifest's fields.

    A value is an array of the field's dtype and shape (images height, width, channels), or the
    encoded bytes as published where the field is ``uint8 (None,)``.

    ``problem`` says that this one sample cannot be used though the raw files as a whole can: its
    values are what was found, if anything. Whoever takes samples leaves it out and tells of it. Its
    text is part of a pack's digest: fixed words, no path and nothing of a library's.

    ``remark`` is for whoever verifies, and gets into no pack: where and what exactly the problem
    is; or, without one, what about a usable sample contradicts itself.
    """

    key: str
    values: Mapping[str, Any]
    problem: DataError | None = None
    remark: str = ""


class Batch(NamedTuple):
    """Ordinary samples as columns, for whoever can work on many at once.

    A field of fixed size is one array (n, …), another a list of n arrays. What ``samples`` makes of
    it is what the reader's own ``samples`` gives of these rows.
    """

    keys: Sequence[str]
    values: Mapping[str, Any]

    def samples(self) -> list[Sample]:
        """The same, one by one; values are views of the columns."""
        return [
            Sample(key, {name: column[row] for name, column in self.values.items()})
            for row, key in enumerate(self.keys)
        ]


def unusable(key: str, values: Mapping[str, Any], error: DataError) -> Sample:
    """A sample with a problem: ``what`` of the error, which is in fixed words."""
    return Sample(key, values, DataError(error.what), str(error))


class Reader(Protocol):
    def check(self, source: Source) -> None:
        """Check the split's options and the fields; no file is looked at.

        Raises:
            ManifestError: this reader cannot follow them.
        """

    def table(self, source: Source) -> pd.DataFrame:
        """One row a sample, in the split's own order.

        The first column, ``key``, is unique; further columns are labels and where the bytes lie.

        Raises:
            DataError: a file is not what the manifest or the format says.
        """

    def samples(self, source: Source, rows: Sequence[int]) -> Iterator[Sample]:
        """The samples of these rows of the table, in the order asked for (ascending is fast).

        Each row gives one, if need be with a ``problem``.

        Raises:
            DataError: a file is not what the manifest or the format says.
        """


class Listing(Protocol):
    """What a reader of very large splits also has (``keys``)."""

    def keys(self, source: Source) -> Iterator[Sequence[str]]:
        """The keys of the table's rows in their order, some thousands at a time; nothing that
        grows with the split is in memory but what is mapped from the store. Raises as ``table``."""


class Batching(Protocol):
    """What a reader of small samples also has (``batches``)."""

    def batches(self, source: Source, rows: Sequence[int]) -> Iterator[Batch | Sample]:
        """What ``samples`` gives of these rows, in their order: neighbours that are ordinary
        together, others one by one. Raises as ``samples``."""


class Recognising(Protocol):
    """What a reader of splits of thousands of files also has (``begins``)."""

    def begins(self, path: Path) -> bool:
        """Whether a file begins as those of samples do. Raises DataError: it cannot be read."""


class Remarking(Protocol):
    """What a reader also has that leaves out what belongs to no sample (``remarks``)."""

    def remarks(self, source: Source) -> Sequence[str]:
        """What of the split's files went into no sample, a line each. Raises as ``table``."""


class Noting(Protocol):
    """What a reader also has that passes over files of its archives (``notes``)."""

    def notes(self, source: Source) -> Sequence[str]:
        """What whoever brings the files should know, a line each. Raises as ``table``."""


class Emptying(Protocol):
    """What a reader also has whose splits differ in what they have of the fields (``empty``)."""

    def empty(self, source: Source) -> Collection[str]:
        """The fields that are empty in every sample of the split, whatever its files hold.

        Raises ManifestError.
        """


class Imaging(Protocol):
    """What a reader also has whose samples take more than their image to make (``images``)."""

    def images(self, source: Source, rows: Sequence[int]) -> Iterator[tuple[str, bytes | None]]:
        """The key and the encoded image of each of these rows, None where it is not to be had. What
        belongs to it is not looked at. Raises as ``samples``."""


class Choice(NamedTuple):
    """What a subset of a split is chosen from: the archives of its images, the files of its
    annotations that decide, and the classes by label; none where the split has no objects.

    The subset's images go into the archive ``images``, a zip or a tar; ``options`` are those of the
    reader that the subset has. ``subclasses``: label → the labels of the classes directly below it.
    """

    images: str
    archives: tuple[str, ...]
    annotations: tuple[str, ...]
    classes: tuple[str, ...]
    options: Mapping[str, Any]
    subclasses: Mapping[int, tuple[int, ...]] = MappingProxyType({})


class Picture(NamedTuple):
    """A sample's key, and the name of the member that has its image."""

    key: str
    place: str


class Cutting(NamedTuple):
    """A member of an archive of annotations, as a subset has it; no member: the file itself.

    ``data``: its bytes, or what reads them when they are written, where there are many members.
    """

    archive: str
    member: str
    data: bytes | Callable[[], bytes]

    def read(self) -> bytes:
        """Its bytes. Raises DataError where they cannot be read."""
        return self.data if isinstance(self.data, bytes) else self.data()


class Selectable(Protocol):
    """What a reader also has where subsets of its datasets can be made (``dsets.subset``)."""

    def choice(self, source: Source) -> Choice:
        """Raises UsageError where no subset of the split can be made. No file is looked at."""

    def pictures(self, source: Source, labels: Collection[int] | None) -> Iterator[Picture]:
        """The samples with an object of one of these labels, or all, in the split's own order."""

    def cut(
        self, source: Source, keys: Collection[str], labels: Collection[int] | None
    ) -> Iterator[Cutting]:
        """The annotations of these samples alone; with ``labels``, of these classes alone."""


def names() -> list[str]:
    """The readers there are."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if not name.startswith("_"))


def forget(source: Source) -> None:
    """Drop what readers keep of a split that is about to move.

    What they keep of one file alone stays: some readers know it again in another folder.
    """
    from dsets.readers import _cache, _index_file

    _cache.DECODED.clear()
    _index_file.path(source).unlink(missing_ok=True)


def kept(dataset: str) -> list[Path]:
    """The files in which readers keep what they found out about a dataset's raw files."""
    folder = store.index(dataset)
    ends = ("*.columns", ".*.columns.*.part", "*.inner.zip", ".*.inner.zip.*.part")
    return sorted(path for end in ends for path in folder.glob(end))


def remove_kept(dataset: str) -> None:
    """Remove what ``kept`` lists; a reader that has one open goes on."""
    for path in kept(dataset):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # it holds files of someone else, or was never there
        store.index(dataset).rmdir()


def load(name: str) -> Reader:
    """The reader module called ``name``.

    Raises:
        ManifestError: there is none of that name.
    """
    if name not in names():
        raise ManifestError(
            "unknown reader", expected=f"one of {', '.join(names())}", got=repr(name)
        )
    return cast(Reader, importlib.import_module(f"dsets.readers.{name}"))


def keys(source: Source) -> Iterator[Sequence[str]]:
    """The keys of all samples of a split, in the split's own order, some thousands at a time.

    Raises:
        DataError: a file is not what the manifest or the format says.
    """
    reader = load(source.manifest.reader)
    if hasattr(reader, "keys"):
        yield from cast(Listing, reader).keys(source)
        return
    column = reader.table(source)["key"]
    for start in range(0, len(column), _PIECE):
        yield column.iloc[start : start + _PIECE].tolist()


def images(source: Source, rows: Sequence[int]) -> Iterator[tuple[str, bytes | None]]:
    """The key and the encoded image of each of these rows of a split's table, None where it is not
    to be had.

    Raises:
        DataError: a file is not what the manifest or the format says.
    """
    reader = load(source.manifest.reader)
    if hasattr(reader, "images"):
        yield from cast(Imaging, reader).images(source, rows)
        return
    for sample in reader.samples(source, rows):
        image = sample.values.get("image")
        yield sample.key, image if isinstance(image, bytes) else None


def remarks(source: Source) -> Sequence[str]:
    """What of a split's files goes into no sample and stops nothing, a line each.

    Raises:
        DataError: a file is not what the manifest or the format says.
    """
    reader = load(source.manifest.reader)
    return cast(Remarking, reader).remarks(source) if hasattr(reader, "remarks") else ()


def notes(source: Source) -> Sequence[str]:
    """What whoever brings a split's files should know of them and is no fault, a line each.

    Raises:
        DataError: a file is not what the manifest or the format says.
    """
    reader = load(source.manifest.reader)
    return cast(Noting, reader).notes(source) if hasattr(reader, "notes") else ()


def empty(source: Source) -> Collection[str]:
    """The fields that every sample of a split leaves empty, as far as the manifest tells.

    Raises:
        ManifestError: the split's reader options are wrong.
    """
    reader = load(source.manifest.reader)
    return cast(Emptying, reader).empty(source) if hasattr(reader, "empty") else ()


def selectable(name: str) -> Selectable:
    """The reader called ``name``, of whose datasets subsets can be made.

    Raises:
        ManifestError: there is none of that name.
        UsageError: it cannot choose samples.
    """
    reader = load(name)
    if not hasattr(reader, "pictures"):
        able = [one for one in names() if hasattr(load(one), "pictures")]
        raise UsageError(
            "no subsets of such datasets can be made",
            expected=f"a reader that can choose: {', '.join(able)}",
            got=name,
        )
    return cast(Selectable, reader)
