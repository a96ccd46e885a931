"""What somebody may have meant by a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

#: Names by which the field calls the same kind of split.
SPLITS = (
    ("train", "training"),
    ("val", "validation", "validate", "valid", "dev"),
    ("test", "testing"),
)


def same_split(name: str, known: Iterable[str]) -> str | None:
    """The split that another usual name of the same kind means, if just one is known."""
    names = next((kind for kind in SPLITS if name.lower() in kind), (name.lower(),))
    found = [one for one in known if one in names]
    return found[0] if len(found) == 1 else None


def meant(name: str, known: Iterable[str]) -> str | None:
    """``did you mean a or b?``, of the nearest known names; None where none is near."""
    from difflib import get_close_matches

    known = [*known]
    near = [one for one in [same_split(name, known)] if one]
    near += [one for one in get_close_matches(name.lower(), known, n=3) if one not in near]
    return f"did you mean {' or '.join(near)}?" if near else None
