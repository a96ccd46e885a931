"""Pickles from strangers, read as plain data: nothing they name is ever looked up or called.

This is no ``pickle.Unpickler`` but a machine of its own, with the operations that a dictionary of
numbers, strings, lists and NumPy arrays needs, for protocols 2 to 5 as Python 2 and 3 write them:

1. An operation that is not in this file is refused: no instances (INST, OBJ, NEWOBJ), no extension
   registry (EXT1), no persistent ids, no DUP, no sets, no buffers out of band.
2. A global name is an inert marker, one of ``GLOBALS``. REDUCE and BUILD turn markers and plain
   data into ``Array``; nothing else can be done with them, and there is no import, attribute or
   call behind them. Markers and tuples never enter a list, a dictionary or the result.
3. Memory is bounded by the pickle's own size: a length is checked against the bytes that are left
   before anything is taken, what is converted is counted, operations and containers are limited.
4. The memo gives back only what contains nothing, so no value holds itself or repeats another.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Literal, cast

from dsets.errors import DataError
from dsets.readers._plain import (
    DTYPES,
    GLOBALS,
    MARKERS,
    PLAIN,
    REPEATABLE,
    Array,
    DType,
    Global,
    Plain,
    Unbuilt,
)
from dsets.readers._rows import MISLABELLED

OPERATIONS = 1_000_000  # the training batch of CIFAR-100 takes about 200,000
CONTAINERS = 1_000  # lists, dictionaries, tuples, marks; CIFAR-100 takes about 200
DEPTH = 32  # marks open at a time
KEY_BYTES = 256
HIGHEST_PROTOCOL = 5


def _simple(state: list[Any]) -> bool:
    """True when the rest of a dtype's state names no fields, sizes or flags.

    NumPy wrote 4 to 6 values there over the years: None, and -1 or 0 for its own of the type.
    """
    return len(state) <= 6 and all(value is None or value in (-1, 0) for value in state)


def loads(data: bytes | bytearray, where: object) -> Plain:
    """The one value of the pickle ``data``, which lies at ``where``.

    Strings of Python 2 and bytes come as bytes, text as str. The keys of dictionaries are str.

    Raises:
        DataError: the pickle is damaged, or does anything that plain data need not.
    """
    return _Machine(data, where).run()


class _Machine:
    def __init__(self, data: bytes | bytearray, where: object) -> None:
        self._data = data
        self._where = where
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._containers = 0
        self._converted = 0

    def run(self) -> Plain:
        for _ in range(OPERATIONS):
            code = self._take(1)
            if code == b".":
                return self._result()
            if (number := _NUMBERS.get(code)) is not None:
                self._stack.append(self._number(number))
            elif (length := _BYTES.get(code)) is not None:
                self._stack.append(self._take(self._number(length)))
            elif (length := _TEXTS.get(code)) is not None:
                self._stack.append(self._text(self._take(self._number(length))))
            elif (action := _ACTIONS.get(code)) is not None:
                action(self)
            else:
                raise self._refusal("refused operation", got=f"{code!r}, which plain data lacks")
        raise self._refusal("too long", expected=f"at most {OPERATIONS:,} operations")

    def _result(self) -> Plain:
        value = self._pop(PLAIN)
        if self._stack or self._marks:
            raise self._refusal("more than one value")
        if self._at != len(self._data):
            raise self._refusal("bytes after the end", got=f"{len(self._data) - self._at:,} bytes")
        return cast(Plain, value)

    # Reading the pickle.

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            left = len(self._data) - self._at
            raise self._refusal("cut short", expected=f"{size:,} more bytes", got=f"{left:,}")
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _long(self) -> None:
        size = self._number("<B")
        if size > 8:
            raise self._refusal("number too long", expected="at most 8 bytes", got=f"{size}")
        self._stack.append(int.from_bytes(self._take(size), "little", signed=True))

    def _text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._refusal("text that is not UTF-8") from error

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + KEY_BYTES)
        if end < 0:
            raise self._refusal("name too long or cut short")
        return self._text(self._take(end + 1 - self._at)[:-1])

    def _protocol(self) -> None:
        version = self._number("<B")
        if version > HIGHEST_PROTOCOL:
            raise self._refusal(
                "unknown protocol", expected=f"at most {HIGHEST_PROTOCOL}", got=version
            )

    def _frame(self) -> None:
        self._number("<Q")  # frames help who reads from a pipe; the whole pickle is here

    # The stack and the memo.

    def _pop(self, kinds: tuple[type, ...]) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._refusal("a value is missing")
        value = self._stack.pop()
        if type(value) not in kinds:
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise self._refusal("wrong value", expected=expected, got=type(value).__name__)
        return value

    def _top(self, kind: type) -> Any:
        value = self._pop((kind,))
        self._stack.append(value)
        return value

    def _mark(self) -> None:
        self._count()
        if len(self._marks) == DEPTH:
            raise self._refusal("too deep", expected=f"at most {DEPTH} marks")
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise self._refusal("a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _put(self, index: int) -> None:
        if not self._stack:
            raise self._refusal("a value is missing")
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        value = self._memo.get(index, self)
        if type(value) not in REPEATABLE:
            raise self._refusal("repeats what it must not", got=f"memo entry {index}")
        self._stack.append(value)

    # Containers.

    def _count(self) -> None:
        self._containers += 1
        if self._containers > CONTAINERS:
            raise self._refusal("too nested", expected=f"at most {CONTAINERS:,} containers")

    def _new(self, container: Any) -> None:
        self._count()
        self._stack.append(container)

    def _tuple(self, size: int) -> None:
        values = [self._pop((*PLAIN, *MARKERS, tuple)) for _ in range(size)]
        self._new(tuple(reversed(values)))

    def _append(self, values: list[Any]) -> None:
        for value in values:
            if type(value) not in PLAIN:
                raise self._refusal("list of other than plain data", got=type(value).__name__)
        self._top(list).extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise self._refusal("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (bytes, str) or len(key) > KEY_BYTES:
                raise self._refusal("bad key", expected=f"a name of at most {KEY_BYTES} bytes")
            name = key if isinstance(key, str) else key.decode("latin-1")
            if name in target:
                raise self._refusal("key given twice", got=repr(name))
            if type(value) not in PLAIN:
                raise self._refusal(f"{name!r} is not plain data", got=type(value).__name__)
            target[name] = value

    # Globals, and what may be made with them.

    def _global(self, module: str, name: str) -> None:
        known = GLOBALS.get((module, name))
        if known is None:
            raise self._refusal(
                "refused global name",
                expected="NumPy's own for an array of numbers",
                got=repr(f"{module}.{name}"),
            )
        self._stack.append(Global(known))

    def _global_from_stack(self) -> None:
        name = self._pop((str,))
        self._global(self._pop((str,)), name)

    def _reduce(self) -> None:
        self._count()
        arguments = self._pop((tuple,))
        match self._pop((Global,)).name, arguments:
            case "dtype", (str() | bytes() as kind, bool() | int(), bool() | int()):
                self._stack.append(DType(self._dtype(kind)))
            case "reconstruct", (Global("ndarray"), (0,), bytes() | str()):
                self._stack.append(Unbuilt())
            case "frombuffer", (
                bytes() as data,
                DType() as dtype,
                tuple() as shape,
                str() as order,
            ):
                self._stack.append(self._array(data, dtype, shape, order))
            case "encode", (str() as text, "latin1" | "latin-1"):
                self._stack.append(self._encoded(text))
            case name, _:
                raise self._refusal(f"{name} with other arguments than NumPy's")

    def _build(self) -> None:
        state = self._pop((tuple,))
        target = self._pop((DType, Unbuilt))
        match target, state:
            case DType(order=None), (int(), str() | bytes() as order, *rest) if _simple(rest):
                target.order = order if isinstance(order, str) else order.decode("latin-1")
                if target.order not in ("<", ">", "=", "|"):
                    raise self._refusal("bad byte order", got=repr(target.order))
                self._stack.append(target)
            case Unbuilt(), (
                int(),
                tuple() as shape,
                DType() as dtype,
                bool() | int() as fortran,
                data,
            ):
                content = self._encoded(data) if type(data) is str else data
                self._stack.append(self._array(content, dtype, shape, "F" if fortran else "C"))
            case _:
                raise self._refusal(f"{type(target).__name__} with a strange state")

    def _dtype(self, kind: str | bytes) -> str:
        name = kind if isinstance(kind, str) else kind.decode("latin-1")
        if name not in DTYPES:
            raise self._refusal("refused dtype", expected="plain numbers", got=repr(name[:32]))
        return name

    def _encoded(self, text: str) -> bytes:
        self._converted += len(text)
        if self._converted > len(self._data):
            raise self._refusal("the same text converted again and again")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError as error:
            raise self._refusal("bytes written as text beyond U+00FF") from error

    def _array(self, data: object, dtype: DType, shape: tuple[Any, ...], order: str) -> Array:
        if type(data) is not bytes:
            raise self._refusal("array of other than bytes", got=type(data).__name__)
        if dtype.order is None or order not in ("C", "F"):
            raise self._refusal("array of unknown byte order")
        sizes = [size for size in shape if type(size) is int and 0 <= size < 2**31]
        needed = math.prod(sizes) * DTYPES[dtype.kind]
        if len(sizes) != len(shape) or len(shape) > DEPTH or needed != len(data):
            raise self._refusal(
                "array and bytes differ",
                expected=f"{dtype.kind} {shape!r}"[:80],
                got=f"{len(data):,} bytes",
            )
        name = f"{dtype.order}{dtype.kind}"
        return Array(name, tuple(sizes), cast(Literal["C", "F"], order), data)

    def _refusal(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return DataError(
            f"unsafe or damaged pickle: {what} before byte {self._at:,}",
            where=self._where,
            expected=expected,
            got=got,
            remedy=MISLABELLED,
        )


_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_BYTES = {b"U": "<B", b"T": "<i", b"C": "<B", b"B": "<I", b"\x8e": "<Q", b"\x96": "<Q"}
_TEXTS = {b"\x8c": "<B", b"X": "<I", b"\x8d": "<Q"}
_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine._protocol,
    b"\x95": _Machine._frame,
    b"N": lambda m: m._stack.append(None),
    b"\x88": lambda m: m._stack.append(True),
    b"\x89": lambda m: m._stack.append(False),
    b"\x8a": _Machine._long,
    b"(": _Machine._mark,
    b"]": lambda m: m._new([]),
    b"}": lambda m: m._new({}),
    b")": lambda m: m._new(()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"t": lambda m: m._new(tuple(m._since_mark())),
    b"a": lambda m: m._append([m._pop(PLAIN)]),
    b"e": lambda m: m._append(m._since_mark()),
    b"s": lambda m: m._set_items([m._pop(PLAIN), m._pop(PLAIN)][::-1]),
    b"u": lambda m: m._set_items(m._since_mark()),
    b"q": lambda m: m._put(m._number("<B")),
    b"r": lambda m: m._put(m._number("<I")),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"h": lambda m: m._get(m._number("<B")),
    b"j": lambda m: m._get(m._number("<I")),
    b"c": lambda m: m._global(m._line(), m._line()),
    b"\x93": _Machine._global_from_stack,
    b"R": _Machine._reduce,
    b"b": _Machine._build,
}
