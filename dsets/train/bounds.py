"""Bounds of a recipe's values."""

from __future__ import annotations

from dsets.errors import UsageError


def check(name: str, value: float, low: float, high: float) -> None:
    """Refuse what lies outside. Raises UsageError that names the value."""
    # Written so that NaN, which compares false with everything, is refused too.
    if not low <= value <= high:
        raise UsageError(f"bad {name}", where="recipe", expected=f"from {low} to {high}", got=value)
