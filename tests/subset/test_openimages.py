"""Subsets of Open Images: rows chosen by class, pictures one by one from the bucket."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from PIL import Image

from dsets import adopt, fetch, manifest, readers, store, subset
from dsets.errors import UsageError
from dsets.fetch import Patience
from dsets.manifest import Source
from dsets.subset import Selection
from tests.readers.raw import tar
from tests.server import Route, Server, serving
from tests.subset import tiny

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
HEADER += ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
CLASSES = {"/m/01yrx": "Cat", "/m/0bt9lr": "Dog", "/m/04dr76w": "Bottle", "/m/068hy": "Pet"}


def key(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()[:16]


def boxes() -> str:
    """Picture i has a cat if i is even, a bottle always, and a dog if it is divisible by 3."""
    rows = []
    for i in range(30):
        mids = ["/m/04dr76w", *(["/m/01yrx"] if i % 2 == 0 else [])]
        mids += ["/m/0bt9lr"] if i % 3 == 0 else []
        rows += [f"{key(i)},xclick,{mid},1,0.1,0.5,0.2,0.9,0,-1,0,0,0\n" for mid in mids]
    return HEADER + "".join(rows)


def labels() -> str:
    rows = [f"{key(i)},verification,/m/07j7r,{i % 2}\n" for i in range(30)]
    return "ImageID,Source,LabelName,Confidence\n" + "".join(rows)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    files = {"boxes.csv": boxes().encode(), "labels.csv": labels().encode()}
    with serving({f"/{name}": Route(data) for name, data in files.items()}) as running:
        for i in range(30):
            running.routes[f"/train/{key(i)}.jpg"] = Route(tiny.picture(i))
        entries = "".join(
            f'[[file]]\nname = "{name}"\naddresses = ["{running.url}/{name}"]\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
            for name, data in files.items()
        )
        names = '["' + '", "'.join(CLASSES.values()) + '"]'
        mids = '["' + '", "'.join(CLASSES) + '"]'
        folder = tmp_path / "manifests"
        folder.mkdir()
        page = PAGE.format(url=running.url, files=entries, mids=mids, names=names)
        (folder / "pictures.toml").write_text(page)
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        yield running


def made(selection: Selection, *annotations: str) -> subset.Made:
    parent = manifest.find("pictures")
    fetch.files(fetch.plan(parent, store.raw("pictures"), files=annotations))
    plan = subset.plan(parent, selection, "mine")
    return subset.make(plan, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))


def samples() -> list[readers.Sample]:
    found = manifest.find("mine")
    source = Source(found, found.split("train"), store.raw("mine"))
    reader = readers.load(found.reader)
    return list(reader.samples(source, range(len(reader.table(source)))))


def test_pictures_of_a_class_come_alone_with_all_their_boxes(server: Server) -> None:
    done = made(Selection(("cat",)), "boxes.csv")
    assert done.requests == 15 and done.received == sum(
        len(tiny.picture(i)) for i in range(0, 30, 2)
    )
    found = {one.key: one.values for one in samples()}
    assert sorted(found) == list(found) == sorted(key(i) for i in range(0, 30, 2))
    assert bytes(found[key(6)]["image"]) == tiny.picture(6)
    assert sorted(found[key(6)]["labels"].tolist()) == [0, 1, 2]
    assert sorted(found[key(2)]["labels"].tolist()) == [0, 2]


def test_only_the_classes_and_labels_that_are_here(server: Server) -> None:
    made(Selection(("Dog",), 4, only=True), "boxes.csv", "labels.csv")
    found = samples()
    assert len(found) == 4
    for one in found:
        assert one.values["labels"].tolist() == [1]
        assert bytes(one.values["human_mids"]) == b"/m/07j7r"


def test_a_class_may_mean_all_that_lies_below_it(server: Server) -> None:
    made(Selection(("pet",), subclasses=True), "boxes.csv")
    assert {one.key for one in samples()} == {key(i) for i in range(30) if i % 2 == 0 or i % 3 == 0}
    again = subset.plan(manifest.find("mine"), Selection(("pet",), 3, subclasses=True), "fewer")
    assert again.identity["classes"] == ["Cat", "Dog", "Pet"]
    with pytest.raises(UsageError, match="no image has an object of these classes"):
        made(Selection(("pet",)), "boxes.csv")


def test_ids_that_the_bucket_lacks_are_listed(server: Server) -> None:
    for i in (0, 6):
        server.routes[f"/train/{key(i)}.jpg"].statuses = [404 if i else 403] * 9
    done = made(Selection(("dog",)), "boxes.csv")
    assert {one.key for one in done.lacking["train"]} == {key(0), key(6)}
    assert len(samples()) == 8


def test_the_same_command_asks_for_the_lacking_ones_alone(server: Server) -> None:
    for i in (0, 6):
        server.routes[f"/train/{key(i)}.jpg"].statuses = [404]
    made(Selection(("dog",)), "boxes.csv")
    server.requests.clear()
    done = made(Selection(("dog",)))
    asked = {one.path for one in server.requests}
    assert asked == {f"/train/{key(i)}.jpg" for i in (0, 6)} and done.requests == 2
    assert not done.lacking["train"]
    assert {one.key: bytes(one.values["image"]) for one in samples()} == {
        key(i): tiny.picture(i) for i in range(0, 30, 3)
    }


def test_an_earlier_picture_that_rotted_comes_again(server: Server) -> None:
    server.routes[f"/train/{key(0)}.jpg"].statuses = [404]
    made(Selection(("dog",)), "boxes.csv")
    path = store.raw("mine") / "train-images.tar"
    good = tiny.picture(3)
    path.write_bytes(path.read_bytes().replace(good, flipped(good)))
    assert made(Selection(("dog",))).requests == 2
    assert {one.key: bytes(one.values["image"]) for one in samples()}[key(3)] == good


def flipped(picture: bytes) -> bytes:
    """It decodes as well as before."""
    place = len(picture) - 5
    return picture[:place] + bytes([picture[place] ^ 1]) + picture[place + 1 :]


def summed(kind: str, picture: bytes) -> dict[str, str]:
    """What a host says of a picture."""
    md5 = hashlib.md5(picture, usedforsecurity=False)
    crc = google_crc32c.value(picture).to_bytes(4, "big")
    return {
        "amazon": {"ETag": f'"{md5.hexdigest()}"', "Server": "AmazonS3"},
        "amazon sum": {"x-amz-checksum-crc32": text(zlib.crc32(picture).to_bytes(4, "big"))},
        "google": {"x-goog-hash": f"crc32c={text(crc)},md5={text(md5.digest())}"},
        "md5": {"Content-MD5": text(md5.digest())},
        "its other tags": {"ETag": f'"{md5.hexdigest()}"'},
    }[kind]


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize("kind", ["amazon", "amazon sum", "google", "md5", "its other tags"])
@pytest.mark.parametrize("always", [False, True])
def test_a_picture_is_held_against_what_the_host_says_of_it(
    server: Server, kind: str, always: bool
) -> None:
    for i in range(30):
        picture = tiny.picture(i)
        server.routes[f"/train/{key(i)}.jpg"].headers = summed(kind, picture)
    last = max(key(i) for i in range(0, 30, 3))
    route = server.routes[f"/train/{last}.jpg"]
    good, route.data = route.data, flipped(route.data)
    if not always:
        route.on_request = lambda route: (
            setattr(route, "data", good) if len(server.asked(f"/train/{last}.jpg")) else None
        )
    parent = manifest.find("pictures")
    fetch.files(fetch.plan(parent, store.raw("pictures"), files=["boxes.csv"]))
    plan = subset.plan(parent, Selection(("dog",)), "mine")
    done = subset.make(plan, jobs=1, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))
    if always:
        (lacking,) = done.lacking["train"]
        assert (lacking.key, lacking.reason) == (last, "not what the host's own checksum says")
    else:
        assert not done.lacking["train"]
        assert bytes({one.key: one.values["image"] for one in samples()}[last]) == good


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{"0" * 32}"'},
        {"ETag": f'"{"0" * 32}"', "Server": "AmazonS3", "x-amz-server-side-encryption": "aws:kms"},
        {"ETag": f'"{"0" * 32}-2"', "Server": "AmazonS3"},
        {"x-amz-checksum-crc32": "AAAAAA==-2", "x-goog-hash": "crc32c=??", "Content-MD5": "AAAA"},
    ],
)
def test_what_is_no_checksum_of_the_bytes_refuses_nothing(
    server: Server, headers: dict[str, str]
) -> None:
    for i in range(30):
        server.routes[f"/train/{key(i)}.jpg"].headers = headers
    assert made(Selection(("dog",)), "boxes.csv").requests == 10


def test_other_bytes_have_another_digest(server: Server) -> None:
    first = made(Selection(("dog",)), "boxes.csv")
    parts = sorted(
        f"{key(i)} {hashlib.sha256(tiny.picture(i)).hexdigest()}\n" for i in range(0, 30, 3)
    )
    assert first.contents["train"] == hashlib.sha256("".join(parts).encode()).hexdigest()
    written = json.loads((store.raw("mine") / "subset.json").read_bytes())
    assert written["splits"]["train"]["images_digest"] == first.contents["train"]
    route = server.routes[f"/train/{key(3)}.jpg"]
    route.data = flipped(route.data)
    plan = subset.plan(manifest.find("pictures"), Selection(("dog",)), "other")
    second = subset.make(plan, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))
    assert second.samples == first.samples and second.contents != first.contents


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
        entries = "".join(
            f'[[file]]\nname = "{name}"\naddresses = ["{running.url}/{name}"]\n' for name in zips
        )
        folder = tmp_path / "manifests"
        folder.mkdir()
        page = MASKS_PAGE.format(url=running.url, files=entries)
        (folder / "masked.toml").write_text(page)
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        yield running


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


def parent_of(tmp_path: Path, *, images: bool) -> manifest.Manifest:
    """The dataset as it is after its boxes, and perhaps all but one picture, were adopted."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "boxes.csv").write_text(boxes().replace("0.1,0.5", "0.1,0.6"))
    members = {f"x/{key(i)}.jpg": tiny.picture(i) for i in range(0 if images else 29, 30)}
    members.pop(f"x/{key(6)}.jpg", None)
    (given / "train.tar.gz").write_bytes(gzip.compress(tar(members)))
    adopt.adopt(adopt.plan(manifest.find("pictures"), [given]), unverified=True)
    return manifest.current("pictures")


def test_an_adopted_archive_is_read_and_the_rest_comes_from_the_mirror(
    server: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=True)
    with serving({f"/train/{key(6)}.jpg": Route(tiny.picture(6))}) as mirror:
        plan = subset.plan(parent, Selection(("dog",)), "mine", mirrors=[mirror.url])
        done = subset.make(plan)
    assert (len(mirror.requests), done.requests, done.received) == (1, 1, len(tiny.picture(6)))
    assert not done.lacking["train"] and not server.requests
    assert sorted(one.key for one in samples()) == sorted(key(i) for i in range(0, 30, 3))


def test_pictures_of_an_adopted_set_come_one_by_one_where_its_archive_lacks_them(
    server: Server, tmp_path: Path
) -> None:
    parent = parent_of(tmp_path, images=False)
    plan = subset.plan(parent, Selection(("dog",), 4), "mine", mirrors=[server.url])
    done = subset.make(plan)
    assert done.requests == 4 and len(samples()) == 4
    assert {one.path.rpartition("/")[0] for one in server.requests} == {"/train"}


def test_an_adopted_archive_serves_offline(server: Server, tmp_path: Path) -> None:
    plan = subset.plan(parent_of(tmp_path, images=True), Selection(("cat",), 20), "mine")
    done = subset.make(plan, offline=True)
    assert [one.key for one in done.lacking["train"]] == [key(6)] and not server.requests


MASKS_PAGE = """
schema = 1
name = "masked"
title = "Masked pictures"
homepage = "https://example.org/pictures"
licence = "CC0-1.0"
access = "open"
citation = "Nobody: Nothing, 2026."
reader = "openimages"
pipeline = "segmentation16"

[[file]]
name = "validation.tar.gz"
addresses = ["{url}/validation.tar.gz"]
singly = ["{url}/validation"]

{files}
[split.validation]
samples = 3
training = true
files = ["validation.tar.gz", "validation-masks-0.zip", "validation-masks-f.zip"]

[split.validation.reader]
images = ["validation.tar.gz"]
masks = ["validation-masks-0.zip", "validation-masks-f.zip"]
without_objects = "drop"
mids = ["/m/01yrx", "/m/0bt9lr"]

[field.image]
dtype = "uint8"
shape = [-1]

[field.size]
dtype = "int64"
shape = [2]

[field.boxes]
dtype = "float32"
shape = [-1, 4]

[field.labels]
dtype = "int64"
shape = [-1]
classes = ["Cat", "Dog"]

[field.mask]
dtype = "uint8"
shape = [-1]

[field.mask_ends]
dtype = "int64"
shape = [-1]
"""

PAGE = """
schema = 1
name = "pictures"
title = "Pictures"
homepage = "https://example.org/pictures"
licence = "CC0-1.0"
access = "open"
citation = "Nobody: Nothing, 2026."
reader = "openimages"
pipeline = "detection"

[[file]]
name = "train.tar.gz"
addresses = ["{url}/train.tar.gz"]
singly = ["{url}/train"]

{files}
[split.train]
samples = 30
training = true
files = ["train.tar.gz", "boxes.csv"]

[split.train.reader]
images = ["train.tar.gz"]
boxes = "boxes.csv"
human_labels = ["labels.csv"]
mids = {mids}

[split.train.reader.subclasses]
Bottle = ["Pet"]
Pet = ["Cat", "Dog"]

[field.image]
dtype = "uint8"
shape = [-1]

[field.boxes]
dtype = "float32"
shape = [-1, 4]

[field.labels]
dtype = "int64"
shape = [-1]
classes = {names}

[field.human_mids]
dtype = "uint8"
shape = [-1]
"""
