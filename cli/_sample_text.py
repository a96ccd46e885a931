"""Samples in full: their values as text, and as pictures with what is marked on them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dsets.errors import DataError
from dsets.field import Field
from dsets.manifest import Source
from dsets.readers import Reader, Sample

from ._text import plain

_ITEMS = 6  # of an array, as text


def shown(source: Source, reader: Reader, limit: int, png: Path | None, *, as_json: bool) -> str:
    """The first samples of a split; with ``png`` each one is drawn to a file in that folder.

    Raises:
        DataError: there is nothing to draw: no pictures in this dataset, or none that can be read.
    """
    fields = {field.name: field for field in source.manifest.fields}
    where = f"{source.manifest.name}/{source.split.name}"
    if png is not None and "image" not in fields:
        raise DataError(
            "nothing to draw: its samples have no picture",
            where=where,
            got=f"fields {', '.join(fields)}",
            remedy="leave --png out",
        )
    count = min(limit, len(reader.table(source)))
    blocks, data, drawn = [], [], 0
    for sample in islice(reader.samples(source, range(count)), count):
        wrong = sample.remark or str(sample.problem or "")
        name = "problem" if sample.problem else "contradiction"
        texts = {name: plain(wrong)} if wrong else {}
        texts |= dict(_texts(sample, fields))
        numbers = _numbers(sample, fields)
        values: dict[str, Any] = {}
        for one, value in texts.items():
            values |= numbers.get(one, {one: value})
        if png is not None and not sample.problem:
            try:
                texts["drawn"] = values["drawn"] = str(_draw(sample, fields, png))
                drawn += 1
            except DataError as error:
                texts["not drawn"] = values["not drawn"] = plain(str(error))
        blocks.append("\n".join([plain(sample.key), *(f"  {k}: {v}" for k, v in texts.items())]))
        data.append({"key": sample.key, **values})
    text = json.dumps(data, indent=2) if as_json else "\n\n".join(blocks)
    if png is not None and not drawn:
        what = "no picture can be read" if count else "no samples are here"
        raise DataError(f"nothing to draw: {what}", where=where, got=text or None)
    return text


def _texts(sample: Sample, fields: Mapping[str, Field]) -> Iterable[tuple[str, str]]:
    for name, value in sample.values.items():
        if sample.problem and not isinstance(value, bytes):
            continue  # of a broken sample they may be anything
        if isinstance(value, bytes):
            from dsets import codecs

            yield name, f"{len(value):,} bytes, {codecs.format_of(value) or 'no image'}"
        elif f"{name}_ends" in sample.values and name == "caption":
            from dsets.codecs import rle

            captions = rle.split(value, sample.values[f"{name}_ends"])
            yield name, " | ".join(plain(one.decode("utf-8", "replace")) for one in captions)
        else:
            yield name, _array(fields[name], value)


def _numbers(sample: Sample, fields: Mapping[str, Field]) -> dict[str, dict[str, Any]]:
    """By field, values that are single numbers, as such; those of classes with their names."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in sample.values.items():
        if sample.problem or isinstance(value, bytes) or value.shape != ():
            continue
        number = value.item()
        found[name] = {name: number}
        if _is_class(fields[name], number):
            found[name][f"{name}_class"] = plain(fields[name].classes[number])
    return found


def _array(field: Field, value: Any) -> str:
    if value.shape == ():
        number = value.item()
        named = _named(field, number)
        return f"{number}: {named}" if _is_class(field, number) else named
    shape = " x ".join(map(str, value.shape))
    if value.ndim > 2 or field.dtype == "uint8":
        return f"{field.dtype}, {shape}"
    rows = value.tolist()
    text = ", ".join(
        _named(field, one) if value.ndim == 1 else f"({_row(field, one)})" for one in rows[:_ITEMS]
    )
    return f"{shape}: {text}{', …' if len(rows) > _ITEMS else ''}"


def _row(field: Field, row: list[Any]) -> str:
    more = ", …" if len(row) > _ITEMS else ""
    return ", ".join(_named(field, one) for one in row[:_ITEMS]) + more


def _named(field: Field, value: Any) -> str:
    if _is_class(field, value):
        return plain(field.classes[value])
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_class(field: Field, value: Any) -> bool:
    return bool(field.classes) and type(value) is int and 0 <= value < len(field.classes)


def _draw(sample: Sample, fields: Mapping[str, Field], folder: Path) -> Path:
    from dsets import codecs
    from dsets.atomic import replacing

    from . import _drawing

    if "image" not in sample.values:
        raise DataError("no picture to draw on")
    name = re.sub(r"[^A-Za-z0-9_-]", "_", sample.key)[:100]
    target = folder / f"{name}.png"
    drawn = _drawing.drawn(sample.values, {name: one.classes for name, one in fields.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        part.write_bytes(codecs.encode_png(drawn))
    return target
