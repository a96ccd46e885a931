"""Names of members that cannot lead anywhere else, on any platform."""

from __future__ import annotations

import re

LONGEST = 4096  # as long as a path may be on Linux
#: A name that needs no closer look: by far the most, and a look costs more than reading a header.
_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}"
_PLAIN = re.compile(f"{_PART}(?:/{_PART}){{0,8}}")
_CONTROL = re.compile("[\\x00-\\x1f\\x7f]")


def safe(name: str) -> str | None:
    """The name without ``./`` and a folder's last slash; None for one that leads outside."""
    if _PLAIN.fullmatch(name):
        return name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    hostile = (
        not name
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or _CONTROL.search(name)
        or (parts and parts[0][1:2] == ":")
        or len(name) > LONGEST
    )
    return None if hostile else "/".join(parts) or "."


def shown(name: str) -> str:
    """How a message shows a hostile name."""
    return repr(name if len(name) < 100 else name[:100] + "…")
