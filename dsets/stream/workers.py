"""A stream as an iterable dataset of torch's ``DataLoader``, whichever workers it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from dsets.errors import MissingLibraryError
from dsets.stream.options import Options, Rarer
from dsets.stream.stream import Stream, order_of
from dsets.stream.window import Window
from dsets.transforms.recipe import Transform

if TYPE_CHECKING:
    from dsets.pack import Pack
    from dsets.stream._iterable import Iterable


def as_iterable(
    pack: Pack,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: bool | Window = True,
    transform: Sequence[Transform] = (),
    rank: tuple[int, int] = (0, 1),
    **rarer: Unpack[Rarer],
) -> Iterable:
    """An ``IterableDataset`` of whole batches, for ``DataLoader(…, batch_size=None)``.

    Arguments are those of ``batches``; each of the loader's workers has one thread, whatever
    ``threads`` says. Worker w of k makes the batches w, w + k, w + 2 k, … of an
    epoch, so that the loader, which asks its workers in turn, gives the stream's own order. A batch
    is a dict: the pack's fields, and ``index``, ``valid`` and ``substituted``.

    Raises:
        UsageError: arguments that cannot be meant, or a field of one of those three names.
        MissingLibraryError: torch is not installed.
    """
    try:
        from dsets.stream._iterable import Iterable
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise MissingLibraryError(
            "an iterable dataset needs torch",
            where="as_iterable",
            remedy="pip install 'dsets[torch]'",
        ) from error
    options = Options.of("as_iterable", rarer, ("seed", "shuffle", "transform", "rank"))
    order = order_of(pack, batch_size, seed, shuffle, rank, options)
    Stream(
        pack, order, transform, options=options
    ).close()  # what is wrong is said here, not in a worker
    return Iterable(pack, order, tuple(transform), options)
