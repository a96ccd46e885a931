"""What a manifest says, as frozen dataclasses. ``dsets.manifest.parse`` makes them from TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.family import Family
from dsets.near import meant, same_split

SCHEMA = 1
MADE_BY = (
    "Made, here and elsewhere, by: "  # begins the line of notes with the command that makes it
)
WITHHELD = -1  # the value of a withheld field
ACCESS = ("open", "login", "on request", "withdrawn", "unavailable")
#: Of these no file is offered: their authors took them back, or nobody is known to give them.
NOT_OFFERED = ("withdrawn", "unavailable")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive, with the figures that are published for it."""

    name: str
    bytes: int | None = None
    sha256: str | None = None
    sha1: str | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """One file as published: ``addresses`` in order of preference, digests in lower-case hex.

    ``unverified`` marks one that nobody published, which ``adopt`` accepted as the user's word.
    ``listed_bytes`` is the size of everything that the file lists, where it is a listing.
    ``also`` has digests ("md5:…") of other issues of the file, any of which proves it right too.
    ``part`` names what it belongs to, such as "annotations". ``below`` are the paths besides its
    name under which it may lie below a mirror, ``family`` the name of the family that it is of.
    ``singly`` are addresses of folders in which an archive's members lie one by one, by base name.
    ``known_as`` has other names under which people keep it, which prove nothing.
    ``stated_by``: who says so of its size and digests, for messages.
    """

    name: str
    addresses: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    sha1: str | None = None
    md5: str | None = None
    members: tuple[Member, ...] = ()
    unverified: bool = False
    listed_bytes: int | None = None
    also: tuple[str, ...] = ()
    part: str = ""
    below: tuple[str, ...] = ()
    family: str = ""
    singly: tuple[str, ...] = ()
    known_as: tuple[str, ...] = ()
    stated_by: str = "the manifest"

    @property
    def digest(self) -> tuple[str, str] | None:
        """The strongest published digest as (algorithm, hex), or None."""
        for algorithm in ("sha256", "sha1", "md5"):
            if value := getattr(self, algorithm):
                return algorithm, value
        return None


class Options(Mapping[str, Any]):
    """A read-only copy of a table, all the way down (lists become tuples); it can be pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = {key: _frozen(value) for key, value in items.items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def plain(self) -> dict[str, Any]:
        """As dicts, all the way down; lists stay tuples."""
        return {key: _plain(value) for key, value in self._items.items()}

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.plain()
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Options(value)
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True, slots=True)
class Split:
    """One split: how many samples it has, which files it needs, and what its reader must know.

    ``samples`` is 0 where nobody publishes how many there are: they are counted in the files.
    ``training`` marks the one split that statistics are computed from. ``options`` is the table
    ``[split.NAME.reader]``, read-only and with tuples for lists; each reader documents and checks
    its own keys. ``withheld`` names the integer fields whose values nobody published for this
    split: they are WITHHELD in every sample of it. ``on_request`` marks one that is prepared, and
    whose files of a part are fetched, only when it is named: it repeats others' samples, as a rule.
    ``whole_files`` is how many files the whole split has, where these are only some of them.
    """

    name: str
    samples: int
    files: tuple[str, ...]
    training: bool
    options: Mapping[str, Any]
    withheld: tuple[str, ...] = ()
    on_request: bool = False
    whole_files: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", Options(self.options))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is said of a dataset that no reader reads: how it can be had, or why not; its size."""

    status: str
    size: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One dataset. ``digest`` is the sha256 of the TOML's bytes; ``origin`` says where it lay.

    With ``catalogue`` it is only described, and perhaps fetched: it has neither reader nor
    pipeline (both empty), splits nor fields.
    ``files`` has the files of the ``families`` too. ``class_files`` pairs fields with the CSV file
    that names their classes, in the first of ``class_columns`` that is not empty.
    ``absent`` is the training split where it is not among ``splits`` since its files are not here:
    it has no files, and is kept for what its options say of the others.
    """

    name: str
    title: str
    homepage: str
    licence: str
    access: str
    citation: str
    reader: str
    pipeline: str
    files: tuple[File, ...]
    splits: tuple[Split, ...]
    fields: tuple[Field, ...]
    digest: str
    origin: str
    notes: str = ""
    schema: int = SCHEMA
    catalogue: Catalogue | None = None
    families: tuple[Family, ...] = ()
    class_files: tuple[tuple[str, str], ...] = ()
    class_columns: tuple[str, ...] = ()
    absent: Split | None = None
    _by_name: dict[str, File] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update((file.name, file) for file in self.files)

    @property
    def made_by(self) -> str:
        """The command that makes the files, if the notes have one; nothing else does."""
        lines = (line for line in self.notes.splitlines() if line.startswith(MADE_BY))
        return next(lines, "").removeprefix(MADE_BY)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that files belong to, in the order of the files."""
        return tuple(dict.fromkeys(file.part for file in self.files if file.part))

    @property
    def training(self) -> Split | None:
        """The training split, be its files here or not; None of a manifest without splits."""
        return next((one for one in self.splits if one.training), self.absent)

    @property
    def default_splits(self) -> tuple[Split, ...]:
        """The splits that are meant where none is named: all, where there are none but those that
        are made on request, as in what was adopted."""
        return tuple(split for split in self.splits if not split.on_request) or self.splits

    @property
    def default_files(self) -> tuple[str, ...]:
        """The files that are meant where none are named: of a part, those that such splits need."""
        needed = {name for split in self.default_splits for name in split.files}
        return tuple(file.name for file in self.files if not file.part or file.name in needed)

    def part(self, name: str) -> tuple[str, ...]:
        """The files of a part. Raises ManifestError when there is none of that name."""
        if name not in self.parts:
            known = f"one of {', '.join(self.parts)}" if self.parts else "none: it has no parts"
            raise ManifestError(
                "no such part",
                where=self.name,
                expected=known,
                got=name,
                remedy=meant(name, self.parts),
            )
        return tuple(file.name for file in self.files if file.part == name)

    def unverified(self, split: Split) -> tuple[str, ...]:
        """The files of a split that nobody published: what is made of them carries the mark."""
        return tuple(name for name in split.files if self.file(name).unverified)

    def file(self, name: str) -> File:
        """The file called ``name``. Raises ManifestError when there is none."""
        if name in self._by_name:
            return self._by_name[name]
        known = ", ".join(file.name for file in self.files[:50])
        raise ManifestError("no such file", where=self.name, expected=f"one of {known}", got=name)

    def split(self, name: str) -> Split:
        """The split called ``name``, or by another usual name of it: validation for val.

        Raises:
            ManifestError: there is none.
        """
        known = {split.name: split for split in self.splits}
        if (found := known.get(name)) or (found := known.get(same_split(name, known) or "")):
            return found
        absent = self.absent is not None and self.absent.name == name
        raise ManifestError(
            "this split is not among what was adopted" if absent else "no such split",
            where=self.name,
            expected=f"one of {', '.join(known)}",
            got=name,
            remedy=f"run 'dsets fetch {self.name}/{name}', or adopt its files"
            if absent
            else meant(name, known),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """A split of a dataset whose files lie in the folder ``root``: what a reader reads.

    Small and picklable, so a Dask task carries it whole.
    """

    manifest: Manifest
    split: Split
    root: Path

    def path(self, name: str) -> Path:
        """Where the file called ``name`` lies. Raises ManifestError for a file nobody declared."""
        return self.root / self.manifest.file(name).name
