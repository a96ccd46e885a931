"""Tiny raw datasets in the published formats, and the manifests that describe them."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dsets.field import Field
from dsets.manifest import File, Manifest, Member, Source, Split

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
CLASSES = ("cat", "dog", "frog")
IMAGE = Field("image", "uint8", (4, 5, 1))
LABEL = Field("label", "int64", (), classes=CLASSES)


def manifest_of(
    reader: str, files: Sequence[File], splits: Sequence[Split], fields: Sequence[Field]
) -> Manifest:
    return Manifest(
        name="tiny",
        title="Tiny",
        homepage="https://example.org/",
        licence="CC0 1.0",
        access="open",
        citation="Nobody",
        reader=reader,
        pipeline="as_is",
        files=tuple(files),
        splits=tuple(splits),
        fields=tuple(fields),
        digest="0" * 64,
        origin="tiny.toml",
    )


def idx(array: np.ndarray[Any, Any]) -> bytes:
    code = IDX_CODES[array.dtype.str[1:]]
    head = struct.pack(f">HBB{array.ndim}i", 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def images(count: int, shape: Sequence[int] = (4, 5)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).integers(0, 256, (count, *shape), dtype=np.uint8)


def idx_source(
    root: Path,
    contents: Mapping[str, bytes],
    samples: int,
    fields: Sequence[Field] = (IMAGE, LABEL),
    members: Sequence[Member] = (),
) -> Source:
    """Files called after their fields, each holding the bytes given."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (root / f"{name}.gz").write_bytes(content)
    options = {field.name: f"{field.name}.gz" for field in fields}
    files = [File(f"{name}.gz", members=tuple(members)) for name in options]
    split = Split("train", samples, tuple(options.values()), True, options)
    return Source(manifest_of("idx", files, [split], fields), split, root)


def digits(root: Path, count: int = 7, **more: Any) -> Source:
    """A sound MNIST of ``count`` pictures of 4 x 5."""
    contents = {"image": idx(images(count)), "label": idx((np.arange(count) % 3).astype("u1"))}
    return idx_source(root, {k: gzip.compress(v) for k, v in contents.items()}, count, **more)


def python2(value: Any) -> bytes:
    """A pickle as Python 2 wrote CIFAR's: protocol 2, byte strings, nearly all in the memo."""
    memo = itertools.count(1)

    def put() -> bytes:
        index = next(memo)
        return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)

    def write(value: Any) -> bytes:
        match value:
            case bytes():
                short = len(value) < 256
                head = b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
                return head + value + put()
            case int():
                if 0 <= value < 1 << 16:
                    return b"K" + bytes([value]) if value < 256 else struct.pack("<cH", b"M", value)
                return struct.pack("<ci", b"J", value)
            case list():
                return b"]" + put() + b"(" + b"".join(map(write, value)) + b"e"
            case dict():
                begin = b"}" + put() + b"("
                return begin + b"".join(write(k) + write(v) for k, v in value.items()) + b"u"
            case np.ndarray():
                shape = b"(" + b"".join(map(write, value.shape)) + b"t" + put()
                dtype = b"cnumpy\ndtype\n" + put() + b"(U\x02u1K\x00K\x01t" + put() + b"R" + put()
                state = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put() + b"b"
                array = b"cnumpy.core.multiarray\n_reconstruct\n" + put()
                array += b"cnumpy\nndarray\n" + put() + b"K\x00\x85" + put() + b"U\x01b" + put()
                array += b"\x87" + put() + b"R" + put() + b"(K\x01" + shape
                data = b"\x89" + write(value.tobytes()) + b"t" + put() + b"b"
                return array + dtype + state + data
        raise TypeError(type(value))

    return b"\x80\x02" + write(value) + b"."


def tar(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


BATCHES = ("py/data_batch_1", "py/data_batch_2")
SIZE = (4, 4, 3)
ROWS = 5


def cifar_batch(number: int, **changes: Any) -> dict[bytes, Any]:
    """A batch of ``ROWS`` pictures of 4 x 4 in three planes; a change of None leaves a key out."""
    planes = np.random.default_rng(number).integers(0, 256, (ROWS, 48), dtype=np.uint8)
    batch = {
        b"batch_label": b"training batch",
        b"labels": [(number + row) % 3 for row in range(ROWS)],
        b"data": planes,
        b"filenames": [f"{number}_{row}.png".encode() for row in range(ROWS)],
    } | {name.encode(): value for name, value in changes.items()}
    return {name: value for name, value in batch.items() if value is not None}


def cifar_members(**changes: Any) -> dict[str, bytes]:
    """The members of a small CIFAR-10, batches before meta as in the published archive."""
    names = [name.encode() for name in CLASSES]
    members = {name: python2(cifar_batch(i + 1, **changes)) for i, name in enumerate(BATCHES)}
    members["py/test_batch"] = python2(cifar_batch(9, **changes))
    return members | {"py/batches.meta": python2({b"num_vis": 48, b"label_names": names})}


def cifar_source(
    root: Path, members: Mapping[str, bytes], split: str = "train", published: Sequence[Member] = ()
) -> Source:
    return cifar_from(root, gzip.compress(tar(members), 1), split, published)


def cifar_from(
    root: Path, archive: bytes, split: str = "train", published: Sequence[Member] = ()
) -> Source:
    root.mkdir(parents=True, exist_ok=True)
    (root / "c.tar.gz").write_bytes(archive)
    options = {"archive": "c.tar.gz", "meta": "py/batches.meta"}
    train = Split("train", 10, ("c.tar.gz",), True, options | {"batches": list(BATCHES)})
    test = Split("test", 5, ("c.tar.gz",), False, options | {"batches": ["py/test_batch"]})
    fields = [Field("image", "uint8", SIZE), LABEL]
    files = [File("c.tar.gz", members=tuple(published))]
    manifest = manifest_of("cifar", files, [train, test], fields)
    return Source(manifest, manifest.split(split), root)
