"""What is asked for, and which samples that means."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dsets.errors import UsageError
from dsets.manifest import Manifest
from dsets.readers import Choice, Picture

_SYNONYMS = {"validation": "val", "val": "validation", "training": "train", "testing": "test"}
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Selection:
    """``classes``: an image has an object of one of them; none: any image, with objects or without.
    ``most``: images a split; None: all. ``splits``: none means those that are prepared unasked.
    ``only``: objects of other classes are dropped from the annotations of the images.
    ``subclasses``: what lies below the classes in the dataset's hierarchy counts as well."""

    classes: tuple[str, ...] = ()
    most: int | None = None
    splits: tuple[str, ...] = ()
    seed: int = 0
    only: bool = False
    subclasses: bool = False


def settled(selection: Selection, parent: Manifest) -> Selection:
    """The selection with the parent's own names of splits.

    Raises:
        UsageError: it selects nothing, or everything.
        ManifestError: there is no such split.
    """
    if not selection.classes and selection.most is None:
        raise UsageError(
            "a subset of everything is the dataset itself",
            where=parent.name,
            remedy=f"name classes or a number of images, or run 'dsets fetch {parent.name}'",
        )
    if selection.most is not None and selection.most < 1:
        raise UsageError("no images wanted", expected="at least 1", got=selection.most)
    if selection.only and not selection.classes:
        raise UsageError("only the named classes are wanted, and none is named")
    if selection.subclasses and not selection.classes:
        raise UsageError("subclasses of named classes are wanted, and none is named")
    known = {split.name for split in parent.splits}
    asked = [_SYNONYMS.get(n, n) if n not in known else n for n in selection.splits]
    names = asked or [split.name for split in parent.default_splits]
    in_order = dict.fromkeys(parent.split(name).name for name in names)
    ordered = tuple(split.name for split in parent.splits if split.name in in_order)
    return replace(selection, splits=ordered)


def labels(selection: Selection, choice: Choice, where: str) -> tuple[int, ...]:
    """The labels of the classes, in their own order; capitals and blanks around do not matter.

    Raises:
        UsageError: a class is unknown, with the names that are near, or the split has none; or
            subclasses are wanted where no hierarchy is known.
    """
    wanted = [name.strip() for name in selection.classes]
    if wanted and not choice.classes:
        raise UsageError(
            "its images cannot be chosen by class", where=where, remedy="leave the classes out"
        )
    known: dict[str, int] = {}
    for label, name in enumerate(choice.classes):
        known.setdefault(_plain(name), label)
    found = set()
    for name in wanted:
        if _plain(name) not in known:
            raise _unknown(name, choice.classes, where)
        found.add(known[_plain(name)])
    if selection.subclasses:
        if not choice.subclasses:
            raise UsageError("no hierarchy of its classes is known", where=where)
        _descend(found, choice.subclasses)
    return tuple(sorted(found))


def _descend(found: set[int], subclasses: Mapping[int, tuple[int, ...]]) -> None:
    """Add all that lies below; a class may lie below several, or, in a bad file, below itself."""
    left = list(found)
    while left:
        new = set(subclasses.get(left.pop(), ())) - found
        found |= new
        left += new


def ranked(pictures: Iterable[Picture], most: int | None, seed: int) -> Sequence[Picture]:
    """The chosen ones of the pictures, in the order given; of what is left out nothing is kept."""
    numbered = enumerate(pictures)
    if most is None:
        return [picture for _, picture in numbered]
    best = heapq.nsmallest(most, numbered, key=lambda one: (_rank(seed, one[1].key), one[0]))
    return [picture for _, picture in sorted(best)]


def default_name(parent: Manifest, selection: Selection) -> str:
    """A name for the subset that says what it is; long ones end in a digest.

    Raises:
        UsageError: it selects nothing, or everything.
        ManifestError: there is no such split.
    """
    splits = settled(selection, parent).splits if selection.splits else ()
    words = [parent.name, *selection.classes, *splits]
    words += [] if selection.most is None else [str(selection.most)]
    words += [f"seed{selection.seed}"] if selection.seed else []
    words += ["subclasses"] if selection.subclasses else []
    words += ["only"] if selection.only else []
    name = "-".join(
        filter(None, (re.sub(r"[^a-z0-9.]+", "-", w.lower()).strip("-.") for w in words))
    )
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-.')}-{digest}"


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def _unknown(name: str, classes: Sequence[str], where: str) -> UsageError:
    from difflib import get_close_matches

    plain = {_plain(one): one for one in classes}
    near = [plain[one] for one in get_close_matches(_plain(name), plain, n=3)]
    near += [one for key, one in plain.items() if _plain(name) in key and one not in near][:3]
    listed = ", ".join(classes[:100]) + (", …" if len(classes) > 100 else "")
    return UsageError(
        "no such class",
        where=where,
        expected=f"one of the {len(classes)} classes" + ("" if near else f": {listed}"),
        got=ascii(name[:80]),
        remedy=f"did you mean {' or '.join(near)}?" if near else None,
    )
