"""What a manifest tells the ImageNet reader of a split, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import _rows

LAYOUTS = ("tar of tars", "tar", "listing", "zip")
KINDS = ("train", "val", "test")
#: Where the label of a picture that is called by a number comes from.
TRUTHS = ("truth", "solution", "labels")
_NAMES = {
    "images": True,
    "layout": True,
    "pictures": False,
    "patches": False,
    "classes": False,
    "boxes": False,
    "ilsvrc_ids": False,
    "class_samples": False,
}
_KINDS = {
    "image": ("uint8", (None,)),
    "label": ("int64", ()),
    "ilsvrc_id": ("int64", ()),
    "wnid": ("int64", ()),
    "boxes": ("float32", (None, 4)),
}


@dataclass(frozen=True, slots=True)
class Options:
    """``truth`` is the option that says where labels come from, with its value, or None.

    ``ids`` has the ILSVRC id of each class, and is empty where the manifest gives none; so is
    ``classes`` where they are those that the archive has. ``pictures`` says which kind of those in
    a zip are the split's, and is else empty; so is ``patches`` where there are none.
    """

    images: str
    layout: str
    truth: tuple[str, str] | None
    boxes: tuple[str, ...]
    classes: tuple[str, ...]
    ids: tuple[int, ...]
    fields: tuple[str, ...]
    pictures: str = ""
    patches: str = ""


def read(source: Source) -> Options:
    """The options of the source's split. Raises ManifestError."""
    given = _rows.options(source, _NAMES | dict.fromkeys(TRUTHS, False))
    images, layout, boxes = given["images"], given["layout"], given.get("boxes", ())
    if images not in source.split.files:
        raise _rows.bad_option(source, "images", f"one of {source.split.files}", repr(images))
    if layout not in LAYOUTS:
        raise _rows.bad_option(source, "layout", f"one of {', '.join(LAYOUTS)}", repr(layout))
    if not isinstance(boxes, Sequence) or isinstance(boxes, str):
        raise _rows.bad_option(source, "boxes", "a list of files", repr(boxes))
    pictures = given.get("pictures", "")
    if pictures not in (KINDS if layout == "zip" else ("",)):
        expected = f"one of {', '.join(KINDS)} with the layout zip, else nothing"
        raise _rows.bad_option(source, "pictures", expected, repr(pictures))
    patches = given.get("patches", "")
    if patches and (patches not in source.split.files or layout == "zip"):
        expected = f"one of {source.split.files}, and no zip"
        raise _rows.bad_option(source, "patches", expected, repr(patches))
    fields = _fields(source)
    label = next(field for field in source.manifest.fields if field.name == "label")
    ids = _ids(source, label.classes)
    truth = _truth(source)
    if not ids and ("ilsvrc_id" in fields or (truth and truth[0] == "truth")):
        raise _rows.bad_option(source, "ilsvrc_ids", "them in the training split", "none")
    for name in boxes:
        source.manifest.file(str(name))
    boxes = tuple(map(str, boxes))
    return Options(
        str(images),
        str(layout),
        truth,
        boxes,
        label.classes,
        ids,
        fields,
        str(pictures),
        str(patches),
    )


def _truth(source: Source) -> tuple[str, str] | None:
    options = source.split.options
    found = [(name, options[name]) for name in TRUTHS if name in options]
    if len(found) > 1:
        names = ", ".join(name for name, _ in found)
        raise _rows.bad_option(source, names, "one of these, or none", "several")
    if not found:
        return None
    name, value = found[0]
    if name == "labels" and value != "folder":
        raise _rows.bad_option(source, name, "'folder'", repr(value))
    if name != "labels" and value not in source.split.files:
        raise _rows.bad_option(source, name, f"one of {source.split.files}", repr(value))
    return name, str(value)


def _ids(source: Source, classes: Sequence[str]) -> tuple[int, ...]:
    """The training split has them for all splits."""
    training = source.manifest.training or source.split
    ids = training.options.get("ilsvrc_ids", ())
    wrong = not isinstance(ids, tuple) or not all(type(n) is int and n > 0 for n in ids)
    if wrong or (ids and len(ids) != len(classes)) or len(set(ids)) != len(ids):
        raise _rows.bad_option(
            source, "ilsvrc_ids", f"{len(classes)} different numbers above 0", f"{ids!r:.60}"
        )
    return tuple(ids)


def _fields(source: Source) -> tuple[str, ...]:
    fields = {field.name: field for field in source.manifest.fields}
    good = "image" in fields and "label" in fields and all(map(_known, fields.values()))
    classes = fields["label"].classes if "label" in fields else ()
    found = source.split.options.get("classes")
    if found is not None and (found != "archive" or classes or not source.split.training):
        expected = "'archive', of the training split, with a label that has no classes"
        raise _rows.bad_option(source, "classes", expected, repr(found))
    if not good or bool(classes) == bool(found) or any(a >= b for a, b in pairwise(classes)):
        raise ManifestError(
            "the fields are not ImageNet's",
            where=source.manifest.origin,
            expected="image: uint8 (?,), label: int64 () with wnids in alphabetical order as"
            " classes, and perhaps ilsvrc_id, wnid: int64 () and boxes: float32 (?, 4)",
            got="; ".join(map(str, fields.values())),
        )
    return tuple(fields)


def _known(field: Field) -> bool:
    return _KINDS.get(field.name) == (field.dtype, field.shape)
