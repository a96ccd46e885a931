"""Where batches are delivered: NumPy arrays, or torch tensors on a device.

On the CPU a tensor shares the lent buffer. For CUDA (not yet tested on a GPU) buffers are pinned,
the worker thread starts the copy on a side stream, and behind it what else is to be done there; the
consumer's stream waits for its event, and the host buffer is held until the copy is done. Nothing
waits on the host. torch is imported only when a device is asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dsets.errors import MissingLibraryError, UsageError
from dsets.numbers import written
from dsets.stream.batch import Batch
from dsets.stream.buffers import Memory, page_aligned
from dsets.stream.ragged import Ragged

if TYPE_CHECKING:
    import torch


#: What is done with a placed batch, on the device.
Finish = Callable[[Batch], Batch]


class Device(Protocol):
    @property
    def augments(self) -> Any:
        """The torch device that changes pixels itself; None where the host does."""

    def allocate(self, size: int) -> Memory:
        """Host memory from which this device takes batches."""

    def place(self, batch: Batch, finish: Finish | None = None) -> tuple[Batch, Any]:
        """In a worker thread: start the copy, then ``finish``; the placed batch, and what to wait
        for."""

    def receive(self, batch: Batch, event: Any) -> Batch:
        """In the consumer's thread: the batch, ready for work issued from now on."""


class Host:
    """NumPy arrays."""

    augments: Any = None

    def allocate(self, size: int) -> Memory:
        return page_aligned(size)

    def place(self, batch: Batch, finish: Finish | None = None) -> tuple[Batch, Any]:
        return batch, None

    def receive(self, batch: Batch, event: Any) -> Batch:
        return batch


class TorchHost(Host):
    """torch tensors on the CPU, without a copy."""

    def place(self, batch: Batch, finish: Finish | None = None) -> tuple[Batch, Any]:
        import torch

        return batch.replace({n: _tensor(torch, values) for n, values in batch.items()}), None


class Accelerator:
    """torch tensors on a device with streams of its own, copied ahead of the consumer.

    The CPU counts as one without parallel streams, for the tests: every line but the pinning runs.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self._torch = torch
        self._streams = torch.get_device_module(device)
        self.augments: Any = device
        self._pinned = device.type == "cuda"
        self._side = self._streams.Stream(device) if self._pinned else self._streams.Stream()
        self._lock = threading.Lock()
        self._copying: deque[tuple[Any, Batch]] = deque()

    def allocate(self, size: int) -> Memory:
        memory: Memory = self._torch.empty(
            size, dtype=self._torch.uint8, pin_memory=self._pinned
        ).numpy()
        return memory

    def place(self, batch: Batch, finish: Finish | None = None) -> tuple[Batch, Any]:
        torch = self._torch
        with self._streams.stream(self._side):
            placed = batch.replace(
                {name: self._moved(_tensor(torch, values)) for name, values in batch.items()}
            )
            if finish is not None:
                placed = finish(placed)
            event = self._side.record_event()
        if event is not None:  # the CPU has none: there everything is done by now
            with self._lock:
                self._copying.append((event, batch))
                while self._copying and self._copying[0][0].query():
                    self._copying.popleft()
        return placed, event

    def receive(self, batch: Batch, event: Any) -> Batch:
        if event is None:
            return batch
        current = self._streams.current_stream(self.augments)
        current.wait_event(event)
        for values in batch.values():
            values = values.values if isinstance(values, Ragged) else values
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, self._torch.Tensor):
                    value.record_stream(current)
        return batch

    def _moved(self, values: Any) -> Any:
        if isinstance(values, Ragged):
            return Ragged(self._moved(values.values), values.offsets)
        if isinstance(values, list):
            return [self._moved(value) for value in values]
        if isinstance(values, self._torch.Tensor):
            return values.to(self.augments, non_blocking=True)
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
            "tensors need torch", got=f"device={written(name)}", remedy="pip install 'dsets[torch]'"
        ) from error
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            "bad device", expected="'cpu', 'cuda', 'cuda:1' …", got=written(name)
        ) from error
    if device.type == "cpu":
        return TorchHost()
    if device.type == "cuda" and torch.cuda.is_available():
        return Accelerator(device)
    raise UsageError(
        "no such device here",
        expected="None, 'cpu'" + (", 'cuda'" if torch.cuda.is_available() else ""),
        got=written(str(name)),
    )


def _tensor(torch: Any, values: Any) -> Any:
    """Tensors for arrays, alone or in a list; anything else, as a function made it, unchanged, and
    so are arrays of a type that torch does not have, such as text."""
    if isinstance(values, Ragged):
        return Ragged(_tensor(torch, values.values), values.offsets)
    if isinstance(values, list):
        return [_tensor(torch, value) for value in values]
    if not isinstance(values, np.ndarray):
        return values
    size = max(1, values.dtype.itemsize)
    odd = any(stride < 0 or stride % size for stride in values.strides)
    if odd or not values.flags.writeable or not values.dtype.isnative:  # torch has none of these
        values = values.astype(values.dtype.newbyteorder("="))
    try:
        return torch.from_numpy(values)
    except TypeError:
        return values
