"""One record's values as the fields want them, or why it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from dsets.archive.example import Columns, Parsed
from dsets.errors import DataError
from dsets.field import Field
from dsets.readers._youtube8m_options import FRAMES, SEGMENTS, Options

_LONGEST_ID = 64


def identity(parsed: Parsed) -> str:
    """The video's id, or nothing where the record has none that can be a key."""
    found = parsed.features.get("id")
    if not isinstance(found, list) or len(found) != 1 or not 0 < len(found[0]) <= _LONGEST_ID:
        return ""
    text = found[0].decode("latin-1")
    return text if text.isascii() and text.isprintable() and " " not in text else ""


def values(parsed: Parsed, options: Options) -> dict[str, Any]:
    """The value of each field.

    Raises:
        DataError: the record lacks one, or it is of another kind or size. Fixed words, no path.
    """
    if not identity(parsed):
        raise DataError("the record has no id that can be a key")
    made = {
        field.name: (_frames if field.name in FRAMES else _numbers)(field, parsed)
        for field in options.fields
    }
    for what, names in (
        ("the segments' lists do not agree", SEGMENTS),
        ("rgb and audio have different numbers of frames", FRAMES),
    ):
        counts = {name: len(made[name]) for name in names if name in made}
        if len(set(counts.values())) > 1:
            raise DataError(
                what,
                expected="as many of each",
                got=", ".join(f"{count} {name}" for name, count in counts.items()),
            )
    _check_segments(made)
    return made


def _check_segments(made: dict[str, Any]) -> None:
    """Raise DataError where a segment has none of the video's frames, one of which is a second."""
    starts, ends = (made.get(name, ()) for name in SEGMENTS[:2])
    frames = next((len(made[name]) for name in FRAMES if name in made), None)
    if frames is not None and len(starts) and not 0 <= starts.min() <= starts.max() < frames:
        raise DataError(
            "a segment lies outside the video",
            expected=f"begins at 0 to {frames - 1} seconds",
            got=f"{starts.min()} to {starts.max()}",
        )
    if len(starts) and len(ends) and not (starts < ends).all():
        raise DataError("a segment ends before it begins")


def kinds(options: Options) -> dict[str, str]:
    """What each feature of a video-level record is, for ``example.columns``."""
    return {"id": "uint8", **{field.name: field.dtype for field in options.fields}}


def columns(found: Columns, ids: Sequence[str], options: Options) -> dict[str, Any] | None:
    """``values`` of video-level records with these ids, as columns: a field of fixed size as one
    array (n, width), another as a list of n arrays; None where one of them is not ordinary.
    """
    own = found.columns["id"]
    lengths = np.array([len(one) for one in ids], np.int64)
    if found.others or not lengths.all() or not np.array_equal(own.ends, np.cumsum(lengths)):
        return None
    if own.values.tobytes() != "".join(ids).encode("latin-1"):
        return None
    made: dict[str, Any] = {}
    for field in options.fields:
        flat, ends = found.columns[field.name]
        bad = field.classes and len(flat) and not 0 <= flat.min() <= flat.max() < len(field.classes)
        if bad:
            return None
        if field.fixed:
            rows = found.columns[field.name].rows()
            if rows is None or rows.shape[1:] != field.shape:
                return None
            made[field.name] = rows
        else:
            made[field.name] = [flat[a:b] for a, b in pairwise([0, *ends.tolist()])]
    return made


def _numbers(field: Field, parsed: Parsed) -> np.ndarray:
    found = parsed.features.get(field.name)
    if found is None and field.shape == (None,):
        return np.empty(0, field.dtype)  # the test split has no labels, a video may have no segment
    if not isinstance(found, np.ndarray) or found.dtype != field.dtype:
        raise DataError(f"no {field.name}", expected=field, got=_kind(found))
    if field.shape != (None,) and found.shape != field.shape:
        raise DataError(
            f"{field.name} of another size", expected=f"{field.shape[0]} values", got=len(found)
        )
    if field.classes and len(found) and not 0 <= found.min() <= found.max() < len(field.classes):
        raise DataError(
            f"{field.name} has what is no class",
            expected=f"0 to {len(field.classes) - 1}",
            got=f"{found.min()} to {found.max()}",
        )
    return found


def _frames(field: Field, parsed: Parsed) -> np.ndarray:
    found = parsed.lists.get(field.name)
    width = field.shape[1]
    if isinstance(found, list) and not found:
        found = np.empty((0, width or 0), np.uint8)
    if not isinstance(found, np.ndarray):
        what = f"no {field.name}" if found is None else f"{field.name} of another form"
        raise DataError(what, expected=f"{width} bytes in each frame", got=_odd(found))
    if found.shape[1] != width:
        raise DataError(
            f"{field.name} of another size",
            expected=f"{width} bytes a frame",
            got=found.shape[1],
        )
    if field.dtype == "uint8":
        return found
    from dsets.transforms import dequantize

    return np.asarray(dequantize(found))


def _odd(found: Any) -> str | None:
    """What a feature list is that is no array of frames."""
    if found is None:
        return None
    if not all(isinstance(one, list) for one in found):
        return "frames that are no byte strings"
    if any(len(one) != 1 for one in found):
        return "frames of several byte strings, or none"
    sizes = [len(one[0]) for one in found]
    return f"{min(sizes)} to {max(sizes)} bytes"


def _kind(found: Any) -> str:
    if found is None:
        return "none"
    return "byte strings" if isinstance(found, list) else f"{found.dtype} ({len(found)},)"
