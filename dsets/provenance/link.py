"""One link of the chain, and what of it could be compared with what is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: "holds": here, and the same. "absent": not here any more; only its digest is known. "changed":
#: here is another one by now, which takes nothing from what was made. "broken": what should be the
#: same is not.
State = Literal["holds", "absent", "changed", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """``what`` was looked for, and how it stands, in one line."""

    what: str
    state: State
    told: str


@dataclass(frozen=True, slots=True)
class Link:
    """``kind``: archive, preparation, pack, run or weights. ``facts``: as they were recorded then;
    plain data."""

    kind: str
    name: str
    facts: dict[str, Any]
    checks: tuple[Check, ...] = ()


def text(value: object) -> str:
    """A stranger's value, if it is text; else nothing."""
    return value if isinstance(value, str) else ""


def table(value: object) -> dict[str, Any]:
    """A stranger's value, if it is a table; else an empty one."""
    return (
        {name: value[name] for name in value if isinstance(name, str)}
        if isinstance(value, dict)
        else {}
    )


def compared(what: str, recorded: str, here: str, otherwise: State = "changed") -> Check:
    """Whether what is here has the recorded digest."""
    if recorded == here:
        return Check(what, "holds", "the same here")
    return Check(what, otherwise, f"another one here: {here}")
