"""How much an address may send of one file, lest a body without an end fill the disk."""

from __future__ import annotations

import shutil

from dsets.fetch.answers import Refused
from dsets.fetch.part import Part

LARGEST = 16 << 30  # bytes of a file whose size neither its manifest nor its server tells
RESERVE = 2 << 30  # bytes that such a file leaves free, or a twentieth of a small disk
LOOK = 1 << 24  # bytes of such a file between two looks at the disk


def check(part: Part, more: int) -> None:
    """Refuse so many bytes more where they are more than the file has, or may have.

    The part is empty then.
    """
    size, size_after = part.size, part.size + more
    limit = part.file.bytes if part.file.bytes is not None else part.told
    try:
        if limit is None:
            _check_endless(part, size, size_after)
        elif size_after > limit:
            who = part.file.stated_by if part.file.bytes is not None else "it itself"
            raise Refused(f"sends more than the {limit} bytes that {who} says")
    except Refused:
        part.clear()
        raise


def _check_endless(part: Part, size: int, size_after: int) -> None:
    unknown = "and neither the manifest nor the server says how many there are; thrown away"
    if size_after > LARGEST:
        raise Refused(f"sends more than {LARGEST} bytes, {unknown}")
    if size // LOOK == size_after // LOOK:
        return
    disk = shutil.disk_usage(part.path.parent)
    reserve = min(RESERVE, disk.total // 20)
    if disk.free < reserve:
        raise Refused(
            f"sent {size_after} bytes, which left the disk with less than {reserve}, {unknown}"
        )
