"""Which classes of a split are short of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsets.manifest import Split

_SHOWN = 20  # classes that a lack names; the rest are counted


def shortfalls(split: Split, classes: Sequence[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    """A line for each class that is short of pictures, ``n01440764: 3 of 1,300``; the worst 20."""
    expected = class_samples(split, classes)
    short = [
        (expected.get(name, 1) - counts.get(name, 0), name)
        for name in classes
        if counts.get(name, 0) < expected.get(name, 1)
    ]
    lines = [
        f"{name}: {counts.get(name, 0):,}" + (f" of {expected[name]:,}" if name in expected else "")
        for _, name in sorted(short, key=lambda one: (-one[0], one[1]))[:_SHOWN]
    ]
    if len(short) > _SHOWN:
        lines.append(f"… and {len(short) - _SHOWN:,} more classes")
    return tuple(lines)


def class_samples(split: Split, classes: Sequence[str]) -> dict[str, int]:
    """Class → its samples, where the manifest tells them for every class; else nothing."""
    given = split.options.get("class_samples", ())
    return dict(zip(classes, given, strict=True)) if len(given) == len(classes) else {}
