"""The processes of one run: how they find one another, add up, and end together.

``torchrun`` starts them and says in the environment who is who. Gradients and figures are added on
the device they are on; what is agreed upon travels between the hosts' memories, by gloo. When one
process is gone, what the others wait for raises an error: a closed connection at once, a silent one
after ``PATIENCE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from dsets.errors import DsetsError, TrainError, UsageError

T = TypeVar("T")

#: How long a process waits for a silent one: longer than writing any checkpoint takes.
PATIENCE = timedelta(minutes=10)
#: Where a launcher says who is who, and where they meet.
_RENDEZVOUS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process is number ``rank`` of ``world``. ``control``: the group that runs on the hosts.

    Every method is called by all processes, at the same point of the run. Each raises TrainError
    when another process is gone.
    """

    rank: int = 0
    world: int = 1
    control: Any = None

    @property
    def alone(self) -> bool:
        return self.world == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, in ``values`` itself; the same to the bit on each."""
        if not self.alone:
            with self._together():
                group = self.control if values.device.type == "cpu" else None
                distributed.all_reduce(values, group=group)
        return values

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is true in any process."""
        if self.alone:
            return list(flags)
        return [count > 0 for count in self.sum(torch.tensor(flags, dtype=torch.int32)).tolist()]

    def gather(self, value: T) -> list[T]:
        """Everyone's value, in the order of the ranks."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.world
        with self._together():
            distributed.all_gather_object(values, value, group=self.control)
        return values

    def by_first(self, action: Callable[[], T]) -> T:
        """What ``action`` returns in the first process, for all; its errors likewise."""
        if self.alone:
            return action()
        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = action()
            except (DsetsError, OSError) as error:
                told[1] = error
        with self._together():
            distributed.broadcast_object_list(told, src=0, group=self.control)
        if told[1] is not None:
            raise told[1]
        value: T = told[0]
        return value

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Refuse to go on where the processes differ in any of these.

        Raises:
            TrainError: they do; the message says in what.
        """
        for rank, theirs in enumerate(self.gather(dict(facts))):
            for name, fact in theirs.items():
                if fact != facts.get(name):
                    raise TrainError(
                        f"the processes of this run differ in {name}",
                        where=f"rank {rank} beside rank {self.rank} of {self.world}",
                        expected=facts.get(name),
                        got=fact,
                        remedy="give all the same command, versions, packs and --out",
                    )

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # the one type of all that torch.distributed meets
            raise TrainError(
                "another process of this run is gone, or does not answer",
                where=f"rank {self.rank} of {self.world}",
                got=_said(error),
                remedy="give the same command again: it goes on from the last checkpoint",
            ) from error


ALONE = Ranks()


def launched() -> tuple[int, int]:
    """(rank, world) as the launcher says, or as a process group that is there; else (0, 1).

    Raises:
        UsageError: the environment says nonsense.
    """
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    if not all(os.environ.get(name) for name in _RENDEZVOUS):
        return 0, 1
    rank, world = _whole("RANK"), _whole("WORLD_SIZE")
    if rank >= world:
        raise UsageError("bad RANK", where="environment", expected=f"below {world}", got=rank)
    return rank, world


def own_device(device: str) -> str:
    """The device of this process: of several on one machine, each has the GPU of its number."""
    if device == "cuda" and launched()[1] > 1:
        return f"cuda:{_whole('LOCAL_RANK')}"
    return device


def cautions(ranks: int, batch_size: int, model: torch.nn.Module) -> Sequence[str]:
    """What whoever starts that many processes should know."""
    norms = any(isinstance(layer, _NORM) for layer in model.modules())
    padded = batch_size % ranks != 0
    if ranks == 1 or not (norms or padded):
        return ()
    share = -(-batch_size // ranks)
    told = []
    if padded:
        told.append(
            f"{ranks} processes do not divide the batch of {batch_size}: rows of padding are "
            "computed for nothing"
            + (", and are part of batch norm's statistics" if norms else "")
            + f"; a batch of {share * ranks} has none"
        )
    if norms:
        told.append(
            f"batch norm normalises by the {share} images of each process, not by all {batch_size}"
        )
    return told


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that the launcher started, connected for the block; just us without one.

    A process group that the caller made is used, and left as it is.

    Raises:
        TrainError: they do not find one another, or torch lacks what connects them.
    """
    rank, world = launched()
    if world == 1:
        yield ALONE
        return
    if not distributed.is_available() or not distributed.is_gloo_available():
        raise TrainError("this torch cannot connect processes", got=torch.__version__)
    if distributed.is_initialized():
        yield Ranks(rank, world, distributed.new_group(backend="gloo", timeout=PATIENCE))
        return
    if device != "cpu":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=PATIENCE)
        control = distributed.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainError(
            "the processes of this run did not find one another",
            where=f"rank {rank} of {world}",
            got=_said(error),
        ) from error
    try:
        yield Ranks(rank, world, control)
    finally:
        distributed.destroy_process_group()


_NORM = torch.nn.modules.batchnorm._BatchNorm


def statistics(model: torch.nn.Module) -> list[Tensor]:
    """The running means and variances of the model's batch norms."""
    found = []
    for layer in model.modules():
        if isinstance(layer, _NORM) and layer.running_mean is not None:
            found += [layer.running_mean, layer.running_var]
    return [values for values in found if values is not None]


def _said(error: Exception) -> str:
    """What happened; gloo adds where in its source, guesses and good wishes."""
    first = str(error).partition("\n")[0]
    return re.sub(r"^\[\S+\] ", "", first).partition(". This is ")[0]


def _whole(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal() or len(text) > 6:
        raise UsageError(f"bad {name}", where="environment", expected="a number", got=repr(text))
    return int(text)
