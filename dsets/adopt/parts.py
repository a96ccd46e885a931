"""What adopting works with: where each part of a split would come from, and what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dsets.fetch import Receipt
from dsets.manifest import File, Manifest, Split


@dataclass(frozen=True, slots=True)
class Official:
    """A file proved to be the published one; ``path`` may be its place in the store."""

    file: File
    path: Path
    receipt: Receipt

    @property
    def name(self) -> str:
        return self.file.name


@dataclass(frozen=True, slots=True)
class Stranger:
    """A file in the place of an official one, or beside them; ``why`` says what differs."""

    called: str
    path: Path
    why: str

    @property
    def name(self) -> str:
        """Its name in the store: never the official one, whose place stays free."""
        return f"adopted-{self.called}"


@dataclass(frozen=True, slots=True)
class Root:
    """Files of one folder: ``files`` maps each folder below ``path`` ("" is itself) to names."""

    path: Path
    files: Mapping[str, tuple[str, ...]]

    def __iter__(self) -> Iterator[str]:
        """The files' paths below ``path``."""
        for folder, names in self.files.items():
            for name in names:
                yield os.path.join(folder, name)

    def __len__(self) -> int:
        return sum(map(len, self.files.values()))


@dataclass(frozen=True, slots=True)
class Tree:
    """The loose files of one split, in one folder or several."""

    split: str
    roots: tuple[Root, ...]

    @property
    def name(self) -> str:
        """The name of the listing in the store; without its suffix, of the link to the folder."""
        return f"{self.split}.listing"

    def __len__(self) -> int:
        return sum(map(len, self.roots))


Part: TypeAlias = Official | Stranger | Tree


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where a split comes from: its parts, and its reader's options with the parts' names."""

    split: Split
    parts: tuple[Part, ...]
    options: Mapping[str, Any]

    @property
    def strange(self) -> tuple[Stranger | Tree, ...]:
        """The parts that nobody published."""
        return tuple(part for part in self.parts if not isinstance(part, Official))

    @property
    def counted(self) -> bool:
        """Whether its samples are to be counted: some of it is unofficial, or it may be a part."""
        return bool(self.strange) or self.split.whole_files is not None


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a split has not got, in words: what, and what it is for."""

    split: str
    what: str
    purpose: str
    expected: int | None = None
    got: int | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What adopting would do. ``official`` are to be linked; ``have`` is in the store already.

    ``splits`` are those that can be had from what is there; ``lacks`` says what is missing, of
    these and of the others; ``notes`` what was seen and left out. ``spare``: something of what was
    found is in the store already, or is not needed beside what is.
    """

    manifest: Manifest
    folder: Path
    have: tuple[Official, ...]
    official: tuple[Official, ...]
    splits: tuple[Chosen, ...]
    lacks: tuple[Lack, ...]
    notes: tuple[str, ...]
    spare: bool = False

    @property
    def idle(self) -> bool:
        """Whether nothing of what was looked through is of any use."""
        return not (self.official or self.strange or self.spare)

    @property
    def strange(self) -> tuple[Stranger | Tree, ...]:
        """Everything that would need ``unverified``, once each."""
        return tuple({part.name: part for one in self.splits for part in one.strange}.values())
