"""Whether a file that came without a length, a size or a digest is whole: its format may tell.

A body without a length ends with its connection, and so does one that was cut. Archives tell their
end: zip by its central directory, gzip, bzip2 and xz by their trailers, tar by its end mark.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsets.errors import CutError, DataError

CHUNK = 1 << 20
HEAD = 512
NOTE = "nothing tells where it ends: no size and no digest is published, and no length was sent"
_COMPRESSED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


def whole(path: Path, check: Callable[[], None]) -> bool | None:
    """True where the format says that all is there, False where it says the file was cut short.

    None where it says nothing. Reads the whole file where that is what it takes; ``check`` is
    called between pieces, and may raise.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    for magic, opened in _COMPRESSED.items():
        if head.startswith(magic):
            return _inflates(path, opened, check)
    try:
        if head.startswith(b"PK\3\4"):
            return _has_directory(path)
        return _has_end_mark(path, head, check)
    except CutError:
        return False
    except DataError:  # whatever else is wrong with it is for others to say
        return None


def _inflates(path: Path, opened: Callable[..., Any], check: Callable[[], None]) -> bool | None:
    try:
        with opened(path, "rb") as file:
            while file.read(CHUNK):
                check()
    except EOFError:
        return False
    except (OSError, zlib.error, lzma.LZMAError):
        return None
    return True


def _has_directory(path: Path) -> bool:
    from dsets.archive import directory
    from dsets.archive.blobs import Blobs

    with Blobs(path, "") as blobs:
        directory.members(blobs, path.stat().st_size, wanted=())
    return True


def _has_end_mark(path: Path, head: bytes, check: Callable[[], None]) -> bool | None:
    from dsets.archive import tar
    from dsets.archive.stream import Stream

    if not tar.looks_like(head):
        return None
    with Stream(path, path.stat().st_size) as stream:
        for _ in tar.walk(stream):
            check()
    return True
