"""What a manifest tells the COCO reader of a split, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import _rows
from dsets.readers._coco_columns import POINTS

#: Kinds of annotation, with the beginnings of their members' names.
KINDS = {
    "info": "image_info",
    "instances": "instances",
    "keypoints": "person_keypoints",
    "captions": "captions",
    "stuff": "stuff",
    "panoptic": "panoptic",
}
FIELDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "image": ("uint8", (None,)),
    "image_id": ("int64", ()),
    "size": ("int64", (2,)),
    "boxes": ("float32", (None, 4)),
    "labels": ("int64", (None,)),
    "crowd": ("bool", (None,)),
    "areas": ("float32", (None,)),
    "annotation_ids": ("int64", (None,)),
    "mask": ("uint8", (None,)),
    "mask_ends": ("int64", (None,)),
    "keypoints": ("float32", (None, POINTS, 3)),
    "caption": ("uint8", (None,)),
    "caption_ends": ("int64", (None,)),
    "stuff_labels": ("int64", (None,)),
    "stuff_mask": ("uint8", (None,)),
    "stuff_mask_ends": ("int64", (None,)),
    "panoptic_map": ("int32", (None, None)),
    "segment_ids": ("int64", (None,)),
    "segment_labels": ("int64", (None,)),
    "segment_boxes": ("float32", (None, 4)),
    "segment_crowd": ("bool", (None,)),
    "segment_areas": ("float32", (None,)),
}
#: Fields that only some kinds of annotation fill, by the beginnings of their names.
_FILLED = {
    **dict.fromkeys(("boxes", "labels", "crowd", "areas"), ("instances", "keypoints")),
    **dict.fromkeys(("annotation_ids", "mask"), ("instances", "keypoints")),
    "keypoints": ("keypoints",),
    "caption": ("captions",),
    "stuff_": ("stuff",),
    **dict.fromkeys(("panoptic_", "segment_"), ("panoptic",)),
}


@dataclass(frozen=True, slots=True)
class Options:
    """``kinds``: kind of annotation → the archive that holds it."""

    images: str
    folder: str
    kinds: dict[str, str]
    annotations: str
    drop: bool
    fields: tuple[str, ...]
    labels: Mapping[str, int] = field(repr=False)
    stuff_labels: Mapping[str, int] = field(repr=False)
    segment_labels: Mapping[str, int] = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        return (self.images, *dict.fromkeys(self.kinds.values()))

    @property
    def outline(self) -> str:
        """The kind whose file says which images there are."""
        return next(kind for kind in KINDS if kind in self.kinds)

    @property
    def empty(self) -> tuple[str, ...]:
        """The fields of which the split has no annotations."""
        without = tuple(
            name for name, kinds in _FILLED.items() if not any(kind in self.kinds for kind in kinds)
        )
        return tuple(name for name in self.fields if name.startswith(without))

    def member(self, kind: str, suffix: str) -> str:
        return f"{KINDS[kind]}_{self.annotations}{suffix}"


def read(source: Source) -> Options:
    """The options of the source's split. Raises ManifestError."""
    needed = {"images": True, "folder": True}
    optional = dict.fromkeys([*KINDS, "annotations", "without_annotations"], False)
    given = _rows.options(source, needed | optional)
    kinds = {kind: str(given[kind]) for kind in KINDS if kind in given}
    for option in ("images", *kinds):
        if given[option] not in source.split.files:
            raise _rows.bad_option(
                source, option, f"one of {source.split.files}", repr(given[option])
            )
    if not kinds:
        raise _rows.bad_option(source, ", ".join(KINDS), "one of these at least", "none")
    folder = str(given["folder"])
    annotations = str(given.get("annotations", folder))
    for option, name in (("folder", folder), ("annotations", annotations)):
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise _rows.bad_option(source, option, "a plain name", repr(name))
    without = given.get("without_annotations", "keep")
    if without not in ("keep", "drop") or (without == "drop" and "instances" not in kinds):
        raise _rows.bad_option(
            source, "without_annotations", "keep, or with instances drop", repr(without)
        )
    fields = {one.name: one for one in source.manifest.fields}
    if "image" not in fields or not all(map(_known, fields.values())):
        raise ManifestError(
            "the fields are not COCO's",
            where=source.manifest.origin,
            expected="image and others of "
            + "; ".join(str(Field(name, *kind)) for name, kind in FIELDS.items()),
            got="; ".join(map(str, fields.values())),
        )
    classes = [
        {name: i for i, name in enumerate(fields[one].classes)} if one in fields else {}
        for one in ("labels", "stuff_labels", "segment_labels")
    ]
    return Options(
        str(given["images"]), folder, kinds, annotations, without == "drop", tuple(fields), *classes
    )


def _known(one: Field) -> bool:
    return FIELDS.get(one.name) == (one.dtype, one.shape)
