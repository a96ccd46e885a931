"""The recipes that are shipped: one TOML file each, in this folder.

``dsets.train.recipe_file`` says what may stand in one. Copy it, edit it, and give its path.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dsets.errors import UsageError
from dsets.near import meant
from dsets.train import recipe_file
from dsets.train.recipe import Recipe
from dsets.train.recipe_file import RecipeFile

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of the shipped recipes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def find(name: str) -> RecipeFile:
    """The shipped recipe of that name, or the one in a file: a path ends in ``.toml``.

    Raises:
        UsageError: there is no such recipe, or the file breaks the rules.
    """
    if name.endswith(".toml"):
        return recipe_file.read(Path(name))
    if name not in names():
        raise UsageError(
            "no such recipe",
            expected=f"one of {', '.join(names())}, or a path that ends in .toml",
            got=repr(name),
            remedy=meant(name, names()),
        )
    return _shipped(name)


def of(model: str) -> Recipe:
    """The recipe that the model called ``model`` is trained with unless one says otherwise.

    Raises:
        UsageError: there is none.
    """
    for name in names():
        if model in (shipped := _shipped(name)).models:
            return shipped.recipe
    raise UsageError("no recipe is for this model", expected="a recipe", got=repr(model))


@cache
def _shipped(name: str) -> RecipeFile:
    return recipe_file.read(_FOLDER / f"{name}.toml")
