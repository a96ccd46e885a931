"""The pipelines for pictures, from a tar of tars to a pack and back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dsets import codecs, pack, pipeline, prepare
from dsets.field import Field
from dsets.pack import Pack, Statistics
from dsets.prepare import counting, task

from .conftest import BROKEN, Pictures

NAMES = ("alexnet", "alexnet_jpeg", "original", "shorter256", "shorter256_jpeg")
#: Field of the image, and whether all images have one size.
KINDS = {
    "alexnet": ("image: uint8 (256, 256, 3)", True),
    "alexnet_jpeg": ("image: uint8 (?,)", True),
    "original": ("image: uint8 (?,)", False),
    "shorter256": ("image: uint8 (?, ?, 3)", False),
    "shorter256_jpeg": ("image: uint8 (?,)", False),
}
MINE = '''
"""A user's own: greyscale by the green channel, 32 x 48, by a profile of our choice."""
import numpy as np
from dsets import codecs
from dsets.field import Field

STATISTICS = "image"
PROFILE = codecs.profile("exact-bicubic")

def fields(manifest):
    return (Field("image", "uint8", (32, 48, 1)), Field("mean", "float32", ()))

def make(sample):
    pixels = codecs.resized(
        sample.values["image"], lambda width, height: codecs.Resize(48, 32, 0, 0, 48, 32), PROFILE
    )
    return {"image": pixels[:, :, 1:2].copy(), "mean": np.float32(pixels.mean())}

def environment():
    return codecs.environment(PROFILE)
'''


def made(pictures: Pictures, out: Path, recipe: str | Path, **how: int) -> Pack:
    """The training pack."""
    plan = prepare.plan(pictures.manifest, pipeline=recipe, out=out, shard_bytes=600_000)
    prepare.run(plan, **how)
    return Pack.open(out / "train")


def pixels_of(packed: Pack) -> list[np.ndarray]:
    """The images as whoever reads the pack sees them."""
    images = [sample["image"] for sample in packed]
    return [codecs.decode(i.tobytes()) if i.ndim == 1 else i for i in images]


def test_the_pipelines_for_pictures_are_these() -> None:
    annotated = {
        "captions",
        "detection",
        "keypoints",
        "panoptic",
        "segmentation",
        "segmentation16",
    }  # in test_annotated
    videos = {"frames", "video"}
    assert set(NAMES) | annotated | videos | {"as_is"} == set(pipeline.names())


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_has_every_readable_picture_and_lists_the_others(pictures, tmp_path, name) -> None:
    train = made(pictures, tmp_path / "out", name)
    val = Pack.open(tmp_path / "out" / "val")
    keys = sorted(pictures.files)
    keys.remove(BROKEN)
    for packed in (train, val):
        assert [sample["key"] for sample in packed] == keys
        assert [sample["label"] for sample in packed] == [0] * 6 + [1] * 5
        assert [str(field) for field in packed.fields][:1] == [KINDS[name][0]]
        (bad,) = packed.index.quarantine
        assert bad.key == BROKEN and bad.reason.startswith("truncated image")
        assert packed.index.provenance["environment"]["jpeg"]
    assert val.index.statistics_of == train.digest
    assert pack.verify(train.path, deep=True) == []


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_of_the_pixels_that_readers_see(pictures, tmp_path, name) -> None:
    packed = made(pictures, tmp_path / "out", name)
    found = packed.statistics
    seen = pixels_of(packed)
    assert found is not None and found.images == len(seen)
    rows = np.concatenate([image.reshape(-1, 3) for image in seen]).astype(np.float64)
    centred = rows - rows.mean(0)
    close = {"rtol": 0, "atol": 1e-9}
    assert np.allclose(found.channel_mean, rows.mean(0), **close)
    assert np.allclose(found.channel_std, rows.std(0), **close)
    assert np.allclose(found.covariance / 255**2, centred.T @ centred / len(rows) / 255**2, **close)
    if KINDS[name][1]:
        assert np.allclose(found.mean_image, np.mean(np.stack(seen), 0, np.float64), **close)
    else:
        assert found.sum.shape == (3,)


@pytest.mark.parametrize("name", ["alexnet_jpeg", "shorter256_jpeg"])
def test_a_jpeg_pack_is_its_raw_twin_encoded_and_streams_in_its_order(
    pictures, tmp_path, name
) -> None:
    encoded = made(pictures, tmp_path / "jpeg", name)
    raw = made(pictures, tmp_path / "raw", name.removesuffix("_jpeg"))
    assert encoded.samples_digest == raw.samples_digest
    for one, other in zip(encoded, raw, strict=True):
        assert one["image"].tobytes() == codecs.encode_jpeg(other["image"], 90)
    assert "jpeg_encoder" in encoded.index.provenance["environment"]


def test_originals_are_the_published_bytes(pictures, tmp_path) -> None:
    for sample in made(pictures, tmp_path / "out", "original"):
        assert sample["image"].tobytes() == pictures.files[sample["key"]]


def test_worker_processes_do_not_change_a_byte(pictures, tmp_path) -> None:
    alone = made(pictures, tmp_path / "alone", "shorter256_jpeg")
    assert made(pictures, tmp_path / "many", "shorter256_jpeg", workers=2).digest == alone.digest


def test_a_users_own_pipeline_for_pictures_works_by_its_path_in_worker_processes(
    pictures, tmp_path
) -> None:
    mine = tmp_path / "my_pipeline.py"
    mine.write_text(MINE)
    here = made(pictures, tmp_path / "here", mine)
    there = made(pictures, tmp_path / "there", mine, workers=2)
    assert there.digest == here.digest
    assert there.index.provenance["pipeline"]["name"] == "my_pipeline"
    assert there.index.provenance["environment"]["profile"] == "exact-bicubic"
    assert there[0]["image"].shape == (32, 48, 1)
    assert there.statistics is not None and there.statistics.mean_image.shape == (32, 48, 1)


def test_statistics_that_are_not_those_of_the_encoded_images_are_found(pictures, tmp_path) -> None:
    packed = made(pictures, tmp_path / "out", "alexnet_jpeg")
    assert packed.statistics is not None
    seen = pixels_of(packed)
    seen[3] = seen[3].copy()
    seen[3][5, 5, 0] ^= 1
    content = packed.index
    pack.finish(
        packed.path,
        split=packed.split,
        fields=packed.fields,
        shards=content.shards,
        statistics=dataclasses.replace(Statistics.of(seen), field="image"),
        statistics_of=None,
        quarantine=content.quarantine,
        samples_digest=content.samples_digest,
        provenance=content.provenance,
    )
    assert pack.verify(packed.path) == []
    (problem,) = pack.verify(packed.path, deep=True)
    assert "not those of the pixels" in problem.message


def test_statistics_of_what_cannot_be_decoded_are_found(tmp_path) -> None:
    fields = (Field("image", "uint8", (None,)),)
    shard = pack.shard.write(tmp_path / "shard-00000.h5", fields, ["a"], {"image": [b"no image"]})
    pack.finish(
        tmp_path,
        split="train",
        fields=fields,
        shards=[shard],
        statistics=Statistics.of(np.zeros((1, 2, 2, 3), np.uint8)),
        statistics_of=None,
        quarantine=[],
        samples_digest=pack.samples_digest(["a"]),
        provenance={},
    )
    assert pack.verify(tmp_path) == []
    (problem,) = pack.verify(tmp_path, deep=True)
    assert "not those of the pixels" in problem.message


@pytest.mark.parametrize("name", ["alexnet_jpeg", "original"])
def test_pixels_that_are_counted_in_smaller_portions_give_the_same_bits(
    pictures, tmp_path, name, monkeypatch
) -> None:
    """As where a group's decoded pictures would fill the memory."""
    whole = made(pictures, tmp_path / "whole", name)
    for module in (task, counting):
        monkeypatch.setattr(module, "COUNTED_BYTES", 300_000)
    assert made(pictures, tmp_path / "parts", name).digest == whole.digest
