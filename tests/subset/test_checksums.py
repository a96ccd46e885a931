"""Pictures that come one by one are held against what their host says of them."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib

import google_crc32c
import pytest

from dsets import fetch, manifest, store, subset
from dsets.fetch import Patience
from dsets.subset import Selection
from tests.server import Server
from tests.subset import tiny
from tests.subset.tiny_openimages import flipped, key, made, samples


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
    bucket: Server, kind: str, always: bool
) -> None:
    for i in range(30):
        picture = tiny.picture(i)
        bucket.routes[f"/train/{key(i)}.jpg"].headers = summed(kind, picture)
    last = max(key(i) for i in range(0, 30, 3))
    route = bucket.routes[f"/train/{last}.jpg"]
    good, route.data = route.data, flipped(route.data)
    if not always:
        route.on_request = lambda route: (
            setattr(route, "data", good) if len(bucket.asked(f"/train/{last}.jpg")) else None
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
    bucket: Server, headers: dict[str, str]
) -> None:
    for i in range(30):
        bucket.routes[f"/train/{key(i)}.jpg"].headers = headers
    assert made(Selection(("dog",)), "boxes.csv").requests == 10


def test_other_bytes_have_another_digest(bucket: Server) -> None:
    first = made(Selection(("dog",)), "boxes.csv")
    parts = sorted(
        f"{key(i)} {hashlib.sha256(tiny.picture(i)).hexdigest()}\n" for i in range(0, 30, 3)
    )
    assert first.contents["train"] == hashlib.sha256("".join(parts).encode()).hexdigest()
    written = json.loads((store.raw("mine") / "subset.json").read_bytes())
    assert written["splits"]["train"]["images_digest"] == first.contents["train"]
    route = bucket.routes[f"/train/{key(3)}.jpg"]
    route.data = flipped(route.data)
    plan = subset.plan(manifest.find("pictures"), Selection(("dog",)), "other")
    second = subset.make(plan, patience=Patience(connect_s=5, read_s=0.5, pause_s=0))
    assert second.samples == first.samples and second.contents != first.contents
