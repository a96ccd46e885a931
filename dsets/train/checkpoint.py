"""A checkpoint: everything from which a run goes on as if it had never stopped, in one file.

Written by torch.save beside its final name and renamed, so a killed run leaves the previous one
whole. It holds tensors and plain data only and is read with ``weights_only=True``: a stranger's
checkpoint runs no code. A digest of all contents lies within: torch does not look at the sums of
its zip files, so a disk that flips a bit would change weights in silence.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from dsets.errors import TrainError
from dsets.train import contents, strictly
from dsets.train.writing import writing

FORMAT = 4
#: What a run that cannot go on from its checkpoint tells.
ANEW = "put a copy of it back; or delete it, or give another --out, to start from the beginning"
#: What a checkpoint holds, in bytes and entries, over the bytes of its file: weights that share
#: their memory, or text named in several places, are there once.
_SHARED = 8
#: So much any checkpoint may hold.
_LEAST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``identity`` says which run this is, ``environments`` what else its bits depend on: one
    entry for each that it went on in, with the ``step`` from which on. ``packs`` tells where the
    packs lay and where they come from.

    ``step`` counts the steps taken, ``seconds`` the time they took; ``history`` has the figures of
    each evaluation, ``log_bytes`` and ``log_sha256`` the log's length at this moment and the digest
    of what is in it. ``scaler`` is float16's;
    ``ranks`` has what each process holds for itself: ``meter``, the sums since the log's last line,
    and ``generators``, the states of the random numbers.
    """

    identity: dict[str, Any]
    environments: list[dict[str, Any]]
    packs: dict[str, Any]
    step: int
    seconds: float
    log_bytes: int
    log_sha256: str
    history: list[dict[str, Any]]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    stream: dict[str, Any]
    ranks: list[dict[str, Any]]

    @property
    def environment(self) -> dict[str, Any]:
        """The environment that the last steps were taken in."""
        return {name: value for name, value in self.environments[-1].items() if name != "step"}

    def told(self, name: str, most: int) -> int | None:
        """A whole number of the environment; None where it is not one of 1 to ``most``."""
        value = self.environment.get(name)
        return value if type(value) is int and 1 <= value <= most else None


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint over the one at ``path``, if there is one, atomically.

    Raises:
        TrainError: torch cannot write it, as where the disk is full; the one before is still there.
        TypeError: it holds what no checkpoint can.
    """
    plain = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    digest = contents.digest(plain)
    with writing("the checkpoint", path) as part:
        torch.save({"format": FORMAT, **plain, "digest": digest}, part)


def load(path: Path, remedy: str = "give a whole checkpoint.pt of dsets train") -> Checkpoint:
    """Read a checkpoint; tensors arrive on the CPU. ``remedy`` is for who has given no such thing.

    Raises:
        TrainError: it is damaged, of another format, or not a checkpoint of ours.
    """
    try:
        size = _check_stored(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise TrainError(f"cannot read checkpoint: {error.strerror}", where=path) from error
    except Exception as error:  # whatever torch's unpickler meets in a file gone bad
        raise TrainError("damaged, or not a checkpoint", where=path, remedy=remedy) from error
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        got = held.get("format") if isinstance(held, dict) else type(held).__name__
        raise TrainError(
            "checkpoint of another format", where=path, expected=FORMAT, got=got, remedy=remedy
        )
    if strictly.swollen(held, max(_LEAST, _SHARED * size)):
        raise TrainError(
            "not a checkpoint: it says more than its file can hold",
            where=path,
            got=f"{size:,} bytes",
            remedy=remedy,
        )
    kinds = {field.name: str(field.type).split("[")[0] for field in fields(Checkpoint)}
    for name, kind in kinds.items():
        if type(held.get(name)).__name__ != kind:
            raise TrainError(
                f"checkpoint has a bad {name}",
                where=path,
                expected=kind,
                got=type(held.get(name)).__name__,
                remedy=remedy,
            )
    if name := strictly.fault(held):
        raise TrainError(f"checkpoint has a bad {name}", where=path, remedy=remedy)
    plain = {name: held[name] for name in kinds}
    if (found := contents.digest(plain)) != held.get("digest"):
        raise TrainError(
            "checkpoint is damaged: its contents are not those that were saved",
            where=path,
            expected=f"digest {held.get('digest')}",
            got=found,
            remedy=remedy,
        )
    return Checkpoint(**plain)


def _check_stored(path: Path) -> int:
    """The file's size. Raises ValueError where its members aren't stored as they are, each in bytes
    of its own, as torch.save does: packed ones may be a thousand times what is on the disk."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as members:
        kept = members.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in kept):
        raise ValueError("compressed")
    if sum(one.file_size for one in kept) > size:
        raise ValueError("larger than its file")
    return size


#: What a digest alone does not tell.
_NAMES = {"training": "the pack digest of training", "evaluation": "the pack digest of evaluation"}


def check(path: Path, checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint of another run.

    Raises:
        TrainError: model, recipe, seed or packs differ; the message says where they do.
    """
    theirs, ours = flat(checkpoint.identity), flat(identity)
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if theirs.get(name) != ours.get(name):
            raise TrainError(
                f"the checkpoint is of another run: {_NAMES.get(name, name)} differs",
                where=path,
                expected=ours.get(name),
                got=theirs.get(name),
                remedy="give the same options as before, or another --out",
            )


def flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as one, whose names have dots."""
    found: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, Mapping):
            found.update({f"{name}.{inner}": entry for inner, entry in flat(value).items()})
        else:
            found[name] = value
    return found
