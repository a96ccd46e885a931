"""Pictures of every kind through prepare: what is unusual is converted, what is bad is listed."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import manifest, prepare
from dsets.pack import Pack
from dsets.prepare import estimate, repair, trial
from tests.readers import tiny_imagenet as tiny

WNID = "n01440764"
Dataset = Callable[..., Path]


@pytest.fixture
def dataset(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Makes the dataset ``kinds`` of pictures by name; returns where its packs go."""

    def make(pictures: Mapping[str, bytes], layout: str = "tar of tars") -> Path:
        raw = home / "raw" / "kinds"
        raw.mkdir(parents=True)
        files = {f"{WNID}_{key}.JPEG": data for key, data in pictures.items()}
        more = ""
        if layout == "listing":
            name, data = "train.listing", tiny.folder(raw / "train", files)
        elif layout == "zip":
            name, data = "pictures.zip", zipped(files)
            more = 'pictures = "train"\n'
            data = data.replace(b"JFIF", b"XXXX", 1)  # the first member is damaged
        else:
            name, data = "train.tar", tar({f"{WNID}.tar": tar(files)})
        (raw / name).write_bytes(data)
        folder = tmp_path / "manifests"
        folder.mkdir()
        (folder / "kinds.toml").write_text(
            'schema = 1\nname = "kinds"\ntitle = "Kinds"\nhomepage = "https://example.org"\n'
            'licence = "CC0-1.0"\naccess = "open"\ncitation = "none"\nreader = "imagenet"\n'
            f'pipeline = "alexnet"\n[[file]]\nname = "{name}"\nbytes = {len(data)}\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
            f'addresses = ["https://example.org/{name}"]\n'
            f"[split.train]\nsamples = {len(pictures)}\ntraining = true\n"
            f'files = ["{name}"]\n[split.train.reader]\nimages = "{name}"\n'
            f'layout = "{layout}"\n{more}[field.image]\ndtype = "uint8"\nshape = [-1]\n'
            f'[field.label]\ndtype = "int64"\nshape = []\nclasses = ["{WNID}"]\n'
        )
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        return tmp_path / "out"

    return make


def tar(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def zipped(members: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def encoded(image: Image.Image, kind: str = "JPEG", **how: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **how)
    return target.getvalue()


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (300, 280), colour)


def palette() -> bytes:
    image = Image.new("P", (300, 280), 1)
    image.putpalette([0, 0, 0, 10, 200, 90])
    return encoded(image, "PNG", transparency=1)


def turned() -> bytes:
    """Left red, right blue, and an EXIF block that says: turn it by a quarter."""
    image = plain("RGB", (255, 0, 0))
    image.paste((0, 0, 255), (150, 0, 300, 280))
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, quality=95, exif=exif)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def resized_header(jpeg: bytes, width: int, height: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def test_unusual_pictures_are_converted_as_stated(dataset: Dataset) -> None:
    out = dataset(
        {
            "1": encoded(plain("RGB", (200, 100, 50)), quality=95),
            "2": encoded(plain("L", 77), quality=95),
            "3": encoded(plain("CMYK", (0, 255, 255, 0)), quality=95),
            "4": encoded(Image.fromarray(np.full((280, 300), 0x9C55, np.uint16)), "PNG"),
            "5": palette(),
            "6": turned(),
            "7": encoded(plain("RGBA", (9, 99, 199, 0)), "PNG"),
            "8": encoded(plain("RGB", (1, 2, 3)), "WEBP", lossless=True),
            "9": encoded(plain("1", 1), "BMP"),
        }
    )
    prepare.run(prepare.plan(manifest.find("kinds"), out=out, shard_bytes=600_000))
    pack = Pack.open(out / "train")
    assert len(pack) == 9 and len(pack.index.shards) == 3 and not pack.index.quarantine
    middle = {s["key"].rpartition("_")[2]: s["image"][128, 128].astype(int) for s in pack}
    expected = {
        "1": (200, 100, 50),
        "2": (77, 77, 77),
        "3": (255, 0, 0),
        "4": (0x9C, 0x9C, 0x9C),
        "5": (10, 200, 90),
        "7": (9, 99, 199),
        "8": (1, 2, 3),
        "9": (255, 255, 255),
    }
    for name, colour in expected.items():
        assert np.abs(middle[name] - colour).max() <= 2, name
    (not_turned,) = (s["image"] for s in pack if s["key"].endswith("_6"))
    assert not_turned[128, 20].argmax() == 0 and not_turned[128, 236].argmax() == 2


@pytest.mark.parametrize("recipe", ["alexnet", "alexnet_jpeg", "original", "shorter256"])
def test_bad_pictures_are_listed_with_reason_and_digest_and_stop_nothing(
    dataset: Dataset,
    recipe: str,
    cli: Callable[[Sequence[str]], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    bad = {
        "10": (good[:-40], "truncated"),
        "11": (png_header(20_000, 20_000), "too large"),
        "12": (resized_header(good, 60_000, 60_000), "too large"),
        "13": (b"GIF89a", "image"),
        "14": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image"),
        "15": (encoded(plain("RGB", 0), "TIFF"), "image"),
        "16": (png_header(300, 280), "image"),
        "17": (good[:2], "image"),
    }
    pictures = {"1": good, "2": good, **{name: data for name, (data, _) in bad.items()}}
    out = dataset(pictures)
    command = ["prepare", "kinds", "--out", str(out), "--pipeline", recipe, "--quiet"]
    assert cli([*command, "--max-bad", "7"]) == 1
    said = capsys.readouterr().err
    assert "too many bad samples" in said and "got 8" in said and f"{WNID}_10 (" in said
    assert cli([*command, "--max-bad", "80%"]) == 0
    table = capsys.readouterr().out
    assert cli(["show", str(out / "train"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["quarantine"]
    assert len(shown) == 8 and len(Pack.open(out / "train")) == 2
    for entry in shown:
        data, reason = bad[entry["key"].rpartition("_")[2]]
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert reason in entry["reason"] and entry["key"] in table
    (plan,) = prepare.plan(manifest.find("kinds"), pipeline=recipe).packs
    tried = trial.run(plan, own=True)
    assert (tried.samples, tried.bad) == (2, 8)


def test_a_quarantine_is_the_same_for_any_number_of_workers(
    dataset: Dataset, hashes: Callable[[Path], dict[str, str]]
) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    out = dataset({str(n): good[:-40] if n % 5 == 0 else good for n in range(1, 31)})
    for workers, name in ((None, "here"), (2, "there")):
        plan = prepare.plan(manifest.find("kinds"), out=out / name, shard_bytes=600_000)
        (index,) = prepare.run(plan, workers=workers)
        assert len(index.shards) > 5 and len(index.quarantine) == 6
    assert hashes(out / "here") == hashes(out / "there")


@pytest.mark.parametrize("recipe", ["alexnet", "alexnet_jpeg"])
def test_a_pack_with_a_quarantine_is_mended_to_the_same_bytes(
    dataset: Dataset, recipe: str, hashes: Callable[[Path], dict[str, str]]
) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    out = dataset({str(n): good[:-40] if n % 5 == 0 else good for n in range(1, 31)})
    plan = prepare.plan(manifest.find("kinds"), out=out, pipeline=recipe, shard_bytes=10_000)
    (index,) = prepare.run(plan)
    before = hashes(out)
    assert len(index.shards) > 5
    for shard in index.shards[::2]:
        (out / "train" / shard.name).write_bytes(b"gone")
    (out / "train" / "statistics.h5").unlink()
    assert repair.run(repair.plan(out / "train")).damaged == ()
    assert hashes(out) == before


@pytest.mark.parametrize("recipe", ["alexnet", "original"])
def test_loose_pictures_that_changed_or_went_are_listed_and_stop_nothing(
    dataset: Dataset, recipe: str, home: Path, hashes: Callable[[Path], dict[str, str]]
) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    out = dataset({str(n): good for n in range(1, 31)}, layout="listing")
    train = home / "raw" / "kinds" / "train"
    (train / f"{WNID}_3.JPEG").write_bytes(good + b"more")
    (train / f"{WNID}_17.JPEG").unlink()
    for workers in (None, 2):
        plan = prepare.plan(
            manifest.find("kinds"), pipeline=recipe, out=out / str(workers), shard_bytes=600_000
        )
        (index,) = prepare.run(plan, workers=workers)
        assert [(bad.key, bad.reason, bad.sha256) for bad in index.quarantine] == [
            (
                f"{WNID}_3",
                "not the bytes that were adopted",
                hashlib.sha256(good + b"m").hexdigest(),
            ),
            (
                f"{WNID}_17",
                "the file is missing or cannot be read",
                None,
            ),
        ]
        assert len(Pack.open(plan.packs[0].out)) == 28
    assert hashes(out / "None") == hashes(out / "2")
    tried = trial.run(plan.packs[0], own=True)
    assert (tried.samples, tried.bad) == (28, 2)


def test_a_damaged_member_of_a_zip_has_no_digest(
    dataset: Dataset, cli: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    out = dataset({str(n): good for n in range(1, 5)}, layout="zip")
    plan = prepare.plan(manifest.find("kinds"), out=out)
    (index,) = prepare.run(plan)
    (bad,) = index.quarantine
    assert (bad.reason, bad.sha256) == ("the zip member is damaged", None)
    assert Pack.open(out / "train").index == index
    assert cli(["show", f"{out / 'train'}/"]) == 0
    assert "no bytes  the zip member is damaged" in capsys.readouterr().out


def test_what_a_listing_lists_counts_among_the_raw_files(dataset: Dataset) -> None:
    good = encoded(plain("RGB", (200, 100, 50)))
    dataset({str(n): good for n in range(1, 5)}, layout="listing")
    found = manifest.find("kinds")
    listing = replace(found.files[0], listed_bytes=4 * len(good))
    measured = estimate.measure(prepare.plan(replace(found, files=(listing,))))
    assert measured.raw_file_bytes == 4 * len(good) + (listing.bytes or 0)
