"""A model's weights: their digest, and taking them from somewhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def digest(state: Mapping[str, Tensor]) -> str:
    """sha256 over a state dict, in its own order: of each entry name, dtype, shape, and bytes.

    Bytes are little-endian and row-major (C, H, W), wherever and however the tensor is laid out.
    """
    total = hashlib.sha256()
    for name, values in state.items():
        total.update(f"{name}\0".encode())
        for part in parts(values):
            total.update(part)
    return total.hexdigest()


def parts(values: Tensor) -> Iterator[Any]:
    """What is hashed of a dense tensor: dtype and shape, then its bytes in row-major order."""
    plain = values.detach().cpu().contiguous()
    yield f"{_dtype(plain)}\0{tuple(plain.shape)}\0".encode()
    # Of whatever dtype, NumPy's or not: the bytes as they are.
    yield plain.reshape(-1).view(torch.uint8).numpy()


def load(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give the model these weights; they are copied.

    Raises:
        ValueError: their names, shapes or dtypes are not the model's. torch's own loading would
            take a complex number's real part.
    """
    own = model.state_dict()
    for name in [*own, *(name for name in state if name not in own)]:
        ours, theirs = (_kind(entries.get(name)) for entries in (own, state))
        if ours != theirs:
            raise ValueError(f"its {name} is {theirs}, and the model's {ours}")
    model.load_state_dict(state)


def _kind(values: Tensor | None) -> str:
    return "absent" if values is None else f"{_dtype(values)} {tuple(values.shape)}"


def _dtype(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
