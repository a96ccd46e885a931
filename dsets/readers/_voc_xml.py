"""One annotation of PASCAL VOC: a small XML from strangers, parsed by defusedxml.

Elements come in any order. ``difficult``, ``truncated`` and ``occluded`` may be absent, which means
no. Corners are published 1-based and inclusive, now and then as decimals; here they become edges
counted from 0, so that width is xmax - xmin: (xmin - 1, ymin - 1, xmax, ymax).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

XML_BYTES = 1 << 20
POSES = ("Unspecified", "Left", "Right", "Frontal", "Rear")
PARTS = ("head", "hand", "foot")
ACTIONS = (
    *("jumping", "other", "phoning", "playinginstrument", "reading", "ridingbike"),
    *("ridinghorse", "running", "takingphoto", "usingcomputer", "walking"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("difficult", "truncated", "occluded")


def parse(data: bytes, where: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """Every field of the annotation but the masks, of n objects and m parts.

    boxes float32 (n, 4), labels int64 (n,), difficult, truncated, occluded bool (n,), poses int64
    (n,), points float32 (n, 2; NaN: none), actions int8 (n, 11; -1: not said), part_boxes float32
    (m, 4), part_labels int64 (m,), part_objects int64 (m,): which object each part is of; size
    int64 (2,): height and width, or the DataError that it gives none though it has objects. Beside
    them ``filename``: what it calls the picture, or "", and ``remark``: of a pose that VOC does not
    have, which is taken as Unspecified, or "".

    Raises:
        DataError: it is no such annotation, or hostile; ``what`` of it is in fixed words.
    """
    root = _root(data, where)
    label = {name: index for index, name in enumerate(classes)}
    objects: list[dict[str, Any]] = []
    parts: list[tuple[list[float], int, int]] = []
    remark, place = "", where
    try:
        for owner, element in enumerate(root.findall("object")):
            place = f"{where}: object {owner + 1}"
            objects.append(_object(element, label))
            if (pose := _pose(element)) not in POSES and not remark:
                known = ", ".join(POSES)
                remark = f"object {owner + 1} has the pose {pose[:40]!a}, which is none of {known}"
            for part in element.findall("part"):
                parts.append((_box(part), _choice(part, "name", PARTS, "part"), owner))
        place = where
        size = _size(root, where, needed=not objects)
    except DataError as error:
        raise DataError(error.what, where=place, expected=error.expected, got=error.got) from error
    kinds: Mapping[str, tuple[Any, tuple[int, ...]]] = {
        "boxes": (np.float32, (4,)),
        "labels": (np.int64, ()),
        **{flag: (np.bool_, ()) for flag in _FLAGS},
        "poses": (np.int64, ()),
        "points": (np.float32, (2,)),
        "actions": (np.int8, (len(ACTIONS),)),
    }
    found: dict[str, Any] = {
        name: np.array([one[name] for one in objects], dtype).reshape(-1, *shape)
        for name, (dtype, shape) in kinds.items()
    }
    found["part_boxes"] = np.array([part[0] for part in parts], np.float32).reshape(-1, 4)
    found["part_labels"] = np.array([part[1] for part in parts], np.int64)
    found["part_objects"] = np.array([part[2] for part in parts], np.int64)
    filename = (root.findtext("filename") or "").strip()
    return found | {"size": size, "filename": filename, "remark": remark}


def _size(root: Element, where: str, *, needed: bool) -> Any:
    try:
        sides = [int(_number(root, f"size/{side}")) for side in ("height", "width")]
    except DataError as error:
        if needed:
            raise
        return DataError(error.what, where=where, expected=error.expected, got=error.got)
    return np.array(sides, np.int64)


def _root(data: bytes, where: str) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException, ElementTree

    try:
        root: Element = ElementTree.fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(
            "not sound XML",
            where=where,
            expected="an annotation without a document type or entities of its own",
            got="a document type declaration",
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        kind = type(error).__name__
        raise DataError("not sound XML", where=where, got=f"{kind}: {error!s:.100}") from error
    if root.tag != "annotation":
        raise DataError("bad annotation", where=where, expected="annotation", got=root.tag[:60])
    return root


def _object(element: Element, label: Mapping[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {flag: _flag(element, flag) for flag in _FLAGS}
    found["boxes"] = _box(element)
    found["labels"] = _choice(element, "name", tuple(label), "class")
    pose = _pose(element)
    found["poses"] = POSES.index(pose) if pose in POSES else 0
    found["points"] = [math.nan, math.nan]
    if element.find("point") is not None:
        found["points"] = [_number(element, f"point/{axis}") - 0.5 for axis in "xy"]
    found["actions"] = [-1] * len(ACTIONS)
    for action in element.findall("actions/*"):
        if action.tag not in ACTIONS:
            raise _bad("an action that VOC does not have", ", ".join(ACTIONS), ascii(action.tag))
        found["actions"][ACTIONS.index(action.tag)] = _flag(element, f"actions/{action.tag}")
    return found


def _pose(element: Element) -> str:
    return (element.findtext("pose") or "").strip() or POSES[0]


def _box(element: Element) -> list[float]:
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{corner}") for corner in _CORNERS)
    if xmax < xmin or ymax < ymin:
        got = f"from {xmin:g}, {ymin:g} to {xmax:g}, {ymax:g}"
        raise _bad("a box whose corners are in the wrong order", "xmin <= xmax, ymin <= ymax", got)
    return [xmin - 1, ymin - 1, xmax, ymax]


def _number(element: Element, path: str) -> float:
    text = element.findtext(path)
    if text is None:
        raise _bad("an element is missing", f"{path} in {element.tag}", "none")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1 << 24:  # NaN too; float32 has every whole number below
        raise _bad("a bad number", f"{path}, below {1 << 24:,}", ascii(text[:40]))
    return number


def _flag(element: Element, path: str) -> bool:
    text = (element.findtext(path) or "0").strip()
    if text not in ("0", "1"):
        raise _bad("a flag that is neither 0 nor 1", path, ascii(text[:40]))
    return text == "1"


def _choice(element: Element, path: str, among: tuple[str, ...], what: str) -> int:
    text = (element.findtext(path) or "").strip()
    if text not in among:
        raise _bad(f"an unknown {what}", f"one of {', '.join(among)}"[:150], ascii(text[:40]))
    return among.index(text)


def _bad(what: str, expected: str, got: str) -> DataError:
    return DataError(f"bad annotation: {what}", expected=expected, got=got)
