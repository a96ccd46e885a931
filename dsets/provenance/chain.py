"""From whatever one has in hand to the chain behind it."""

from __future__ import annotations

from pathlib import Path

from dsets.errors import MissingLibraryError, UsageError
from dsets.pack import index
from dsets.pack.schema import INDEX
from dsets.provenance import packed
from dsets.provenance.link import Link

CHECKPOINT = "checkpoint.pt"


def of(path: str | Path, packs: str | Path | None = None) -> list[Link]:
    """The chain of a checkpoint, of a run's folder, or of a pack, the archive first.

    ``packs`` is the folder that holds a run's packs now, one a split, if they were moved.

    Raises:
        UsageError: it is nothing of these.
        TrainError, PackError: it is damaged.
        MissingLibraryError: it is a checkpoint, and torch is not installed.
    """
    place = Path(path)
    if (place / CHECKPOINT).is_file():
        place = place / CHECKPOINT
    elif (place / INDEX).is_file():
        found = place.absolute()
        return packed.links(packed.recorded(index.read(found), found))
    if not place.is_file():
        raise UsageError(
            "nothing here has a provenance",
            where=place,
            expected=f"a checkpoint, a run's folder with {CHECKPOINT}, or a pack",
            got="a folder" if place.is_dir() else "nothing",
        )
    try:
        from dsets.provenance import trained
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingLibraryError(
            "reading a checkpoint needs torch, which is not installed",
            remedy="pip install 'dsets[torch]'",
        ) from error
    return trained.links(place, None if packs is None else Path(packs))
