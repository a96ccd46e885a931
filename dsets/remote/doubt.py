"""Files in the cache that are no longer what was fetched: a receipt cannot see bytes that rot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dsets.fetch import hashing, is_offline, receipts


def damaged(path: Path, sha256: str) -> bool:
    """Whether the file there has other bytes than once were fetched. Reads all of it.

    Its receipt then says so, and whoever needs it next fetches it anew; but not where nobody may be
    asked: what is still whole in it could not be used, either. The receipt stays, since it also
    says that the file is ours to remove.
    """
    try:
        known = receipts.read(path)
        found = hashing.digests(path, ("sha256",))
        if found["sha256"] == sha256:
            return False
        if known is not None and not is_offline():
            receipts.write(path, replace(known, digests=found))
    except OSError:  # gone meanwhile, or what does not answer now may answer later
        return False
    return True
