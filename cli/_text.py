"""Numbers and tables as people read them."""

from __future__ import annotations

from collections.abc import Sequence


def size(count: float) -> str:
    """Bytes in powers of 1000, three digits: ``9.91 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def count(number: int) -> str:
    """A whole number with its thousands apart: ``60,000``."""
    return f"{number:,}"


def short(text: str, width: int) -> str:
    """At most ``width`` characters of a text, which ends in … where it was cut."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def plain(text: str) -> str:
    """A stranger's text with escapes for what a terminal would obey rather than show."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
