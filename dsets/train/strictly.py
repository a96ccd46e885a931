"""The parts of a checkpoint, looked at before anything computes with them: it may be a stranger's.

``weights_only`` keeps it from running code. It does not keep a tensor from standing where a number
is expected, which would otherwise end in the middle of a run, or in a message of torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

#: Deeper than any identity, environment, provenance chain or optimiser's state.
DEEPEST = 20
#: What an evaluation is remembered by, besides figures that not every one has.
FIGURES = ("images", "loss", "top1", "seconds")


def fault(held: Mapping[str, Any]) -> str:
    """What is wrong with the parts by name; "" where nothing is."""
    return next((name for name, right in _RIGHT.items() if not right(held[name])), "")


def swollen(held: Any, most: int) -> bool:
    """Whether to go through it all takes more than ``most`` entries, letters, and bytes of tensors.

    A list that is named ten times in a list that is named ten times, and so on, or within itself,
    is short in a file and has no end for whoever reads it.
    """
    waiting = [held]
    while waiting and most >= 0:
        value = waiting.pop()
        most -= 1
        if type(value) is str:
            most -= len(value)
        elif type(value) is Tensor and dense(value):
            most -= value.numel() * value.element_size()
        elif isinstance(value, Mapping):
            waiting += [*value.keys(), *value.values()]
        elif type(value) in (list, tuple):
            waiting += value
    return most < 0


def plain(value: Any, depth: int = DEEPEST) -> bool:
    """Whether it is what JSON can say: None, flags, numbers, text, lists, tables by text."""
    if value is None or type(value) in (bool, int, float, str):
        return True
    if depth == 0:
        return False
    if type(value) is list:
        return all(plain(entry, depth - 1) for entry in value)
    return type(value) is dict and all(
        type(name) is str and plain(entry, depth - 1) for name, entry in value.items()
    )


def number(value: Any) -> bool:
    """Whether it is a number that can be computed with."""
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and math.isfinite(value)


def dense(value: Any) -> bool:
    """Whether it is a tensor of real numbers that are all in memory: not sparse, not without
    storage, not few numbers that are shown as many."""
    return (
        type(value) is Tensor
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _environments(value: Any) -> bool:
    return bool(value) and all(
        type(one) is dict
        and _whole(one.get("step"))
        and plain(one)
        and not any(type(fact) in (list, dict) for fact in one.values())
        for one in value
    )


def _history(value: Any) -> bool:
    return plain(value) and all(
        type(one) is dict
        and all(number(one.get(name)) for name in FIGURES)
        and all(_whole(one.get(name)) for name in ("epoch", "step"))
        for one in value
    )


def _tensors(value: Any) -> bool:
    return all(type(name) is str and dense(one) for name, one in value.items())


def _optimizer(value: Any, depth: int = DEEPEST) -> bool:
    """Plain data and tensors; tables by text, or by the number of a weight."""
    if type(value) is Tensor:
        return dense(value)
    if depth and type(value) in (list, tuple):
        return all(_optimizer(entry, depth - 1) for entry in value)
    if depth and type(value) is dict:
        return all(
            type(name) in (int, str) and _optimizer(entry, depth - 1)
            for name, entry in value.items()
        )
    return plain(value, 0)


def _ranks(value: Any) -> bool:
    return bool(value) and all(
        type(one) is dict
        and type(one.get("meter")) is list
        and all(number(total) for total in one["meter"])
        and type(one.get("generators")) is dict
        and "cpu" in one["generators"]
        and _tensors(one["generators"])
        for one in value
    )


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "identity": plain,
    "environments": _environments,
    "packs": plain,
    "step": _whole,
    "seconds": number,
    "log_bytes": _whole,
    "log_sha256": plain,
    "history": _history,
    "model": _tensors,
    "optimizer": _optimizer,
    "scaler": plain,
    "stream": plain,
    "ranks": _ranks,
}
