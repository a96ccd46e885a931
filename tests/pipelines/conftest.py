"""A tiny dataset of pictures of many kinds, in tars of tars in the store of the test."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import manifest
from dsets.manifest import Manifest

CLASSES = ("n01440764", "n02105855")
BROKEN = "n02105855_3"


@dataclass(frozen=True)
class Pictures:
    """The dataset ``pictures``: two splits of the same twelve pictures, one of them broken."""

    manifest: Manifest
    files: Mapping[str, bytes]


@pytest.fixture
def pictures(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Pictures:
    files = {f"{wnid}_{n}": picture(6 * c + n) for c, wnid in enumerate(CLASSES) for n in range(6)}
    files[BROKEN] = files[BROKEN][:-40]
    raw = home / "raw" / "pictures"
    raw.mkdir(parents=True)
    lines = [
        'schema = 1\nname = "pictures"\ntitle = "Pictures"\nhomepage = "https://example.org"',
        'licence = "CC0-1.0"\naccess = "open"\ncitation = "none"\nreader = "imagenet"',
        'pipeline = "alexnet"',
    ]
    data = tar(
        {
            f"{wnid}.tar": tar({f"{k}.JPEG": v for k, v in files.items() if k.startswith(wnid)})
            for wnid in CLASSES
        }
    )
    for split in ("train", "val"):
        (raw / f"{split}.tar").write_bytes(data)
        lines.append(
            f'[[file]]\nname = "{split}.tar"\nbytes = {len(data)}\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
            f'addresses = ["https://example.org/{split}.tar"]'
        )
    for split in ("train", "val"):
        training = "true" if split == "train" else "false"
        lines.append(
            f"[split.{split}]\nsamples = {len(files)}\ntraining = {training}\n"
            f'files = ["{split}.tar"]\n[split.{split}.reader]\nimages = "{split}.tar"\n'
            'layout = "tar of tars"'
        )
    names = ", ".join(f'"{wnid}"' for wnid in CLASSES)
    lines.append('[field.image]\ndtype = "uint8"\nshape = [-1]')
    lines.append(f'[field.label]\ndtype = "int64"\nshape = []\nclasses = [{names}]')
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "pictures.toml").write_text("\n".join(lines))
    monkeypatch.setenv("DSETS_MANIFESTS", str(tmp_path / "manifests"))
    return Pictures(manifest.find("pictures"), files)


def picture(number: int) -> bytes:
    """A smooth picture of its own size: a colour JPEG, or a grey, CMYK, large, or PNG one."""
    width, height = 270 + 17 * number, 430 - 13 * number
    if number == 4:
        width, height = 1100, 900
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (19 + number) + k) * np.cos(y / (23 + k)) for k in range(3)]
    pixels = np.stack([128 + (110 - 9 * k) * wave for k, wave in enumerate(waves)], -1)
    image = Image.fromarray(pixels.astype(np.uint8))
    target = io.BytesIO()
    if number == 2:
        image.save(target, "PNG")
    else:
        mode = {7: "L", 8: "CMYK"}.get(number, "RGB")
        image.convert(mode).save(target, "JPEG", quality=92)
    return target.getvalue()


def tar(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()
