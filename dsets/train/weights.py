"""The digest of a model's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over a state dict, in its own order: of each entry name, dtype, shape, and bytes.

    Bytes are little-endian and row-major (C, H, W), wherever and however the tensor is laid out.
    """
    total = hashlib.sha256()
    for name, values in state.items():
        plain = values.detach().cpu().contiguous()
        head = f"{name}\0{str(plain.dtype).removeprefix('torch.')}\0{tuple(plain.shape)}\0"
        total.update(head.encode())
        # Of whatever dtype, NumPy's or not: the bytes as they are.
        total.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
