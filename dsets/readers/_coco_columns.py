"""COCO's annotations as columns: numbers in typed arrays, texts one after the other.

A segmentation is kept as the text that it is, and drawn when its sample is read.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from dsets.readers._coco_json import LARGEST, File, Flag, Whole, exact

POINTS = 17  # of a person


class _Object(msgspec.Struct, gc=False):
    id: Whole
    image_id: Whole
    category_id: Whole
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: Flag = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")
    keypoints: list[float] = []

    def __post_init__(self) -> None:
        exact(self, "id", "image_id", "category_id", "iscrowd")


class _Caption(msgspec.Struct, gc=False):
    image_id: Whole
    caption: str

    def __post_init__(self) -> None:
        exact(self, "image_id")


class _Segment(msgspec.Struct, gc=False):
    id: Whole
    category_id: Whole
    bbox: tuple[float, float, float, float]
    area: float = 0.0
    iscrowd: Flag = 0

    def __post_init__(self) -> None:
        exact(self, "id", "category_id", "iscrowd")


class _Panoptic(msgspec.Struct, gc=False):
    image_id: Whole
    file_name: str
    segments_info: list[_Segment]

    def __post_init__(self) -> None:
        exact(self, "image_id")


class Rows(NamedTuple):
    """The rows of a split: ``of`` has each image's id, with -1 where it is left out on purpose."""

    of: Mapping[int, int]
    number: int


class _Gathering:
    """Numbers by annotation, and texts one after the other."""

    def __init__(self, file: File, rows: Rows, codes: Mapping[str, str]) -> None:
        self._file = file
        self._rows = rows
        self.numbers: dict[str, array[Any]] = {name: array(code) for name, code in codes.items()}
        self.row = array("q")
        self.text = bytearray()
        self.text_end = array("q")

    def place(self, image: int) -> bool:
        """Note whose annotation comes; False when its image is not in the split."""
        row = self._rows.of.get(image)
        if row is None:
            self._file.stray(f"of image {image}")
        if row is None or row < 0:
            return False
        self.row.append(row)
        return True

    def add(self, **values: float) -> None:
        for name, value in values.items():
            self.numbers[name].append(value)

    def write(self, text: Any) -> None:
        self.text += text
        self.text_end.append(len(self.text))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """In the order of the images; ``end`` (images,) says where each one's annotations end."""
        row = np.array(self.row, np.int64)
        order = np.argsort(row, kind="stable")
        found = {name: np.array(values)[order] for name, values in self.numbers.items()}
        found["end"] = np.cumsum(np.bincount(row, minlength=self._rows.number), dtype=np.int64)
        if len(self.text_end):
            ends = np.array(self.text_end, np.int64)
            found["text"] = np.frombuffer(self.text, np.uint8)  # as it is: only its bounds move
            found["text_start"], found["text_end"] = np.append(0, ends[:-1])[order], ends[order]
        else:
            found |= {"text": np.empty(0, np.uint8)}
            found |= dict.fromkeys(("text_start", "text_end"), np.empty(0, np.int64))
        return found


def objects(file: File, rows: Rows, label: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    """Instances, stuff or persons: id, label, x, y, width, height, area, crowd, text (the
    segmentation), end; keypoints float32 (n, 51) of those that have any, and has (0 or 1)."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b", "has": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    points = array("f")
    for one in file.of(_Object):
        if wrong := _wrong(one, labels) or _wrong_points(one.keypoints):
            file.fault(one.image_id, *wrong)
            continue
        if not gathering.place(one.image_id):
            continue
        x, y, width, height = one.bbox
        gathering.add(id=one.id, label=labels[one.category_id], area=one.area, crowd=one.iscrowd)
        gathering.add(x=x, y=y, width=width, height=height, has=bool(one.keypoints))
        gathering.write(one.segmentation)
        if one.keypoints:
            points.extend(one.keypoints)
    columns = gathering.columns()
    order = np.argsort(np.array(gathering.row, np.int64), kind="stable")
    has = np.array(gathering.numbers["has"], np.bool_)
    place = (np.cumsum(has) - 1)[order][has[order]]
    columns["keypoints"] = np.array(points, np.float32).reshape(-1, 3 * POINTS)[place]
    ids = np.sort(columns["id"])
    if (repeated := np.unique(ids[1:][ids[1:] == ids[:-1]])).size:
        file.twice = repeated.size, int(repeated[0])
    return columns


def _wrong(one: _Object | _Segment, labels: Collection[int]) -> tuple[str, str] | None:
    """What an annotation says that cannot be, and how; None when all can."""
    x, y, width, height = one.bbox
    name = f"annotation {one.id}: "
    if one.category_id not in labels:
        return "an annotation of an unknown category", f"{name}category {one.category_id}"
    if width < 0 or height < 0:
        return "a box of negative size", f"{name}{one.bbox}"
    if one.iscrowd not in (0, 1):
        return "a crowd flag that is neither 0 nor 1", f"{name}{one.iscrowd}"
    for value in (x, y, width, height, one.area, one.id):
        if not -LARGEST < value < LARGEST:
            return "a number out of all bounds", f"{name}{value}"
    return None


def _wrong_points(points: list[float]) -> tuple[str, str] | None:
    if len(points) not in (0, 3 * POINTS):
        return f"keypoints that are not {3 * POINTS} numbers", f"{len(points)}"
    if points and not (min(points) > -LARGEST and max(points) < LARGEST):
        return "a number out of all bounds", f"keypoints from {min(points)} to {max(points)}"
    return None


def captions(file: File, rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Captions: text in UTF-8, end."""
    gathering = _Gathering(file, rows, {})
    for one in file.of(_Caption):
        if gathering.place(one.image_id):
            gathering.write(one.caption.encode())
    return gathering.columns()


def panoptic(
    file: File, rows: Rows, label: Mapping[str, int]
) -> tuple[dict[str, npt.NDArray[Any]], dict[int, str]]:
    """Segments (id, label, x, y, width, height, area, crowd, end), and each row's PNG."""
    labels = _labels(file, label)
    codes = {"id": "q", "label": "i", "area": "d", "crowd": "b"}
    gathering = _Gathering(file, rows, codes | dict.fromkeys(("x", "y", "width", "height"), "d"))
    maps: dict[int, str] = {}
    for one in file.of(_Panoptic):
        row = rows.of.get(one.image_id)
        if row is None:
            file.stray(f"of image {one.image_id}")
        if row is None or row < 0:
            continue
        if row in maps:
            file.fault(one.image_id, "two panoptic annotations of one image", one.file_name)
            continue
        maps[row] = one.file_name
        for segment in one.segments_info:
            if wrong := _wrong(segment, labels):
                file.fault(one.image_id, *wrong)
                continue
            gathering.place(one.image_id)
            x, y, width, height = segment.bbox
            gathering.add(id=segment.id, label=labels[segment.category_id], area=segment.area)
            gathering.add(crowd=segment.iscrowd, x=x, y=y, width=width, height=height)
    return gathering.columns(), maps


def _labels(file: File, label: Mapping[str, int]) -> dict[int, int]:
    """Category id → label: the categories' ids have gaps, labels have none."""
    for name in file.categories.values():
        if name not in label:
            raise file.error(
                "a category that the manifest does not have",
                expected=f"one of {', '.join(label)}"[:200],
                got=f"{name!r:.80}",
            )
    return {number: label[name] for number, name in file.categories.items()}
