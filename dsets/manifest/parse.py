"""TOML → Manifest."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from dsets.field import Field
from dsets.manifest.schema import File, Manifest, Member, Split


def read(path: Path) -> Manifest:
    return parse(path.read_bytes(), str(path))


def parse(data: bytes, origin: str) -> Manifest:
    top: dict[str, Any] = tomllib.loads(data.decode())
    return Manifest(
        name=top["name"],
        title=top["title"],
        homepage=top["homepage"],
        licence=top["licence"],
        access=top["access"],
        citation=top["citation"],
        reader=top["reader"],
        pipeline=top["pipeline"],
        files=tuple(
            File(
                name=f["name"],
                addresses=tuple(f.get("addresses", ())),
                bytes=f.get("bytes"),
                sha256=f.get("sha256"),
                sha1=f.get("sha1"),
                md5=f.get("md5"),
                members=tuple(Member(**m) for m in f.get("member", ())),
            )
            for f in top["file"]
        ),
        splits=tuple(
            Split(name, s["samples"], tuple(s["files"]), s.get("training", False), s["reader"])
            for name, s in top["split"].items()
        ),
        fields=tuple(
            Field(
                name,
                f["dtype"],
                tuple(None if n == -1 else n for n in f["shape"]),
                classes=tuple(f.get("classes", ())),
            )
            for name, f in top["field"].items()
        ),
        digest=hashlib.sha256(data).hexdigest(),
        origin=origin,
        notes=top.get("notes", ""),
    )
