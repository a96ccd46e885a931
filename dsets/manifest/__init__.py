"""Manifests: TOML that says what one dataset officially is."""

from dsets.manifest.adopted import adopted, current, left_out, unnamed
from dsets.manifest.find import find, names
from dsets.manifest.listed import listed
from dsets.manifest.parse import check_name, parse, read
from dsets.manifest.render import render
from dsets.manifest.schema import ACCESS, SCHEMA, Catalogue, File, Manifest, Member, Source, Split

__all__ = [
    "ACCESS",
    "SCHEMA",
    "Catalogue",
    "File",
    "Manifest",
    "Member",
    "Source",
    "Split",
    "adopted",
    "check_name",
    "current",
    "find",
    "left_out",
    "listed",
    "names",
    "parse",
    "read",
    "render",
    "unnamed",
]
