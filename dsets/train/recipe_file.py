"""Recipes as TOML: small files to copy, edit, and give by path. Data only, and strictly read.

    title = "…"               what it trains
    source = "…"              where its figures come from
    models = ["alexnet"]      the models that it is for; others may be trained with it
    epochs = 90               and the other values of ``dsets.train.recipe.Recipe``
    batch_size = 128
    [update]                  ``dsets.train.update.Update``
    rate = 0.01
    [schedule]                ``dsets.train.schedule.Schedule``
    [images]                  ``dsets.train.images.Images``

What is left out has the default that stands there; ``epochs``, ``batch_size`` and ``rate`` have
none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any

from dsets.errors import ManifestError, UsageError
from dsets.manifest import toml
from dsets.manifest.table import Table, shown
from dsets.models import MODELS
from dsets.near import meant
from dsets.train.images import Images
from dsets.train.recipe import Recipe
from dsets.train.schedule import Schedule
from dsets.train.update import Update

_GROUPS = {"update": Update, "schedule": Schedule, "images": Images}
_ABOUT = ("title", "source", "models")
#: A field's type, as it is written → how its value is read from a table.
_KINDS: dict[str, Callable[[Table, str], Any]] = {
    "int": lambda table, key: table.number(key, 0),
    "float": Table.decimal,
    "str": Table.text,
    "bool": Table.flag,
    "tuple[int, ...]": Table.numbers,
}


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe and what its file says about it; ``name`` is the file's, without its ending."""

    name: str
    title: str
    source: str
    models: tuple[str, ...]
    recipe: Recipe


def read(path: str | Path) -> RecipeFile:
    """The recipe in a file.

    Raises:
        UsageError: it cannot be read, is no TOML, has an unknown key, or a value that cannot be
            meant; the message names file and key.
    """
    path = Path(path)
    with _as_usage():
        top = Table(toml.loads(toml.read(path), str(path)), str(path))
        values = {key: value for key, value in top.values.items() if key not in _ABOUT}
        top.only(*_ABOUT, *(field.name for field in fields(Recipe)))
        return RecipeFile(
            name=path.stem,
            title=top.text("title"),
            source=top.text("source", lines=True),
            models=_models(top),
            recipe=_recipe(Table(values, str(path))),
        )


def _models(top: Table) -> tuple[str, ...]:
    names = top.texts("models")
    if not names:
        raise top.error("models", "no model", "names of one or more models", list(names))
    for place, name in enumerate(names):
        if name not in MODELS:
            raise UsageError(
                "no such model",
                where=f"{top.origin}: models[{place}]",
                expected="a name that dsets models lists",
                got=shown(name),
                remedy=meant(name, MODELS),
            )
    return names


def of_plain(values: Mapping[str, Any], origin: str) -> Recipe:
    """The recipe whose ``plain`` values these are; ``origin`` says in errors where they came from.

    Raises:
        UsageError: as for ``read``.
    """
    with _as_usage():
        return _recipe(Table(values, origin))


def _recipe(table: Table) -> Recipe:
    table.only(*(field.name for field in fields(Recipe)))
    values: dict[str, Any] = {
        name: _made(kind, table.table(name)) for name, kind in _GROUPS.items()
    }
    recipe: Recipe = _built(Recipe, table, values)
    return recipe


def _made(kind: Any, table: Table) -> Any:
    table.only(*(field.name for field in fields(kind)))
    return _built(kind, table, {})


def _built(kind: Any, table: Table, values: dict[str, Any]) -> Any:
    for field in fields(kind):
        if field.name not in values and (field.name in table.values or _needed(field)):
            values[field.name] = _KINDS[str(field.type)](table, field.name)
    try:
        return kind(**values)
    except UsageError as error:
        where = ": ".join(part for part in (table.origin, table.path) if part)
        raise UsageError(error.what, where=where, expected=error.expected, got=error.got) from error


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


@contextmanager
def _as_usage() -> Iterator[None]:
    """A recipe is read by the manifests' strict reader; its errors are not about manifests."""
    try:
        yield
    except ManifestError as error:
        raise UsageError(
            error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            remedy=error.remedy,
        ) from error
