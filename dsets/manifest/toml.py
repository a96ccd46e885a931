"""TOML from strangers: bounded in size, and in the time that the parser takes over it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from dsets.errors import ManifestError

#: No manifest is larger. The parser takes time and memory in proportion: about 2 s a megabyte.
LARGEST = 4 << 20
_DEEPEST = 8

# Strings and comments, each alternative matching as far as it can even where the closing quotes are
# missing (there the parser stops with an error): every character is looked at once.
_NO_KEY = re.compile(
    r"""
    \"{3} (?: \\. | [^\\"] | "(?!"") )*+ (?: "{3,5} )?
    | '{3} (?: [^'] | '(?!'') )*+ (?: '{3,5} )?
    | " (?: \\. | [^"\\\n] )*+ "?
    | ' [^'\n]*+ '?
    | \# [^\n]*+
    """,
    re.VERBOSE | re.DOTALL,
)
_DEEP_KEY = re.compile(rf"(?:\.[ \t]*[\w-]+[ \t]*){{{_DEEPEST}}}")


def read(path: Path) -> bytes:
    """What a file holds, up to a byte more than ``loads`` takes.

    Raises:
        ManifestError: it cannot be read, or is no file.
    """
    if not path.is_file():  # opening a pipe would wait for its writer
        raise ManifestError("cannot be read", where=path, expected="a file")
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise ManifestError("cannot be read", where=path, got=error.strerror) from error


def loads(data: bytes, origin: str) -> dict[str, Any]:
    """The tables of a TOML document; ``origin`` says in errors where it came from.

    Raises:
        ManifestError: it is too large, not UTF-8, not TOML, or nested to tire the parser.
    """
    if len(data) > LARGEST:
        raise ManifestError("too large", where=origin, expected=f"at most {LARGEST} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ManifestError(
            "not text in UTF-8", where=origin, got=f"{error.reason} at byte {error.start}"
        ) from error
    # tomllib takes quadratic time over a key a.a.a.a…, quoted or not: hours for a megabyte.
    if _DEEP_KEY.search(_NO_KEY.sub("_", text)):
        raise ManifestError("a key too deep", where=origin, expected=f"at most {_DEEPEST} parts")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of 5,000 digits is a ValueError, a list in a list in a
        # list … a RecursionError.
        raise ManifestError("not valid TOML", where=origin, got=error) from error
