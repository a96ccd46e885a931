"""Zips that are the same bytes wherever they are made: stored, without times, in a given order."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from dsets.atomic import replacing

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_FILE = 0o100644 << 16
_UNIX = 3


def write(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write the zip; it has its name when it is whole.

    Stored, not deflated: images would not shrink, and what deflate makes of JSON differs from
    library to library.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system, info.external_attr = _UNIX, _FILE
            archive.writestr(info, data, zipfile.ZIP_STORED)
