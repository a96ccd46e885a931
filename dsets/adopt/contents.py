"""``bundle.json``, the first member of a bundle: what the others are, byte for byte.

A bundle is a plain tar: this table, then the manifests and terms of its datasets, then raw files,
then packs.

    bundle.json                 format, datasets (manifest digest, terms), members (bytes, sha256)
    manifests/<dataset>.toml    the manifest as it was, to the byte
    terms/<dataset>.txt         licence, access, homepage and attribution
    raw/<dataset>/<file>        the files as published
    packs/<dataset>/<pipeline>/<split>/<file>    packs made from them, each with its index first
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsets.errors import AdoptError
from dsets.fetch.terms import Terms

TABLE = "bundle.json"
FORMAT = 1
LARGEST = 1 << 24  # bytes of the table, of a manifest, of terms
_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_DATASET = re.compile(NAME)
_MEMBER = re.compile(
    rf"(?:manifests|terms|raw/{NAME})/[^/\x00-\x1f\x7f]{{1,255}}"
    rf"|packs/{NAME}/{NAME}/{NAME}/(?:index\.json|statistics\.h5|shard-\d{{1,9}}\.h5)"
)


@dataclass(frozen=True, slots=True)
class Member:
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """``manifest``: the sha256 of the manifest; ``terms`` as they were when it was bundled."""

    manifest: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class Contents:
    datasets: Mapping[str, Dataset]
    members: Mapping[str, Member]

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.members.values())


def manifest_member(dataset: str) -> str:
    return f"manifests/{dataset}.toml"


def terms_member(dataset: str) -> str:
    return f"terms/{dataset}.txt"


def raw_member(dataset: str, file: str) -> str:
    return f"raw/{dataset}/{file}"


def render(contents: Contents) -> bytes:
    """The table's bytes: the same for the same contents."""
    data = {
        "format": FORMAT,
        "datasets": {
            name: {"manifest": one.manifest, "terms": asdict(one.terms)}
            for name, one in contents.datasets.items()
        },
        "members": {name: asdict(one) for name, one in contents.members.items()},
    }
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def parse(data: bytes, where: Path) -> Contents:
    """A stranger's table, read strictly.

    Raises:
        AdoptError: it is not one, or of an unknown format.
    """
    try:
        top = json.loads(data)
        if top["format"] != FORMAT:
            raise ValueError(f"format {top['format']!a:.20}")
        found = Contents(
            {_matching(_DATASET, name): _dataset(one) for name, one in top["datasets"].items()},
            {_matching(_MEMBER, name): _member(one) for name, one in top["members"].items()},
        )
        needed = {f(name) for name in found.datasets for f in (manifest_member, terms_member)}
        if not found.datasets or not needed <= set(found.members):
            raise ValueError("a dataset without its manifest or terms")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AdoptError(
            f"bad {TABLE}",
            where=where,
            expected=f"the table of a bundle of format {FORMAT}",
            got=f"{type(error).__name__}: {error}"[:120],
            remedy="make the bundle again with 'dsets bundle'",
        ) from error
    return found


def _dataset(found: Any) -> Dataset:
    terms = {key: _text(found["terms"][key]) for key in Terms.__dataclass_fields__}
    return Dataset(_matching(_SHA256, found["manifest"]), Terms(**terms))


def _member(found: Any) -> Member:
    if type(found["bytes"]) is not int or not 0 <= found["bytes"] < 1 << 62:
        raise ValueError("bytes is not a size")
    return Member(found["bytes"], _matching(_SHA256, found["sha256"]))


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value) or value.endswith(("/.", "/..")):
        raise ValueError(f"{value!a:.80}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!a:.80} is not text")
    return value
