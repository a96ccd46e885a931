"""The ground truth of an unpacked development kit, told by the digests of the archive's members."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dsets.adopt.parts import Stranger
from dsets.fetch.hashing import digests
from dsets.manifest import File, Member

SUFFIX = "_validation_ground_truth.txt"


def proved(paths: Sequence[str], kit: File) -> Stranger | None:
    """The first of ``paths`` that has the published bytes of a member of the archive ``kit``."""
    members = [member for member in kit.members if member.name.endswith(SUFFIX)]
    for path in paths:
        for member in members:
            if _is(path, member):
                why = f"unpacked; its bytes are the published ones, but not those of {kit.name}"
                return Stranger(os.path.basename(member.name), Path(path), why)
    return None


def unproved(paths: Sequence[str], kit: File) -> Stranger | None:
    """The first of ``paths``, whatever is in it."""
    if not paths:
        return None
    why = f"no published digest of {kit.name} or its members proves it"
    return Stranger(f"ILSVRC{SUFFIX}", Path(paths[0]), why)


def _is(path: str, member: Member) -> bool:
    published = {
        name: digest
        for name in ("sha256", "sha1", "md5")
        if (digest := getattr(member, name)) is not None
    }
    try:
        if not published or member.bytes is None or os.stat(path).st_size != member.bytes:
            return False
        return digests(Path(path), published) == published
    except OSError:
        return False
