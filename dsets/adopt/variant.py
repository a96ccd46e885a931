"""The manifest of what was adopted without proof: the official one with other files and splits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dsets.atomic import sweeping
from dsets.errors import ManifestError
from dsets.fetch import receipts
from dsets.manifest import File, Manifest, Split, adopted, parse, render
from dsets.manifest.adopted import variant_path
from dsets.readers import _listing

WORK = ".adopting.part"
OURS = "adopted-"
_OURS = re.compile(r"adopted-.*|[^.].*\.listing", re.DOTALL)
_SOME = "Of splits of many files, those that are here, with their samples counted."
_NOTE = "Adopted with --unverified: files marked unverified are nobody's publication."


def made(official: Manifest, strange: Mapping[str, Split], files: Iterable[File]) -> Manifest:
    """The official manifest, in which the splits ``strange`` and their ``files`` replace others.

    Other splits stay if their official files are in the store. Of the training split else its
    options stay, since some of them are for all splits.
    """
    known = {file.name: file for file in (*official.files, *files)}
    splits = tuple(
        strange.get(split.name, split)
        for split in official.splits
        if split.name in strange or here(official, split)
    )
    absent = official.training
    if absent and absent.name not in {split.name for split in splits}:
        absent = replace(absent, files=(), whole_files=None)
    else:
        absent = None
    needed = [name for split in splits for name in split.files]
    needed += [name for split in splits for name in _named(split.options) if name in known]
    others = [file.name for file in official.files if _receipt(official, file)]
    strangers = any(known[name].unverified for name in needed)
    notes, note = official.notes.rstrip("\n"), _NOTE if strangers else _SOME
    families = tuple(
        family if family.listing in others else replace(family, listing="")
        for family in official.families
    )
    class_files = (
        (field, name if name in others else f"adopted-{name}")
        for field, name in official.class_files
    )
    return replace(
        official,
        splits=splits,
        absent=absent,
        families=families,
        class_files=tuple(pair for pair in class_files if pair[1] in {*others, *needed}),
        files=tuple(known[name] for name in dict.fromkeys([*needed, *others])),
        notes=f"{notes}\n{note}\n" if notes else f"{note}\n",
    )


def _named(value: object) -> Iterator[str]:
    """Every text in a reader's options: the names of files among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _named(inner)


def here(official: Manifest, split: Split) -> bool:
    """Whether every official file of a split is in the store, as receipts that hold say."""
    return all(_receipt(official, official.file(name)) for name in split.files)


def many(official: Manifest, name: str) -> bool:
    """Whether a split is of thousands of files, of which some are as good as all."""
    return any(official.file(file).family for file in official.split(name).files)


def there(official: Manifest, name: str) -> bool:
    """Whether an official file is in the store, as a receipt that holds says."""
    return _receipt(official, official.file(name)) is not None


def kept(official: Manifest) -> tuple[dict[str, Split], tuple[File, ...]]:
    """The unverified splits, with their files, of the variant in the store that still hold.

    A split whose official files are all in the store by now is theirs again.
    """
    try:
        variant = adopted(official.name)
    except ManifestError:  # nothing of it can be trusted, so nothing of it is kept
        variant = None
    if variant is None:
        return {}, ()
    known = {split.name for split in official.splits}
    splits = {
        split.name: split
        for split in variant.splits
        if split.name in known
        and (split.whole_files is not None or variant.unverified(split))
        and (many(official, split.name) or not here(official, official.split(split.name)))
    }
    names = {name for split in splits.values() for name in split.files}
    return splits, tuple(file for file in variant.files if file.unverified and file.name in names)


def settle(official: Manifest) -> Manifest | None:
    """Let official files supersede what was adopted in their place; the variant if one is left.

    When nothing unverified is left, the variant goes. Adopted files that no split names any more go
    too: links, listings, copies; never what a link leads to.

    Raises:
        ManifestError: the variant is damaged.
    """
    variant = adopted(official.name)
    if variant is None:
        return None
    splits, files = kept(official)
    path = variant_path(official.name)
    if splits:
        now = made(official, splits, files)
        if render(now) != render(variant):
            write(now)
    else:
        path.unlink(missing_ok=True)
    for file in variant.files:
        if file.unverified and file not in files:
            drop(path.parent, file)
    with suppress(OSError):
        path.parent.rmdir()
    return adopted(official.name)


def write(variant: Manifest) -> Path:
    """Put the variant into the store, after reading it as strictly as any manifest."""
    path = variant_path(variant.name)
    data = render(variant)
    parse(data, str(path))
    with sweeping(path) as part:
        part.write_bytes(data)
    return path


def drop(folder: Path, file: File) -> None:
    """Remove an adopted file from the store: links and copies, never what a link leads to."""
    for path in own(folder, file):
        remove(path)


def own(folder: Path, file: File) -> Sequence[Path]:
    """Everything in the store that belongs to an adopted file, as far as it is there."""
    path = folder / file.name
    paths = [path, receipts.receipt_path(path)]
    if file.name.endswith(_listing.SUFFIX):
        paths.append(_listing.folder(path))
    return [one for one in paths if one.is_symlink() or one.exists()]


def left(official: Manifest) -> tuple[Path, ...]:
    """All that adopting put into the store, told by names and receipts: the variant may be damaged.

    A file without a receipt is not ours, whatever it is called, nor is a folder without a listing.
    """
    folder = variant_path(official.name).parent
    files = [path for path in folder.glob("*") if _OURS.fullmatch(path.name)]
    found = [path for file in files for path in own(folder, File(file.name)) if receipted(file)]
    ours = (variant_path(official.name), folder / WORK)
    return tuple(sorted({*found, *(path for path in ours if path.exists())}))


def receipted(path: Path) -> bool:
    """Whether what lies at ``path`` came by adopting."""
    return receipts.remembered(path) is not None


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder of ours, in which links are never followed."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _receipt(official: Manifest, file: File) -> receipts.Receipt | None:
    path = variant_path(official.name).parent / file.name
    receipt = receipts.read(path)
    return (
        None
        if receipt is None or receipts.mismatch(file, receipt.bytes, receipt.digests)
        else receipt
    )
