"""Where batches are delivered: NumPy arrays, or torch tensors on a device.

On the CPU a tensor shares the lent buffer. For CUDA (not yet tested on a GPU) buffers are pinned,
the worker thread starts the copy on a side stream, the consumer's stream waits for its event, and
the host buffer is held until the copy is done. torch is imported only when a device is asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dsets.errors import MissingLibraryError, UsageError
from dsets.stream.batch import Batch
from dsets.stream.buffers import Memory, page_aligned

if TYPE_CHECKING:
    import torch


class Device(Protocol):
    def allocate(self, size: int) -> Memory:
        """Host memory from which this device takes batches."""

    def place(self, batch: Batch) -> tuple[Batch, Any]:
        """In a worker thread: start the copy; the placed batch, and what to wait for."""

    def receive(self, batch: Batch, event: Any) -> Batch:
        """In the consumer's thread: the batch, ready for work issued from now on."""


class Host:
    """NumPy arrays."""

    def allocate(self, size: int) -> Memory:
        return page_aligned(size)

    def place(self, batch: Batch) -> tuple[Batch, Any]:
        return batch, None

    def receive(self, batch: Batch, event: Any) -> Batch:
        return batch


class TorchHost(Host):
    """torch tensors on the CPU, without a copy."""

    def place(self, batch: Batch) -> tuple[Batch, Any]:
        import torch

        return batch.replace({n: _tensor(torch, values) for n, values in batch.items()}), None


class Cuda:
    """torch tensors on a GPU, copied ahead of the consumer."""

    def __init__(self, device: torch.device) -> None:
        import torch

        self._torch = torch
        self._device = device
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self._copying: deque[tuple[Any, Batch]] = deque()

    def allocate(self, size: int) -> Memory:
        memory: Memory = self._torch.empty(size, dtype=self._torch.uint8, pin_memory=True).numpy()
        return memory

    def place(self, batch: Batch) -> tuple[Batch, Any]:
        torch = self._torch
        with torch.cuda.stream(self._side):
            placed = batch.replace(
                {name: self._moved(_tensor(torch, values)) for name, values in batch.items()}
            )
            event = self._side.record_event()
        with self._lock:
            self._copying.append((event, batch))
            while self._copying and self._copying[0][0].query():
                self._copying.popleft()
        return placed, event

    def receive(self, batch: Batch, event: Any) -> Batch:
        current = self._torch.cuda.current_stream(self._device)
        current.wait_event(event)
        for values in batch.values():
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, self._torch.Tensor):
                    value.record_stream(current)
        return batch

    def _moved(self, values: Any) -> Any:
        if isinstance(values, list):
            return [self._moved(value) for value in values]
        if isinstance(values, self._torch.Tensor):
            return values.to(self._device, non_blocking=True)
        return values


def of(name: str | None) -> Device:
    """The device called ``name``: None for NumPy, or as torch names it.

    Raises:
        MissingLibraryError: torch is not installed.
        UsageError: torch knows no such device, or dsets does not deliver there.
    """
    if name is None:
        return Host()
    try:
        import torch
    except ImportError as error:
        raise MissingLibraryError(
            "tensors need torch", got=f"device={name!r}", remedy="pip install 'dsets[torch]'"
        ) from error
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "bad device", expected="'cpu', 'cuda', 'cuda:1' …", got=repr(name)
        ) from error
    if device.type == "cpu":
        return TorchHost()
    if device.type == "cuda" and torch.cuda.is_available():
        return Cuda(device)
    raise UsageError(
        "no such device here",
        expected="None, 'cpu'" + (", 'cuda'" if torch.cuda.is_available() else ""),
        got=repr(str(name)),
    )


def _tensor(torch: Any, values: Any) -> Any:
    """Tensors for arrays, alone or in a list; anything else, as a function made it, unchanged."""
    if isinstance(values, list):
        return [_tensor(torch, value) for value in values]
    if not isinstance(values, np.ndarray):
        return values
    if any(stride < 0 for stride in values.strides) or not values.flags.writeable:
        values = values.copy()  # torch has neither
    return torch.from_numpy(values)
