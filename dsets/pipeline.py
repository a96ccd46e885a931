"""Pipelines by name or by path, checked against their contract (``dsets.pipelines``).

A pipeline travels by reference: pickled, it is its origin and its digest. A worker in another
process loads it again from there and refuses a source that has changed on the way, so that a pack
never mixes the work of two versions.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from dsets.errors import PackError, PipelineError
from dsets.field import Field
from dsets.manifest import Manifest
from dsets.pack.schema import check_fields
from dsets.raised import failed, message
from dsets.readers import Batch, Sample

_PACKAGE = "dsets.pipelines"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One recipe. ``origin`` is the name of a shipped module or the absolute path of a user's.

    ``make`` is the module's own function; ``sha256`` is that of the module's source.
    ``varying_bytes`` is about what a sample's values of varying size take, ``decoded_shape`` what
    every encoded image has once it is decoded (height, width, channels), if the module says so.
    ``make_batch`` does what ``make`` does of many ordinary samples at once, if the module can.
    """

    name: str
    origin: str
    sha256: str
    statistics: str | None
    make: Callable[[Sample], Mapping[str, object]]
    _fields: Callable[[Manifest], tuple[Field, ...]]
    _environment: Callable[[], Mapping[str, str]] | None = None
    varying_bytes: int | None = None
    decoded_shape: tuple[int, int, int] | None = None
    make_batch: Callable[[Batch], Mapping[str, Any] | None] | None = None

    def fields(self, manifest: Manifest) -> tuple[Field, ...]:
        """The fields that a pack of this dataset will have.

        Raises:
            PipelineError: this dataset lacks what the pipeline needs; what the module gave are not
                fields, or ``STATISTICS`` names none of them that is an image: uint8 (height, width,
                channels), or encoded.
        """
        try:
            given = tuple(self._fields(manifest))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's code may raise anything
            if isinstance(error, PipelineError) and hasattr(error, "what"):
                # The pipeline says what it lacks; what there is instead is the same for all.
                error.got = error.got or f"fields {', '.join(one.name for one in manifest.fields)}"
                error.remedy = error.remedy or f"--pipeline {manifest.pipeline} suits this dataset"
                raise
            call = f"fields() of {manifest.name}"
            raise failed(call, self.origin, error, self.origin) from error
        self._check(given)
        return given

    def environment(self) -> dict[str, str]:
        """The versions that its pixels depend on, by name; none unless the module says so.

        Raises:
            PipelineError: it failed, or gave something else than strings by name.
        """
        if self._environment is None:
            return {}
        try:
            given = self._environment()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's code may raise anything
            raise failed("environment()", self.origin, error, self.origin) from error
        if not isinstance(given, Mapping) or not all(
            isinstance(text, str) for pair in given.items() for text in pair
        ):
            raise PipelineError(
                "bad environment", where=self.origin, expected="strings by name", got=repr(given)
            )
        return dict(given)

    def _check(self, given: tuple[Field, ...]) -> None:
        where = f"{self.origin}: fields()"
        if not given or not all(isinstance(field, Field) for field in given):
            raise PipelineError("bad fields", where=where, expected="Field values", got=given)
        try:
            check_fields(given)
        except PackError as error:
            raise PipelineError(
                error.what, where=where, expected=error.expected, got=error.got
            ) from error
        if self.statistics is None:
            return
        names = [field.name for field in given]
        if self.statistics not in names:
            raise PipelineError(
                "STATISTICS names no field",
                where=self.origin,
                expected=f"one of {', '.join(names)}, or None",
                got=repr(self.statistics),
            )
        field = given[names.index(self.statistics)]
        pixels = field.dtype == "uint8" and len(field.shape) == 3 and field.shape[2] is not None
        if not (pixels or field.encoded):
            raise PipelineError(
                "STATISTICS must name an image",
                where=self.origin,
                expected="uint8 (height, width, channels), or an encoded one: uint8 (None,)",
                got=field,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reload, (self.origin, self.sha256)


def names() -> list[str]:
    """The pipelines that are shipped."""
    package = importlib.import_module(_PACKAGE)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def load(name_or_path: str | Path) -> Pipeline:
    """The pipeline of that name, or in that ``.py`` file (which runs: it is the user's own code).

    Raises:
        PipelineError: there is none, it cannot be imported, or it breaks the contract.
    """
    source = _source(name_or_path)
    if path := _own(name_or_path):
        return _checked(path.stem, str(path), source, _execute(path, source))
    given = str(name_or_path)
    return _checked(given, given, source, importlib.import_module(f"{_PACKAGE}.{given}"))


def source_sha256(name_or_path: str | Path) -> str:
    """The digest of a pipeline's source, none of which runs.

    Raises:
        PipelineError: there is none.
    """
    return hashlib.sha256(_source(name_or_path)).hexdigest()


def _own(name_or_path: str | Path) -> Path | None:
    """The file of a user's pipeline; None for the name of a shipped one."""
    given = str(name_or_path)
    if given.endswith(".py") or os.sep in given:
        return Path(given).expanduser().absolute()
    return None


def _source(name_or_path: str | Path) -> bytes:
    path = _own(name_or_path)
    if path is None:
        given = str(name_or_path)
        if given not in names():
            raise PipelineError(
                "unknown pipeline",
                expected=f"one of {', '.join(names())}, or the path of a .py file",
                got=repr(given),
            )
        path = Path(importlib.import_module(_PACKAGE).__path__[0]) / f"{given}.py"
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"no such pipeline: {error.strerror}", where=path) from error


class _Missing:
    """In the place of a pipeline that this process cannot load: to ask anything of it fails so."""

    def __init__(self, error: PipelineError) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, such as pickle's
            raise AttributeError(name)
        raise self._error


def _reload(origin: str, sha256: str) -> Pipeline | _Missing:
    """What unpickling calls, in whichever process that is.

    It never fails: Dask unpickles what a task is given in its connection to the scheduler, and
    would end the worker, not the task.
    """
    try:
        return _same(origin, sha256)
    except PipelineError as error:
        return _Missing(error)


@lru_cache(maxsize=16)
def _same(origin: str, sha256: str) -> Pipeline:
    """The pipeline of that digest; loaded once a process."""
    try:
        pipeline = load(origin)
    except PipelineError as error:
        error.remedy = error.remedy or "every worker needs it, at the same path"
        raise
    if pipeline.sha256 != sha256:
        raise PipelineError(
            "the pipeline's source differs from the one that the job began with",
            where=origin,
            expected=f"sha256 {sha256}",
            got=pipeline.sha256,
            remedy="leave it alone while a job runs, and install one version of dsets everywhere",
        )
    return pipeline


def _execute(path: Path, source: bytes) -> ModuleType:
    # Compiled from the very bytes that are hashed: the import system might take a stale .pyc, and
    # would leave a __pycache__ beside the user's file.
    module = ModuleType(f"dsets_pipeline_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their own module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:  # sys.exit as well, which would end the job as if it were done
        del sys.modules[module.__name__]
        if isinstance(error, KeyboardInterrupt):
            raise
        what = f"cannot be imported: {type(error).__name__}: {message(error)}"
        raise PipelineError(what, where=path) from error
    return module


def _checked(name: str, origin: str, source: bytes, module: ModuleType) -> Pipeline:
    missing = [
        wanted
        for wanted, there in (
            ("STATISTICS", hasattr(module, "STATISTICS")),
            ("fields(manifest)", _takes(module, "fields", 1)),
            ("make(sample)", _takes(module, "make", 1)),
            (
                "environment()",
                not hasattr(module, "environment") or _takes(module, "environment", 0),
            ),
            (
                "make_batch(batch)",
                not hasattr(module, "make_batch") or _takes(module, "make_batch", 1),
            ),
        )
        if not there
    ]
    if missing:
        raise PipelineError(
            "breaks the pipeline contract",
            where=origin,
            expected="STATISTICS, fields(manifest), make(sample), and environment() and "
            "make_batch(batch) if any",
            got=f"no {', no '.join(missing)}",
            remedy="see the docstring of dsets.pipelines",
        )
    statistics = module.STATISTICS
    if not (statistics is None or isinstance(statistics, str)):
        raise PipelineError(
            "bad STATISTICS", where=origin, expected="a field's name, or None", got=repr(statistics)
        )
    varying = getattr(module, "VARYING_BYTES", None)
    if varying is not None and (type(varying) is not int or varying < 1):
        raise PipelineError(
            "bad VARYING_BYTES", where=origin, expected="a number of bytes", got=repr(varying)
        )
    shape = getattr(module, "DECODED_SHAPE", None)
    if shape is not None and not _is_shape(shape):
        raise PipelineError(
            "bad DECODED_SHAPE",
            where=origin,
            expected="(height, width, channels)",
            got=repr(shape),
        )
    digest = hashlib.sha256(source).hexdigest()
    return Pipeline(
        name,
        origin,
        digest,
        statistics,
        module.make,
        module.fields,
        getattr(module, "environment", None),
        varying,
        shape,
        getattr(module, "make_batch", None),
    )


def _is_shape(given: object) -> bool:
    return (
        isinstance(given, tuple)
        and len(given) == 3
        and all(type(size) is int and size > 0 for size in given)
    )


def _takes(module: ModuleType, name: str, arguments: int) -> bool:
    function = getattr(module, name, None)
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    return True
