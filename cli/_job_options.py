"""The options that say what is made of a dataset and where the work runs, the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from dsets import prepare

from ._names import DATASET_OR_SPLIT, PIPELINE

_Command = TypeVar("_Command", bound=Callable[..., Any])
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Bytes(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A size in bytes as people write it: 65536, 64KiB, 1MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,15}) ?([kmg]i?)?b?", str(value).strip().lower())
        if not found or not int(found[1]):
            self.fail(f"{value!r} is not a size like 64KiB, 1MB or 256MiB", param, ctx)
        return int(found[1]) * _UNITS[found[2] or ""]


class MaxBad(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """How many bad samples are accepted: 100, or 0.5%."""

    name = "limit"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> prepare.Limit:
        if isinstance(value, prepare.Limit):
            return value
        found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,9})?)%", str(value).strip())
        if not found or (found[2] and float(found[2]) > 100):
            self.fail(f"{value!r} is not a number of samples like 100, or 0.5%", param, ctx)
        if found[1]:
            return prepare.Limit(count=int(found[1]))
        return prepare.Limit(percent=float(found[2]))


def planned(command: _Command) -> _Command:
    """Add what ``prepare.plan`` takes: ``name``, ``out``, ``pipeline``, ``shard_size``."""
    return _with(
        command,
        click.argument("name", type=DATASET_OR_SPLIT),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="FOLDER",
            help="Packs go into this folder, one folder a split. Default: in the store.",
        ),
        click.option(
            "--pipeline",
            type=PIPELINE,
            metavar="NAME|FILE.py",
            help="What to make of each sample. Default: the manifest's pipeline.",
        ),
        click.option(
            "--shard-size",
            type=Bytes(),
            default="256MiB",
            show_default=True,
            help="About what a shard has.",
        ),
    )


def where_to_run(command: _Command) -> _Command:
    """Add ``workers`` and ``scheduler``; no byte of what is made depends on them."""
    return _with(
        command,
        click.option(
            "--workers", type=click.IntRange(1, 1024), metavar="N", help="Use N local processes."
        ),
        click.option(
            "--scheduler", metavar="ADDRESS", help="Use the Dask cluster at tcp://HOST:PORT."
        ),
    )


def _with(command: _Command, *parts: Callable[[_Command], _Command]) -> _Command:
    return reduce(lambda found, part: part(found), reversed(parts), command)
