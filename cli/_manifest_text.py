"""A manifest for people and for machines: what ``dsets show NAME`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from textwrap import indent
from typing import TYPE_CHECKING, Any

from dsets.field import Field
from dsets.manifest import File, Manifest, Split

from ._text import count, plain, size, table

if TYPE_CHECKING:
    from dsets.fetch import Plan

STATES = {"have": "have", "resume": "partly", "download": "absent"}
_SHOWN = 2  # files of a family
_FEW = 20  # files that a line names
DIGESTS = ("sha256", "sha1", "md5")


def download_bytes(manifest: Manifest) -> int | None:
    """The size of all files together; None where one isn't published."""
    whole = all(file.bytes is not None for file in manifest.files)
    return known_bytes(manifest) if whole else None


def known_bytes(manifest: Manifest) -> int:
    """The size of all files together whose size is published."""
    return sum(file.bytes or 0 for file in manifest.files)


def whole_size(whole: int | None, known: int) -> str:
    """The size of all files together: ``> 6 GB`` where only some are published, ``?`` for none."""
    return _size(whole) if whole is not None or not known else f"> {size(known)}"


def as_data(manifest: Manifest, plan: Plan) -> dict[str, Any]:
    """The manifest for JSON, with each file's state in the store."""
    states = {step.file.name: STATES[step.action] for step in plan.steps}
    about = ("schema", "name", "title", "homepage", "licence", "access", "citation")
    return {
        **{key: getattr(manifest, key) for key in (*about, "reader", "pipeline", "notes")},
        "files": [_file_data(file, states[file.name]) for file in manifest.files],
        "splits": [
            {
                "name": split.name,
                "samples": split.samples or None,
                "files": list(split.files),
                "training": split.training,
                "on_request": split.on_request,
                "reader": _thawed(split.options),
            }
            for split in manifest.splits
        ],
        "fields": [field_data(field) for field in manifest.fields],
        "catalogue": asdict(manifest.catalogue) if manifest.catalogue else None,
        "origin": manifest.origin,
        "digest": manifest.digest,
        "store": str(plan.folder),
    }


def field_data(field: Field) -> dict[str, Any]:
    """A field for JSON; null is a size that varies."""
    return {
        "name": field.name,
        "dtype": field.dtype,
        "shape": list(field.shape),
        "classes": list(field.classes),
    }


def as_text(manifest: Manifest, plan: Plan) -> str:
    """The manifest for people, with each file's state in the store."""
    about = [
        (key, getattr(manifest, key))
        for key in ("homepage", "licence", "access", "citation", "reader", "pipeline")
    ]
    if manifest.catalogue:
        about += [("status", manifest.catalogue.status), ("size", manifest.catalogue.size)]
    about += [("manifest", manifest.origin), ("sha256", manifest.digest)]
    splits = [
        (
            split.name,
            count(split.samples) if split.samples else "counted",
            "training" * split.training + "on request" * split.on_request,
            _names(split),
        )
        for split in manifest.splits
    ]
    unknown = sum(file.bytes is None for file in manifest.files)
    some = f" ({unknown:,} of {len(manifest.files):,} of unpublished size)" if unknown else ""
    whole = whole_size(download_bytes(manifest), known_bytes(manifest))
    if manifest.absent:
        absent = manifest.absent
        splits.insert(0, (absent.name, count(absent.samples), "training, not here", ""))
    heading = f"files, {whole}{some}, in {plan.folder}"
    parts = [
        f"{manifest.name}: {manifest.title}",
        table([(key, plain(value)) for key, value in about if value]),
        manifest.notes.strip(),
        section("splits", [table(splits)]) if manifest.splits else "",
        section("fields", field_lines(manifest.fields)) if manifest.fields else "",
        section(heading, _file_blocks(plan)),
    ]
    return "\n\n".join(part for part in parts if part)


def section(heading: str, blocks: Iterable[str]) -> str:
    """A heading over indented blocks of lines."""
    body = "\n".join(block for block in blocks if block)
    return f"{heading}\n{indent(body or 'none', '  ')}"


def field_lines(fields: Iterable[Field]) -> Iterator[str]:
    """A line a field, ``label: int64 ()  10 classes: cat, dog …``."""
    for field in fields:
        classes = ", ".join(map(plain, field.classes[:10]))
        more = ", …" if len(field.classes) > 10 else ""
        yield f"{field}  {len(field.classes)} classes: {classes}{more}" if classes else str(field)


def _file_blocks(plan: Plan) -> Iterator[str]:
    seen: dict[str, int] = {}
    steps = []
    for step in plan.steps:
        family = step.file.family
        seen[family] = seen.get(family, 0) + 1
        if not family or seen[family] <= _SHOWN:
            steps.append(step)
    rows = [(step.file.name, _size(step.file.bytes), STATES[step.action]) for step in steps]
    for head, step in zip(table(rows).splitlines(), steps, strict=True):
        file = step.file
        digests = [(name, digest) for name in DIGESTS if (digest := getattr(file, name))]
        members = [
            (member.name, _size(member.bytes), member.sha256 or member.sha1 or member.md5 or "")
            for member in file.members
        ]
        marks = ["unverified: adopted, not an official file"] if file.unverified else []
        marks += [f"part {file.part}"] if file.part else []
        marks += [f"or {digest}" for digest in file.also]
        blocks = [*marks, table(digests), *file.addresses]
        if members:
            blocks.append(section("members", [table(members)]))
        yield section(head, blocks)
    for family, number in seen.items():
        if family and number > _SHOWN:
            states = [STATES[one.action] for one in plan.steps if one.file.family == family]
            counted = ", ".join(f"{states.count(s):,} {s}" for s in sorted(set(states)))
            yield f"… {number - _SHOWN:,} more of {family}; of all: {counted}"


def _names(split: Split) -> str:
    """The files of a split; of very many the first and the last."""
    if len(split.files) <= _FEW:
        return " ".join(split.files)
    many = f"{split.files[0]} … {split.files[-1]}, {count(len(split.files))} files"
    return f"{many}, of {count(split.whole_files)}" if split.whole_files else many


def _size(number: int | None) -> str:
    return "?" if number is None else size(number)


def _file_data(file: File, state: str) -> dict[str, Any]:
    return {
        "name": file.name,
        "bytes": file.bytes,
        "unverified": file.unverified,
        "part": file.part,
        **{name: getattr(file, name) for name in DIGESTS},
        "addresses": list(file.addresses),
        "members": [
            {"name": m.name, "bytes": m.bytes, **{name: getattr(m, name) for name in DIGESTS}}
            for m in file.members
        ],
        "state": state,
    }


def _thawed(value: Any) -> Any:
    """Plain lists and dictionaries for read-only ones."""
    if isinstance(value, Mapping):
        return {key: _thawed(inner) for key, inner in value.items()}
    return [_thawed(inner) for inner in value] if isinstance(value, tuple) else value
