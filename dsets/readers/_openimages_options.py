"""What a manifest tells the Open Images reader of a split, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import _rows

#: Kinds of annotation in CSV files: the option that names the files.
CSVS = ("boxes", "human_labels", "machine_labels", "points", "relationships", "rotation")
FLAGS = ("occluded", "truncated", "group_of", "depiction", "inside")
SOURCES = (
    "activemil",
    "freeform",
    "xclick",
    "verification",
    "crowdsource-verification",
    "machine",
    "human",
)
_RAGGED: tuple[int | None, ...] = (None,)
FIELDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "image": ("uint8", _RAGGED),
    "size": ("int64", (2,)),
    "rotation": ("float32", ()),
    "boxes": ("float32", (None, 4)),
    "labels": ("int64", _RAGGED),
    "confidences": ("float32", _RAGGED),
    **dict.fromkeys(FLAGS, ("int8", _RAGGED)),
    "sources": ("int8", _RAGGED),
    "crowd": ("bool", _RAGGED),
    "mask": ("uint8", _RAGGED),
    "mask_ends": ("int64", _RAGGED),
    "points": ("float32", (None, 2)),
    "point_answers": ("int8", _RAGGED),
    "relation_boxes": ("float32", (None, 2, 4)),
    "relation_labels": ("int64", (None, 2)),
    "relation_mids": ("uint8", _RAGGED),
    "relation_mid_ends": ("int64", _RAGGED),
    "relation_names": ("uint8", _RAGGED),
    "relation_name_ends": ("int64", _RAGGED),
}
for _kind in ("human", "machine", "point"):
    FIELDS[f"{_kind}_labels"] = ("int64", _RAGGED)
    FIELDS[f"{_kind}_mids"] = ("uint8", _RAGGED)
    FIELDS[f"{_kind}_mid_ends"] = ("int64", _RAGGED)
    if _kind != "point":
        FIELDS[f"{_kind}_confidences"] = ("float32", _RAGGED)
MID = re.compile(r"/[a-z]/[0-9a-z_]{1,24}")


@dataclass(frozen=True, slots=True)
class Options:
    """``csvs``: kind of annotation → the files that hold it; ``needed``: those that must be there.

    ``mids`` are the classes' identifiers (/m/01yrx), in the classes' order.
    """

    images: tuple[str, ...]
    csvs: Mapping[str, tuple[str, ...]]
    masks: tuple[str, ...]
    needed: frozenset[str]
    drop: bool
    fields: tuple[str, ...]
    mids: Mapping[str, int] = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the split may have, needed or not."""
        return (
            *self.images,
            *(name for names in self.csvs.values() for name in names),
            *self.masks,
        )


def read(source: Source) -> Options:
    """The options of the source's split. Raises ManifestError."""
    expected = dict.fromkeys([*CSVS, "masks", "mids", "subclasses", "without_objects"], False)
    given = _rows.options(source, {"images": True} | expected)
    images = _files(source, "images", given["images"])
    csvs = {kind: _files(source, kind, given[kind]) for kind in CSVS if kind in given}
    masks = _files(source, "masks", given["masks"]) if "masks" in given else ()
    needed = frozenset(source.split.files)
    if strange := [name for name in images if name not in needed]:
        raise _rows.bad_option(source, "images", f"some of {source.split.files}", strange[0])
    if masks and "boxes" in csvs:
        raise _rows.bad_option(source, "masks, boxes", "one of them: both say the objects", "both")
    without = given.get("without_objects", "keep")
    if without not in ("keep", "drop") or (without == "drop" and not masks and "boxes" not in csvs):
        expected_text = "keep, or with boxes or masks drop"
        raise _rows.bad_option(source, "without_objects", expected_text, repr(without))
    fields = {one.name: one for one in source.manifest.fields}
    if "image" not in fields or not all(map(_known, fields.values())):
        raise ManifestError(
            "the fields are not those of Open Images",
            where=source.manifest.origin,
            expected="image and others of "
            + "; ".join(str(Field(name, *kind)) for name, kind in FIELDS.items()),
            got="; ".join(map(str, fields.values())),
        )
    if ("mask" in fields) != bool(masks):
        raise _rows.bad_option(source, "masks", "zips, where there is a field mask", masks)
    classes = fields["labels"].classes if "labels" in fields else ()
    mids = _mids(source, classes)
    subclasses(source, classes)
    return Options(images, csvs, masks, needed, without == "drop", tuple(fields), mids)


def _known(one: Field) -> bool:
    return FIELDS.get(one.name) == (one.dtype, one.shape)


def _files(source: Source, option: str, value: object) -> tuple[str, ...]:
    """An option that is a file's name or a list of such."""
    names = (value,) if isinstance(value, str) else value
    known = {file.name for file in source.manifest.files}
    if not isinstance(names, tuple) or not names or not set(names) <= known:
        raise _rows.bad_option(source, option, "names under [[file]]", repr(value)[:200])
    return tuple(str(name) for name in names)


def subclasses(source: Source, classes: tuple[str, ...]) -> dict[int, tuple[int, ...]]:
    """Label → the labels directly below it in the class hierarchy, {} where none is given.

    They are in the split's options or, written once for all, in the training split's.

    Raises:
        ManifestError: a class is unknown.
    """
    own, first = source.split.options, (source.manifest.training or source.split).options
    value = own.get("subclasses", first.get("subclasses", {}))
    labels = {name: label for label, name in enumerate(classes)}
    tables = value if isinstance(value, Mapping) else {"": ()}
    good = {
        labels[name]: tuple(labels[one] for one in below)
        for name, below in tables.items()
        if name in labels
        and isinstance(below, tuple)
        and all(isinstance(one, str) and one in labels for one in below)
    }
    if len(good) != len(tables):
        wrong = next((name for name in tables if labels.get(name) not in good), value)
        raise _rows.bad_option(
            source, "subclasses", "class → list of classes, of those of labels", repr(wrong)[:120]
        )
    return good


def _mids(source: Source, classes: tuple[str, ...]) -> dict[str, int]:
    """Those in the split's options or, written once for all, in the training split's."""
    training = source.manifest.training or source.split
    value = source.split.options.get("mids", training.options.get("mids", ()))
    good = isinstance(value, tuple) and all(
        isinstance(mid, str) and MID.fullmatch(mid) for mid in value
    )
    if not good or len(value) != len(classes) or len(set(value)) != len(value):
        raise _rows.bad_option(
            source,
            "mids",
            f"{len(classes)} different ones like /m/01yrx, one a class of labels",
            repr(value)[:120],
        )
    return {mid: number for number, mid in enumerate(value)}
