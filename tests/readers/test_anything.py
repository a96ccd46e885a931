"""Whatever stands in one annotation or mask, the other samples come and no job stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_

from dsets.readers import Sample, _coco_index, _index_file, coco
from tests.readers import tiny_coco, tiny_voc

LIMITED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = any_.recursive(
    any_.none() | any_.booleans() | any_.integers() | any_.floats() | any_.text(max_size=3),
    lambda inner: any_.lists(inner, max_size=7) | any_.dictionaries(any_.text(), inner, max_size=2),
    max_leaves=12,
)
SPLICED = any_.tuples(any_.integers(0, 500), any_.integers(0, 30), any_.binary(max_size=6))


def told(samples: list[Sample], bad: int) -> None:
    """Only that sample may be bad, and then says why, here and there in the same words."""
    for number, sample in enumerate(samples):
        assert number == bad or sample.problem is None
        assert bool(sample.problem) <= bool(sample.remark)
        assert "/" not in str(sample.problem or "")


@LIMITED
@given(place=SPLICED, kind=any_.sampled_from(["Annotations", "SegmentationClass"]))
def test_bytes_in_a_voc_annotation_or_mask(
    tmp_path: Path, place: tuple[int, int, bytes], kind: str
) -> None:
    contents = tiny_voc.members(**tiny_voc.PICTURES)
    name = f"VOCdevkit/VOC2007/{kind}/000002.{'xml' if kind == 'Annotations' else 'png'}"
    start, length, new = place
    whole = contents[name]
    contents[name] = whole[:start] + new + whole[start + length :]
    told(tiny_voc.read(tiny_voc.source(tmp_path, contents)), 0)


@LIMITED
@given(
    value=JSON,
    name=any_.sampled_from(
        ["bbox", "segmentation", "category_id", "area", "iscrowd", "keypoints", "id"]
    ),
)
def test_values_in_a_coco_annotation(tmp_path: Path, value: Any, name: str) -> None:
    contents = tiny_coco.instances(
        tiny_coco.annotation(1, 7), tiny_coco.annotation(2, 3, **{name: value})
    )
    contents["instances"] = json.dumps(contents["instances"]).encode()
    one = tiny_coco.source(tmp_path, contents)
    _coco_index._OPEN.clear()
    _index_file.path(one).unlink(missing_ok=True)
    told(tiny_coco.read(one), 0)
    assert not coco.remarks(one)
