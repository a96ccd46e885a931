"""Reading mapped files that shrink, or whose storage fails: an error, never the end of the process.

The system answers such a read with SIGBUS. While a file is guarded, a handler counts the fault and
puts a page of zeros in its place, so the read goes on; whoever has read asks ``faults`` before
using what was read. In C where the extension was built. Else Linux calls the same in Python through
ctypes: the fault comes from the very instruction that reads, in a thread that either has the
interpreter's lock or may wait for it. Elsewhere there is no guard.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from dsets import extension


class Guard(Protocol):
    def add(self, address: int, size: int) -> int:
        """Guard a map; the number by which the others know it."""

    def end(self, number: int) -> None:
        """The map is about to end."""

    def faults(self, number: int) -> int:
        """Faults in this map so far; in all maps, ever, for -1. Also takes the handler's place
        back from whoever came later."""


class _Compiled:
    def __init__(self, native: Any) -> None:
        self._native = native

    def add(self, address: int, size: int) -> int:
        number: int = self._native.guard_add(address, size)
        return number

    def end(self, number: int) -> None:
        self._native.guard_end(number)

    def faults(self, number: int) -> int:
        count: int = self._native.guard_faults(number)
        return count


class _None:
    def add(self, address: int, size: int) -> int:
        return 0

    def end(self, number: int) -> None: ...

    def faults(self, number: int) -> int:
        return 0


class _Action(ctypes.Structure):
    """``struct sigaction`` of Linux's C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint8 * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_SA_SIGINFO, _SA_ONSTACK, _SA_NODEFER, _MAP_FIXED = 4, 0x08000000, 0x40000000, 0x10
_ADDRESS = 16  #: of si_addr in siginfo_t
_CODE = 8


class Interpreted:
    """The guard without the extension."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._sigaction: Callable[..., int] = library.sigaction
        self._map = library.mmap
        self._map.restype = ctypes.c_void_p
        self._map.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            *[ctypes.c_int] * 3,
            ctypes.c_long,
        )
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._callback = kind(self._handle)
        self._address = ctypes.cast(self._callback, ctypes.c_void_p).value
        self._previous = _Action()
        self._ranges: dict[int, tuple[int, int]] = {}
        self._faults: dict[int, int] = {}
        self._next = 0
        self._install()

    def add(self, address: int, size: int) -> int:
        self._install()
        number = self._next
        self._next += 1
        self._faults[number] = 0
        self._ranges[number] = (address, address + -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        return number

    def end(self, number: int) -> None:
        self._ranges.pop(number, None)
        self._faults[-1] = self._faults.get(-1, 0) + self._faults.pop(number, 0)

    def faults(self, number: int) -> int:
        self._install()
        return sum(list(self._faults.values())) if number < 0 else self._faults.get(number, 0)

    def _install(self) -> None:
        found = _Action()
        self._sigaction(signal.SIGBUS, None, ctypes.byref(found))
        if found.handler == self._address:
            return
        self._previous = found
        ours = _Action(handler=self._address, flags=_SA_SIGINFO | _SA_ONSTACK | _SA_NODEFER)
        self._sigaction(signal.SIGBUS, ctypes.byref(ours), None)

    def _handle(self, number: int, info: int, context: int) -> None:
        address = ctypes.c_uint64.from_address(info + _ADDRESS).value
        fault = ctypes.c_int.from_address(info + _CODE).value > 0  # else somebody sent the signal
        for each, (start, end) in list(self._ranges.items()):
            if fault and start <= address < end:
                self._faults[each] += 1
                page = address - address % mmap.PAGESIZE
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
                if self._map(page, mmap.PAGESIZE, mmap.PROT_READ, flags, -1, 0) == page:
                    return
        self._sigaction(number, ctypes.byref(self._previous), None)  # the read meets that one
        if not fault:
            signal.raise_signal(number)


def _chosen() -> Guard:
    if extension.native is not None:
        return _Compiled(extension.native)
    return Interpreted() if sys.platform == "linux" else _None()


_guard: list[Any] = []


def guard() -> Guard:
    """The guard of this process."""
    if not _guard:
        _guard.append(_chosen())
    found: Guard = _guard[0]
    return found
