"""What the names of ImageNet's pictures say.

    n01440764_10026.JPEG               training: the class and a number within it
    ILSVRC2012_val_00000293.JPEG       validation and test: a number within the split

The name without its suffix is the sample's key. It alone decides: the folder or inner archive that
a picture lies in may repeat the class, and must then agree.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PICTURE = re.compile(
    r"(?:(?P<wnid>n[0-9]{8})_(?P<number>0|[1-9][0-9]{0,8})"
    r"|(?P<stem>ILSVRC20[0-9]{2}_(?:val|test)_)(?P<ordinal>[0-9]{8}))"
    r"(?P<suffix>\.(?:[Jj][Pp][Ee]?[Gg]|[Pp][Nn][Gg]))"
)
_WNID = re.compile(r"n[0-9]{8}")


class Name(NamedTuple):
    """``stem`` is empty for a picture that is called after its class, else ``wnid`` is."""

    wnid: str
    stem: str
    number: int
    suffix: str


def parsed(base: str) -> Name | None:
    """What the last part of a path says, or None when it is not a picture's name."""
    if (found := _PICTURE.fullmatch(base)) is None:
        return None
    wnid, number, stem, ordinal, suffix = found.groups()
    return Name(wnid or "", stem or "", int(number or ordinal), suffix)


def kind(stem: str) -> str:
    """Which pictures are called so: ``train``, ``val`` or ``test``."""
    return stem.split("_")[1] if stem else "train"


def number(wnid: str) -> int:
    """The number in a wnid; the order of the numbers is that of the names."""
    return int(wnid[1:])


def wnid(number: int) -> str:
    """The wnid with that number."""
    return f"n{number:08d}"


def key(wnid: str, stem: str, number: int) -> str:
    """The sample's key; ``wnid`` does not matter where there is a ``stem``."""
    return f"{stem}{number:08d}" if stem else f"{wnid}_{number}"


def home(folder: str, archive: str) -> str:
    """The wnid of the folder, else of the inner archive, that a picture lies in; or nothing."""
    last = (folder or archive.removesuffix(".tar")).rpartition("/")[2]
    return last if _WNID.fullmatch(last) else ""
