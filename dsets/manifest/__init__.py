"""Manifests: TOML that says what one dataset officially is."""

from dsets.manifest.find import find, names
from dsets.manifest.parse import parse, read
from dsets.manifest.schema import ACCESS, SCHEMA, File, Manifest, Member, Source, Split

__all__ = [
    "ACCESS",
    "SCHEMA",
    "File",
    "Manifest",
    "Member",
    "Source",
    "Split",
    "find",
    "names",
    "parse",
    "read",
]
