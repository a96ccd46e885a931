"""The last links: the run, and the weights it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from dsets.provenance import packed
from dsets.provenance.link import Check, Link, compared, table, text
from dsets.train import checkpoint, code, log, weights
from dsets.train.checkpoint import Checkpoint

RESULT = "result.json"
LOG = "log.jsonl"
#: More than any result holds.
_LARGEST = 64 * 2**20


def links(path: Path, packs: Path | None = None) -> list[Link]:
    """The chain of the checkpoint at ``path``: training pack, evaluation pack, run, weights.

    The packs are looked for in ``packs``, by split, or where they lay.

    Raises:
        TrainError: it is no checkpoint of ours.
    """
    kept = checkpoint.load(path)
    chain = []
    for role in ("training", "evaluation"):
        told = table(kept.packs.get(role))
        if told.get("digest") != kept.identity.get(role):
            told = {"digest": kept.identity.get(role), "split": role}
        found = packs / text(told.get("split")) if packs is not None else None
        chain += packed.links(told, found)
    return [*chain, _run(kept), _weights(path, kept)]


def _run(kept: Checkpoint) -> Link:
    identity, last = kept.identity, kept.environment
    facts = {
        **{name: identity.get(name) for name in ("recipe", "seed", "precision")},
        "step": kept.step,
        "processes": list(dict.fromkeys(one.get("ranks") for one in kept.environments)),
        "environments": kept.environments,
        "evaluations": kept.history[-1:],
    }
    checks = (
        compared("code of the run", text(last.get("code")), code.digest()),
        compared("torch", text(last.get("torch")), str(torch.__version__)),
    )
    return Link("run", text(identity.get("model")), facts, checks)


def _weights(path: Path, kept: Checkpoint) -> Link:
    digest = weights.digest(kept.model)
    facts: dict[str, Any] = {
        "sha256": digest,
        "values": sum(values.numel() for values in kept.model.values()),
        "path": str(path),
    }
    checks = (_log(path.with_name(LOG), kept), _result(path.with_name(RESULT), digest))
    return Link("weights", path.name, facts, checks)


def _log(path: Path, kept: Checkpoint) -> Check:
    """Whether the loss curve beside the weights is the one that led to them."""
    what = f"{LOG} of the run"
    try:
        found = log.digest(path, kept.log_bytes).hexdigest()
    except FileNotFoundError:
        return Check(what, "absent", "the checkpoint was copied without it")
    except OSError as error:
        return Check(what, "broken", f"{path} cannot be read: {error.strerror}")
    return compared(what, kept.log_sha256, found, "broken")


def _result(path: Path, digest: str) -> Check:
    """Whether the result of a finished run tells of these weights."""
    what = f"{RESULT} of the run"
    try:
        with path.open("rb") as file:
            told = text(table(json.loads(file.read(_LARGEST))).get("weights"))
    except FileNotFoundError:
        return Check(what, "absent", "the run is not finished, or was copied without it")
    except (OSError, ValueError, RecursionError) as error:
        return Check(what, "broken", f"{path} cannot be read: {error}")
    return compared(what, digest, told, "broken")
