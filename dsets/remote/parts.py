"""Parts that fetches into the cache have left: files of ours, which may be removed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dsets.atomic import replacing
from dsets.fetch.part import part_path

PARTS = "parts.json"
#: A pack's digest, and a plain file name.
_NAME = re.compile(r"[0-9a-f]{64}/(?!\.)[^/\0]+")


def shard_path(root: Path, name: str) -> Path:
    """Where a shard lies in the cache at ``root``."""
    return root / "packs" / name


def remember(root: Path, names: Iterable[str]) -> None:
    """Of these, which were held, those that left a part: it is ours to remove. The folder is
    locked."""
    new = {
        one for one in names if _NAME.fullmatch(one) and part_path(shard_path(root, one)).exists()
    }
    if new:
        with replacing(root / PARTS) as file:
            file.write_text(json.dumps(sorted(new | left(root).keys())) + "\n")


def left(root: Path) -> dict[str, os.stat_result]:
    """The parts that were left here and are still there."""
    try:
        names = json.loads((root / PARTS).read_bytes())
        known = [one for one in names if isinstance(one, str) and _NAME.fullmatch(one)]
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
    found = {}
    for one in known:
        with suppress(OSError):
            found[one] = part_path(shard_path(root, one)).lstat()
    return found
