"""Training: a loop that feeds from the stream, runs that survive being killed.

    plan = dsets.train.plan("lenet", "packs/mnist/as_is", out="runs/lenet")
    result = dsets.train.run(plan)

Needs torch (``pip install 'dsets[torch]'``); importing this package alone does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dsets.errors import MissingLibraryError

if TYPE_CHECKING:
    from dsets.train import crops, evaluating
    from dsets.train.images import Images
    from dsets.train.moment import Moment, Step
    from dsets.train.numerics import Numerics
    from dsets.train.planning import Plan, plan
    from dsets.train.ranks import launched
    from dsets.train.recipe import Recipe
    from dsets.train.recipe_file import RecipeFile
    from dsets.train.recipe_file import read as read_recipe
    from dsets.train.running import Result, run
    from dsets.train.schedule import Schedule
    from dsets.train.update import Update

__all__ = [
    "Images",
    "Moment",
    "Numerics",
    "Plan",
    "Recipe",
    "RecipeFile",
    "Result",
    "Schedule",
    "Step",
    "Update",
    "crops",
    "evaluating",
    "launched",
    "plan",
    "read_recipe",
    "run",
]

_ELSEWHERE = {
    "Images": "images",
    "Moment": "moment",
    "Numerics": "numerics",
    "Plan": "planning",
    "Recipe": "recipe",
    "RecipeFile": "recipe_file",
    "Result": "running",
    "Step": "moment",
    "Schedule": "schedule",
    "Update": "update",
    "crops": "crops",
    "evaluating": "evaluating",
    "launched": "ranks",
    "plan": "planning",
    "read_recipe": "recipe_file",
    "run": "running",
}

#: Names that say less in their own file.
_CALLED = {"read_recipe": "read"}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'dsets.train' has no attribute {name!r}")
    try:
        module = importlib.import_module(f"dsets.train.{_ELSEWHERE[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingLibraryError(
            "training needs torch, which is not installed", remedy="pip install 'dsets[torch]'"
        ) from error
    return module if name == _ELSEWHERE[name] else getattr(module, _CALLED.get(name, name))
