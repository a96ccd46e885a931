"""Archives that are the same bytes wherever they are made: stored, without times, in an order."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from dsets.atomic import sweeping

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip can say
_FILE = 0o100644 << 16
_UNIX = 3


def write(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip, or a tar where it is called so; it has its name when it is whole.

    Stored, not deflated: images would not shrink, and what deflate makes of JSON differs from
    library to library.
    """
    if path.suffix == ".tar":
        with sweeping(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in members:
                header = tarfile.TarInfo(name)
                header.size, header.mode = len(data), 0o644
                tar.addfile(header, io.BytesIO(data))
        return
    with sweeping(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system, info.external_attr = _UNIX, _FILE
            archive.writestr(info, data, zipfile.ZIP_STORED)
