"""Names as command arguments: the shell completes those there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from dsets.errors import UsageError


class DatasetName(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A dataset's name, as it was typed; ``dsets.manifest.find`` says whether it is one.

    With ``splits``, ``NAME/SPLIT`` is completed as well.
    """

    name = "name"

    def __init__(self, *, splits: bool = False) -> None:
        self.splits = splits

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that go on from ``incomplete``; none, silently, when manifests are broken."""
        from dsets import manifest
        from dsets.errors import DsetsError

        dataset, slash, _ = incomplete.partition("/")
        try:
            if slash and self.splits:
                found = [f"{dataset}/{split.name}" for split in manifest.find(dataset).splits]
            else:
                found = manifest.names()
        except DsetsError:
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)]


class ModelName(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A reference model's name; another is wrong usage."""

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is a model of it; torch is not loaded."""
        from dsets import models

        try:
            models.find(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that go on from ``incomplete``; torch is not loaded for them."""
        from dsets import models

        return [CompletionItem(name) for name in models.MODELS if name.startswith(incomplete)]


class RecipeName(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A shipped recipe's name, or the path of a user's, as it was typed."""

    name = "recipe"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that go on from ``incomplete``; files where none does."""
        from dsets.train import recipes

        found = [CompletionItem(n) for n in recipes.names() if n.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


class PipelineName(click.ParamType):  # type: ignore[type-arg]  # no generic before click 8.4
    """A shipped pipeline's name, or the path of a user's, as it was typed."""

    name = "pipeline"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that go on from ``incomplete``; files where none does."""
        from dsets import pipeline

        found = [CompletionItem(name) for name in pipeline.names() if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


DATASET = DatasetName()
DATASET_OR_SPLIT = DatasetName(splits=True)
MODEL = ModelName()
PIPELINE = PipelineName()
RECIPE = RecipeName()


def packs(path: Path) -> list[Path]:
    """The packs that a path means: itself, or the folders in it."""
    if (path / "index.json").is_file():
        return [path]
    return sorted(index.parent for index in path.glob("*/index.json"))


def checked(
    check: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """A callback of an option: a value that the library refuses is wrong usage, exit code 2."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        try:
            if value is not None:
                check(value)
        except UsageError as error:
            raise click.BadParameter(str(error), ctx, param) from error
        return value

    return callback


def spelt(name: str) -> str:
    """The name of the dataset that is meant where only hyphens, underscores, dots or capitals
    differ; else as it was typed.

    Raises:
        ManifestError: the folders of manifests cannot be read.
    """
    from dsets import manifest

    known = manifest.names()
    meant = [one for one in known if _letters(one) == _letters(name)]
    return meant[0] if name not in known and len(meant) == 1 else name


def _letters(name: str) -> str:
    return name.lower().translate(dict.fromkeys(map(ord, "-_.")))
