"""Pipelines of annotated pictures: what is drawn on a picture stays on it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsets import manifest, pipeline
from dsets.codecs import rle
from dsets.errors import DataError, PipelineError
from dsets.readers import Sample


def sample(**more: Any) -> Sample:
    """A black picture of 100 x 150 with a white box from (30, 20) to (90, 80)."""
    pixels = np.zeros((100, 150, 3), np.uint8)
    pixels[20:80, 30:90] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    values = {
        "image": out.getvalue(),
        "boxes": np.array([[30, 20, 90, 80]], np.float32),
        "labels": np.array([4]),
        "crowd": np.array([False]),
    }
    return Sample("one", values | more)


def white(image: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_boxes_and_masks_follow_the_picture() -> None:
    mask = np.zeros((100, 150), np.uint8)
    mask[20:80, 30:90] = 1
    codes, ends = rle.encode([mask])
    made: Any = pipeline.load("detection").make(sample(mask=codes, mask_ends=ends))
    assert made["boxes"].tolist() == [[60, 60, 180, 240]]
    assert np.abs(np.array(white(made["image"])) - [60, 60, 180, 240]).max() <= 1
    (resized,) = rle.masks(made["mask"], made["mask_ends"], (300, 300))
    assert white(resized[..., None] * 255) == [60, 60, 180, 240]


def test_a_class_mask_keeps_its_indices_and_void() -> None:
    mask = np.full((100, 150), 255, np.uint8)
    mask[20:80, 30:90] = 7
    made: Any = pipeline.load("segmentation").make(sample(class_mask=mask))
    assert set(np.unique(made["class_mask"])) == {7, 255}
    assert made["class_mask"][256, 200] == 7 and made["class_mask"].shape == (512, 512)
    with pytest.raises(DataError, match="no segmentation of this picture"):
        pipeline.load("segmentation").make(sample(class_mask=np.zeros((0, 0), np.uint8)))


def test_small_objects_are_painted_over_large_ones_and_crowds_are_void() -> None:
    large, small = np.ones((100, 150), np.uint8), np.zeros((100, 150), np.uint8)
    small[:, :75] = 1
    codes, ends = rle.encode([small, large])
    made: Any = pipeline.load("segmentation").make(
        sample(mask=codes, mask_ends=ends, labels=np.array([4, 9]), crowd=np.array([True, False]))
    )
    assert made["class_mask"][0, 0] == 255 and made["class_mask"][0, -1] == 10


def nothing_but(**more: Any) -> Sample:
    """A picture of COCO without objects."""
    none = {"labels": np.zeros(0, np.int64), "crowd": np.zeros(0, np.bool_)}
    none |= {"mask": np.zeros(0, np.uint8), "mask_ends": np.zeros(0, np.int64)}
    return sample(**(none | more))


def panoptic(**more: Any) -> Sample:
    painted = np.zeros((100, 150), np.int32)
    painted[:, :50], painted[:, 50:100], painted[:50, 100:] = 70_000, 3, 9
    return nothing_but(
        panoptic_map=painted,
        segment_ids=np.array([70_000, 3]),
        segment_labels=np.array([132, 4]),
        segment_crowd=np.array([False, True]),
        segment_boxes=np.array([[0, 0, 50, 100], [50, 0, 100, 100]], np.float32),
        **more,
    )


def test_panoptic_segments_are_painted_with_their_own_classes() -> None:
    made: Any = pipeline.load("segmentation").make(panoptic())
    mask = made["class_mask"]
    assert (mask[:, :170] == 133).all()
    assert (mask[:, 171:] == 255).all(), "a crowd, an id that is no segment, and no segment at all"


def test_stuff_is_painted_with_its_own_classes() -> None:
    region = np.zeros((100, 150), np.uint8)
    region[50:] = 1
    codes, ends = rle.encode([region])
    stuff = {"stuff_mask": codes, "stuff_mask_ends": ends, "stuff_labels": np.array([91])}
    made: Any = pipeline.load("segmentation").make(nothing_but(**stuff))
    assert (made["class_mask"][:256] == 0).all() and (made["class_mask"][256:] == 92).all()


def test_a_panoptic_map_and_the_boxes_of_its_segments_follow_the_picture() -> None:
    made: Any = pipeline.load("panoptic").make(panoptic())
    assert made["panoptic_map"].dtype == np.int32 and made["panoptic_map"].shape == (512, 512)
    assert made["panoptic_map"][300, [0, 169, 256, 511]].tolist() == [70_000, 70_000, 3, 0]
    assert np.allclose(made["segment_boxes"][1], [512 / 3, 0, 1024 / 3, 512])
    assert made["segment_ids"].tolist() == [70_000, 3]
    with pytest.raises(DataError, match="no panoptic map of this picture"):
        pipeline.load("panoptic").make(nothing_but(panoptic_map=np.zeros((0, 0), np.int32)))


def test_only_people_whose_joints_are_marked_are_kept() -> None:
    points = np.zeros((2, 17, 3), np.float32)
    points[1, 4] = (75, 50, 2)
    boxes = np.array([[0, 0, 9, 9], [30, 20, 90, 80]], np.float32)
    made: Any = pipeline.load("keypoints").make(sample(keypoints=points, boxes=boxes))
    assert made["keypoints"].shape == (1, 17, 3)
    assert made["keypoints"][0, 4].tolist() == [192, 192, 2]
    assert np.allclose(made["boxes"], [[76.8, 76.8, 230.4, 307.2]])


def test_captions_stay_whole() -> None:
    text, ends = rle.join(["Ein Bär.".encode(), b"A bear\n"])
    made: Any = pipeline.load("captions").make(sample(caption=text, caption_ends=ends))
    found = [one.decode() for one in rle.split(made["caption"], made["caption_ends"])]
    assert found == ["Ein Bär.", "A bear\n"]
    with pytest.raises(DataError, match="no caption of this picture"):
        pipeline.load("captions").make(sample(caption=text[:0], caption_ends=ends[:0]))


@pytest.mark.parametrize("name", ["captions", "detection", "keypoints", "panoptic", "segmentation"])
def test_a_dataset_without_annotations_is_refused(name: str) -> None:
    said = "mnist: this dataset has no .*; got fields image, label; --pipeline as_is suits"
    with pytest.raises(PipelineError, match=said):
        pipeline.load(name).fields(manifest.find("mnist"))


@pytest.mark.parametrize(
    "code", [b"", b"\xff", b"o" * 30, b"04", b"P", b"ooooooooooooooooooooooooo0"]
)
def test_run_lengths_that_lie_are_refused(code: bytes) -> None:
    with pytest.raises(DataError, match="bad run lengths"):
        rle.masks(*rle.join([code]), (3, 2))


def test_run_lengths_as_pycocotools_writes_them() -> None:
    random = np.random.default_rng(1)
    masks = [(random.random((40, 30)) < share).astype(np.uint8) for share in (0, 0.1, 0.5, 1)]
    found = rle.masks(*rle.encode(masks), (40, 30))
    assert all(np.array_equal(one, other) for one, other in zip(found, masks, strict=True))
