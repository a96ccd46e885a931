"""Files of families: which part of them is wanted, and the listings that have their digests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsets.errors import FetchError, UsageError
from dsets.manifest import Manifest, listed


def part(text: str) -> tuple[int, int]:
    """(i, n) of "i/n": the i-th of n parts.

    Raises:
        UsageError: it is no such part.
    """
    one, slash, all_ = text.replace(",", "/").partition("/")
    numbers = slash and one.isascii() and one.isdigit() and all_.isascii() and all_.isdigit()
    if not numbers or not 1 <= int(one) <= int(all_) <= 1_000_000:
        raise UsageError("no such part", expected="i/n, from 1/n to n/n", got=repr(text[:40]))
    return int(one), int(all_)


def in_part(manifest: Manifest, names: Sequence[str], of: tuple[int, int]) -> tuple[str, ...]:
    """These files without those of families that are of another part.

    Raises:
        UsageError: none of them is of a family.
    """
    numbers = {
        family.file_name(number): (family, number)
        for family in manifest.families
        for number in family.present
    }
    if not any(name in numbers for name in names):
        raise UsageError(
            "this dataset is not one of many files in a family", where=manifest.name, got="--shards"
        )
    kept = []
    for name in names:
        family, number = numbers.get(name, (None, 0))
        if family is None or family.in_part(number, *of):
            kept.append(name)
    return tuple(kept)


def needed(manifest: Manifest, names: Sequence[str]) -> tuple[str, ...]:
    """The listings that have the digests of these files."""
    families = {manifest.file(name).family for name in names}
    found = (one.listing for one in manifest.families if one.name in families)
    return tuple(dict.fromkeys(filter(None, found)))


def resolved(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with the digests that its listings in ``folder`` give.

    Raises:
        FetchError: one is not what it should be; it is removed, so that it is fetched again.
    """
    from dsets.errors import DataError
    from dsets.fetch.receipts import forget

    try:
        return listed(manifest, folder)
    except DataError as error:
        for family in manifest.families:
            path = folder / family.listing
            if family.listing and error.where == str(path):
                path.unlink(missing_ok=True)
                forget(path)
        raise FetchError(
            error.what, where=error.where, expected=error.expected, got=error.got
        ) from error


def published(manifest: Manifest, names: Sequence[str]) -> tuple[str, ...]:
    """These files without those of families that their listing, which is here, does not have."""
    listed_families = {
        file.family for file in manifest.files if file.family and file.digest is not None
    }
    return tuple(
        name
        for name in names
        if (file := manifest.file(name)).family not in listed_families or file.digest is not None
    )


def about_bytes(manifest: Manifest, names: Sequence[str]) -> int:
    """About how many bytes the files of families among these take, as far as that is known."""
    counts: dict[str, int] = {}
    for name in names:
        family = manifest.file(name).family
        counts[family] = counts.get(family, 0) + bool(family)
    return sum(
        (family.about_bytes or 0) * counts.get(family.name, 0) // family.count
        for family in manifest.families
    )
