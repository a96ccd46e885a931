"""The images that have come, each in a file of its own, until all are there."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import zlib
from pathlib import Path

from dsets.archive.directory import Member

FOLDER = ".subset.part"


class Spool:
    """A folder of images. A name that is there has a whole image: it was written beside.

    No image is flushed: what a crash of the machine leaves has another CRC, and comes again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, place: str) -> Path:
        """Where the image lies; a name from a stranger names no file."""
        return self.folder / hashlib.sha256(place.encode()).hexdigest()[:40]

    def holds(self, place: str, member: Member) -> bool:
        """Whether the very image of that member is here, by its size and CRC-32."""
        path = self.path(place)
        try:
            if path.stat().st_size != member.size:
                return False
            return zlib.crc32(path.read_bytes()) == member.crc
        except FileNotFoundError:
            return False

    def put(self, place: str, data: bytes | bytearray) -> None:
        """Keep an image that was found right."""
        path = self.path(place)
        part = path.with_name(f"{path.name}.{threading.get_native_id()}.part")
        part.write_bytes(data)
        os.replace(part, path)

    def clear(self) -> None:
        """All is in its final place."""
        shutil.rmtree(self.folder)
