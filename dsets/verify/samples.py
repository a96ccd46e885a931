"""Raw files against their manifest, in depth: every sample read, every published member hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsets import codecs, readers
from dsets.archive import members
from dsets.archive.stream import Stream
from dsets.errors import DataError
from dsets.field import Field
from dsets.manifest.schema import WITHHELD, File, Member, Source
from dsets.progress import Event, Progress, ignore
from dsets.readers import Reader, Sample, _keys
from dsets.verify import pictures
from dsets.verify.report import Check, Report

if TYPE_CHECKING:
    import pandas as pd

EVERY = 1024  # samples between two events
ALONE = 256  # rows read one by one after a bad one, since readers read ahead
RATIO = 100  # how far an archive of undeclared size may inflate; deflate itself stops at 1,032
SLACK_BYTES = 16 << 20


def samples(source: Source, progress: Progress = ignore) -> Report:
    """Read a whole split and compare it with its manifest.

    The checks: ``table`` (number of samples, unique keys), ``samples`` (each one's key, and dtype
    and shape of each field), one a bad sample, called by its key, with the reason; where there are
    any, ``annotations`` that belong to no sample, and ``remarks`` and one a sample that contradicts
    itself and yet can be used; one a field with classes (each value is one; ``counts`` in details)
    or withheld (each value says so), one for an encoded ``image`` (its format; each is decoded, and
    one that a pipeline could not use is a bad sample), one a published member of an archive (its
    size and digests; of an archive that several splits need, with the first). Damage is a failed
    check; only a manifest that its reader cannot follow raises.

    Raises:
        ManifestError: the split's reader options are wrong.
    """
    task = f"{source.manifest.name}/{source.split.name}"
    total = source.split.samples or None
    progress(Event(task, 0, total))
    checks = list(_samples(source, task, progress))
    for file in _first_needed(source):
        message = f"comparing the members of {file.name}"
        progress(Event(task, source.split.samples, total, message))
        checks.extend(_members(source, file))
    progress(Event(task, source.split.samples, total, finished=True))
    return Report(task, tuple(checks))


def _samples(source: Source, task: str, progress: Progress) -> Iterator[Check]:
    reader = readers.load(source.manifest.reader)
    readers.forget(source)
    try:
        table = reader.table(source)
    except DataError as error:
        yield Check("table", False, str(error))
        return
    yield _table(source, table)
    fields = source.manifest.fields
    columns = {"key": table["key"].tolist()}
    columns |= {f.name: table[f.name].tolist() for f in fields if f.shape == () and f.name in table}
    withheld = {field: 0 for field in fields if field.name in source.split.withheld}
    tallies = {f: [0] * len(f.classes) for f in fields if f.classes and f not in withheld}
    formats: dict[str, int] = {}
    broken = 0
    outside: dict[Field, str] = {}
    bad: list[tuple[str, str]] = []
    remarks: list[tuple[str, str]] = []
    count = 0
    for row, sample, wrong in pictures.judged(_read(reader, source, len(table))):
        if isinstance(sample, DataError):
            bad.append((columns["key"][row], str(sample)))
            continue
        if sample.problem:
            bad.append((sample.key, sample.remark or str(sample.problem)))
            continue
        if sample.remark:
            remarks.append((sample.key, sample.remark))
        if wrong:
            bad.append((sample.key, f"{sample.key}: {wrong}"))
            broken += 1
        elif mismatch := _mismatch(fields, sample, columns, row):
            bad.append((sample.key, mismatch))
        for field, tally in tallies.items():
            value: Any = sample.values.get(field.name)
            if _fits(field, value) and _count(value, tally):
                continue
            outside.setdefault(field, f"{value!s:.40} in {sample.key}")
        for field in withheld:
            withheld[field] += bool(sample.values.get(field.name) != WITHHELD)
        if not wrong and isinstance(image := sample.values.get("image"), bytes):
            kind = codecs.format_of(image) or "unknown"
            formats[kind] = formats.get(kind, 0) + 1
        count += 1
        if count % EVERY == 0:
            progress(Event(task, count, source.split.samples or None))
    if count != len(table) and not bad:
        bad.append(("samples", f"{count} samples came, the table has {len(table)}"))
    yield _summary(bad, count)
    if len(bad) > 1:
        yield from (Check(key, False, reason) for key, reason in bad)
    yield from _contradictions(remarks, readers.remarks(source))
    if formats or broken:
        yield _images(formats, broken)
    for field, tally in tallies.items():
        yield _classes(field, tally, outside.get(field))
    for field, known in withheld.items():
        message = f"withheld, so {WITHHELD} in each sample"
        yield Check(field.name, not known, f"{message}, but not in {known}" if known else message)


def _read(reader: Reader, source: Source, rows: int) -> Iterator[tuple[int, Sample | DataError]]:
    """Each row's sample, or what is wrong with it; no more after damage to the whole file, which
    shows in two samples for the very same reason."""
    row, alone, before = 0, 0, ""
    while row < rows:
        try:
            for sample in reader.samples(source, range(row, row + 1 if alone else rows)):
                yield row, sample
                row += 1
                alone = max(0, alone - 1)
            if row < rows and not alone:
                return  # too few came
        except DataError as error:
            if not alone:
                alone = ALONE  # it may be of a later row
                continue
            yield row, error
            if str(error) == before:
                return
            row, alone, before = row + 1, ALONE, str(error)


def _count(value: Any, tally: list[int]) -> bool:
    """Count labels, one or many, by class; False when one is none."""
    labels = value.reshape(-1).tolist()
    if not all(0 <= label < len(tally) for label in labels):
        return False
    for label in labels:
        tally[int(label)] += 1
    return True


def _summary(bad: Sequence[tuple[str, str]], count: int) -> Check:
    details: dict[str, object] = {"samples": count}
    if not bad:
        return Check("samples", True, f"{count} samples read", details)
    details["bad"] = [list(one) for one in bad]
    more = f"{len(bad)} bad samples, the first: " if len(bad) > 1 else ""
    return Check("samples", False, more + bad[0][1], details)


def _contradictions(samples: Sequence[tuple[str, str]], files: Sequence[str]) -> Iterator[Check]:
    """What the files say that cannot be though every sample can be used, if anything."""
    yield from (Check("annotations", False, one) for one in files)
    if not samples:
        return
    message = f"{len(samples)} samples contradict themselves, which excludes none"
    yield Check("remarks", False, message, {"samples": [list(one) for one in samples]})
    yield from (Check(key, False, remark) for key, remark in samples)


def _table(source: Source, table: pd.DataFrame) -> Check:
    count = len(table)
    details: dict[str, object] = {"samples": count}
    if count != (source.split.samples or count):
        message = f"{count} samples, the manifest says {source.split.samples}"
        return Check("table", False, message, details)
    if twice := _keys.repeated(table):
        message = f"{table['key'].duplicated().sum()} keys are not unique, the first is {twice}"
        return Check("table", False, message, details)
    return Check("table", True, f"{count} samples, their keys unique", details)


def _mismatch(
    fields: Sequence[Field], sample: Sample, columns: Mapping[str, list[Any]], row: int
) -> str:
    """What is wrong with one sample, or nothing."""
    if row >= len(columns["key"]):
        return f"{sample.key} comes after the table's last row"
    if sample.key != columns["key"][row]:
        return f"row {row} is {sample.key} when read, {columns['key'][row]} in the table"
    if len(sample.values) != len(fields):
        return f"{sample.key} has the fields {', '.join(sample.values)}"
    for field in fields:
        value = sample.values.get(field.name)
        if not _fits(field, value):
            got = f"{getattr(value, 'dtype', type(value).__name__)} {getattr(value, 'shape', '')}"
            return f"{sample.key}: the manifest says {field}, got {got}"
        if field.name in columns and columns[field.name][row] != value:
            return f"{sample.key}: {field.name} is not what the table says"
    return ""


def _fits(field: Field, value: Any) -> bool:
    """True when a value has the field's dtype and shape, or is encoded bytes where it says so."""
    if isinstance(value, bytes):
        return field.dtype == "uint8" and field.shape == (None,)
    shape = getattr(value, "shape", None)
    if shape is None or value.dtype != field.dtype:
        return False
    if shape == field.shape:
        return True
    sizes = zip(field.shape, shape, strict=False)
    return len(shape) == len(field.shape) and all(size in (None, n) for size, n in sizes)


def _classes(field: Field, tally: list[int], outside: str | None) -> Check:
    details = {"counts": dict(zip(field.classes, tally, strict=True))}
    if outside:
        return Check(field.name, False, f"not a class: {outside}", details)
    what = "samples" if field.shape == () else "values"
    message = f"{len(tally)} classes, {min(tally)} to {max(tally)} {what} in each"
    return Check(field.name, True, message, details)


def _images(formats: Mapping[str, int], broken: int) -> Check:
    """``formats``: of the pictures that can be decoded; ``broken``: how many cannot be."""
    known = dict(sorted(formats.items()))
    message = ", ".join(f"{number} {name}" for name, number in known.items()) or "none"
    bad = f"{broken} cannot be decoded and are bad samples; of the others " if broken else ""
    return Check("image", not broken, f"{bad}{message}", {"formats": known})


def _first_needed(source: Source) -> Iterator[File]:
    """The split's files with published members, but for those that an earlier split needs too."""
    for name in source.split.files:
        file = source.manifest.file(name)
        first = next(split for split in source.manifest.splits if name in split.files)
        if file.members and first.name == source.split.name:
            yield file


def _members(source: Source, file: File) -> Iterator[Check]:
    """One check a published member."""
    path = source.path(file.name)
    expected = {member.name: member for member in file.members}
    try:
        size = path.stat().st_size
        declared = sum(member.bytes or 0 for member in file.members)
        limit = max(declared, RATIO * size) + SLACK_BYTES
        with Stream(path, limit) as stream:
            for name, chunks in members.chunks(stream):
                if member := expected.pop(name, None):
                    yield _member(member, chunks)
    except (DataError, FileNotFoundError) as error:
        yield Check(file.name, False, str(error))
    for name in expected:
        yield Check(name, False, f"not found in {file.name}")


def _member(member: Member, chunks: Iterator[bytes]) -> Check:
    hashes = {
        name: hashlib.new(name, usedforsecurity=False)
        for name in ("md5", "sha1", "sha256")
        if getattr(member, name)
    }
    size = 0
    for data in chunks:
        size += len(data)
        for hashed in hashes.values():
            hashed.update(data)
    details: dict[str, object] = {"bytes": size}
    details |= {name: hashed.hexdigest() for name, hashed in hashes.items()}
    for name, found in details.items():
        published = getattr(member, name)
        if published is not None and published != found:
            message = f"{name} {found}, the manifest says {published}"
            return Check(member.name, False, message, details)
    names = ", ".join(name for name in details if getattr(member, name) is not None)
    return Check(member.name, True, f"{size} bytes; {names or 'nothing'} as published", details)
