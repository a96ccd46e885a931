"""Subsets of Open Images' masks: chosen by their names; a damaged one takes no picture away."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsets import adopt, fetch, manifest, readers, store, subset
from dsets.manifest import File, Source, Split
from dsets.readers import _openimages_masks
from dsets.subset import Selection
from tests.readers.raw import manifest_of, tar
from tests.server import Route, Server, serving
from tests.subset import tiny
from tests.subset.tiny_openimages import fields

MASKED = {"validation-masks-0.zip": ("0", "4"), "validation-masks-f.zip": ("f",)}


def mask(digit: str, mid: str) -> tuple[str, bytes]:
    out = io.BytesIO()
    Image.fromarray(np.full((6, 8), 255 if mid == "m01yrx" else 0, np.uint8)).save(out, "PNG")
    return f"{digit * 16}_{mid}_{digit}a1b2c3d.png", out.getvalue()


@pytest.fixture
def masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Pictures 0, 4 and f with a mask of a cat each, 4 and f of a dog too, in two zips."""
    zips = {}
    for name, digits in MASKED.items():
        made = [mask(d, "m01yrx") for d in digits]
        made += [mask(d, "m0bt9lr") for d in digits if d != "0"]
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for member, data in made:
                archive.writestr(member, data)
        zips[name] = out.getvalue()
    with serving({f"/{name}": Route(data) for name, data in zips.items()}) as running:
        for digit in "04f":
            running.routes[f"/validation/{digit * 16}.jpg"] = Route(tiny.picture(int(digit, 16)))
        folder = catalogue(tmp_path / "manifests", zips, running.url)
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        yield running


def catalogue(folder: Path, zips: Mapping[str, bytes], url: str) -> Path:
    files = [File("validation.tar.gz", (f"{url}/all.tar.gz",), singly=(f"{url}/validation",))]
    files += [File(name, (f"{url}/{name}",)) for name in zips]
    options = {
        "images": ("validation.tar.gz",),
        "masks": tuple(zips),
        "without_objects": "drop",
        "mids": ("/m/01yrx", "/m/0bt9lr"),
    }
    split = Split("validation", 3, tuple(file.name for file in files), True, options)
    given = fields(("image", "size", "boxes", "labels", "mask", "mask_ends"), ("Cat", "Dog"))
    made = manifest_of("openimages", files, [split], given)
    return tiny.written(folder, "masked", "segmentation16", made)


def of_masks(selection: Selection) -> tuple[subset.Made, dict[str, readers.Sample]]:
    parent = manifest.find("masked")
    fetch.files(fetch.plan(parent, store.raw("masked"), files=list(MASKED)))
    done = subset.make(subset.plan(parent, selection, "mine"))
    return done, samples_of(done)


def samples_of(done: subset.Made) -> dict[str, readers.Sample]:
    source = Source(done.manifest, done.manifest.split("validation"), store.raw("mine"))
    reader = readers.load("openimages")
    reader.check(source)
    found = reader.samples(source, range(len(reader.table(source))))
    return {one.key: one for one in found}


def test_where_masks_are_the_objects_their_names_choose(masked: Server) -> None:
    done, found = of_masks(Selection(("dog",)))
    assert list(found) == ["4" * 16, "f" * 16] and done.requests == 2
    for one in found.values():
        assert sorted(one.values["labels"].tolist()) == [0, 1]
        cat = one.values["labels"].tolist().index(0)
        whole = one.values["boxes"][cat].tolist()
        assert whole == [0, 0, *one.values["size"].tolist()[::-1]] and whole[2] > 0
    with zipfile.ZipFile(store.raw("mine") / "validation-masks.zip") as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    assert kept == dict(mask(digit, mid) for digit in "4f" for mid in ("m01yrx", "m0bt9lr"))


def test_masks_of_other_classes_are_dropped(masked: Server) -> None:
    _, found = of_masks(Selection(("dog",), only=True))
    assert {key: one.values["labels"].tolist() for key, one in found.items()} == {
        "4" * 16: [1],
        "f" * 16: [1],
    }


def test_a_damaged_mask_takes_no_picture_from_the_subset(masked: Server, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    pictures = {f"validation/{digit * 16}.jpg": tiny.picture(int(digit, 16)) for digit in "04f"}
    pictures[f"validation/{'0' * 16}.jpg"] = b"no picture"
    (given / "validation.tar.gz").write_bytes(gzip.compress(tar(pictures)))
    for file in MASKED:
        zipped = bytearray(masked.routes[f"/{file}"].data)
        name, data = mask("4", "m01yrx")
        if (begin := zipped.find(name.encode())) >= 0:
            zipped[begin + len(name) + len(data) // 2] ^= 1
        (given / file).write_bytes(zipped)
    adopt.adopt(adopt.plan(manifest.find("masked"), [given]), unverified=True)
    done = subset.make(
        subset.plan(manifest.current("masked"), Selection((), 3), "mine"), offline=True
    )
    assert [one.key for one in done.lacking["validation"]] == ["0" * 16]
    found = samples_of(done)
    assert {key: str(one.problem) for key, one in found.items()} == {
        "4" * 16: "mask: not a readable image",
        "f" * 16: "None",
    }


def test_no_mask_is_decoded_to_take_pictures_out_of_archives(
    masked: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    pictures = {f"validation/{digit * 16}.jpg": tiny.picture(int(digit, 16)) for digit in "04f"}
    (given / "validation.tar.gz").write_bytes(gzip.compress(tar(pictures)))
    for file in MASKED:
        (given / file).write_bytes(masked.routes[f"/{file}"].data)
    adopt.adopt(adopt.plan(manifest.find("masked"), [given]), unverified=True)

    def never(*_: object) -> None:
        raise AssertionError("a mask was decoded")

    with monkeypatch.context() as patch:
        patch.setattr(_openimages_masks, "decoded", never)
        plan = subset.plan(manifest.current("masked"), Selection(("dog",)), "mine")
        done = subset.make(plan, offline=True)
    assert not done.lacking["validation"] and sorted(samples_of(done)) == ["4" * 16, "f" * 16]
