"""Names and addresses of files in a stranger's manifest, checked before anything uses them."""

from __future__ import annotations

from urllib.parse import urlsplit

from dsets.manifest.table import Table

# Not file: a stranger's manifest must not have us read what lies on this machine.
SCHEMES = ("https", "http", "s3", "gs")


def file_name(table: Table, key: str) -> str:
    """A name that a file of the store can have."""
    name = table.text(key)
    # A part's name adds the process id and ".part", and file systems end at 255 bytes.
    good = name.strip() == name and 0 < len(name.encode()) <= 200
    if not good or name.startswith(".") or name.endswith(".part") or set(name) & set("/\\"):
        raise table.error(key, "bad file name", "a plain name, neither hidden nor .part", name)
    return name


def addresses_of(table: Table, key: str) -> tuple[str, ...]:
    """A list of addresses."""
    addresses = table.texts(key)
    for i, address in enumerate(addresses):
        if problem := bad_address(address):
            raise table.error(f"{key}[{i}]", "bad address", problem, address)
    return addresses


def bad_address(address: str) -> str | None:
    """What an address should have been, or None when it is fine."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port  # .port raises where it is no port
    except ValueError:
        return "a URL"
    if parts.scheme == "file":
        return "no file of a machine; a folder is given to fetch by --mirror or DSETS_MIRROR"
    if parts.scheme not in SCHEMES:
        return f"a URL with one of the schemes {', '.join(SCHEMES)}"
    if " " in address or len(address) > 2048:
        return "at most 2048 characters without spaces"
    if "@" in parts.netloc:
        return "no user or password, since addresses are printed"
    return None if host else "a host"
