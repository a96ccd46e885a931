"""The pickle machine: plain data comes through, everything else is refused and nothing runs."""

from __future__ import annotations

import copyreg
import datetime
import hashlib
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dsets.errors import DataError
from dsets.readers._pickles import loads
from dsets.readers._plain import Array
from tests.readers.raw import python2

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(min_size=1, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
numbers = st.sampled_from(["u1", "i1", "<i2", ">i4", "<f4", ">f8", "?"])


@given(value=plain, protocol=st.integers(2, 5))
def test_plain_data_of_python_3_comes_back_as_it_was(value: Any, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    try:
        found = loads(pickled, "here")
    except DataError as error:
        # Python notes an equal object once; only the containers among those are refused.
        assert "repeats what it must not" in str(error)
        assert "GET" in {op.name.removeprefix("BIN") for op, _, _ in pickletools.genops(pickled)}
    else:
        assert found == value


@settings(deadline=None)
@given(
    array=numbers.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(max_dims=4, max_side=5))),
    protocol=st.integers(2, 5),
    fortran=st.booleans(),
)
def test_an_array_of_any_plain_type_comes_back_little_endian_and_read_only(
    array: np.ndarray[Any, Any], protocol: int, fortran: bool
) -> None:
    stored = np.asfortranarray(array) if fortran else array
    found = loads(pickle.dumps(stored, protocol), "here")
    assert isinstance(found, Array)
    made = found.numpy()
    assert made.dtype == array.dtype.newbyteorder("<") and made.shape == array.shape
    assert np.array_equal(made, array, equal_nan=array.dtype.kind == "f")
    assert not made.flags.writeable


def test_a_batch_of_python_2_is_read_like_pickle_reads_it() -> None:
    array = np.arange(600, dtype=np.uint8).reshape(30, 20)
    content = python2({b"labels": [0, 5, 70_000, -1], b"data": array, b"filenames": [b"a.png"] * 3})
    theirs = pickle.loads(content, encoding="bytes")
    ours = loads(content, "here")
    assert isinstance(ours, dict) and isinstance(ours["data"], Array)
    assert np.array_equal(ours["data"].numpy(), theirs[b"data"])
    assert ours["labels"] == theirs[b"labels"] and ours["filenames"] == theirs[b"filenames"]


def test_the_published_class_names_of_cifar_10_are_read() -> None:
    names = b"airplane automobile bird cat deer dog frog horse ship truck".split()
    content = python2({b"num_cases_per_batch": 10_000, b"label_names": names, b"num_vis": 3072})
    # The md5 that is published for batches.meta: these are the very bytes of the official member.
    assert hashlib.md5(content).hexdigest() == "5ff9c542aee3614f3951f8cda6e48888"
    found = loads(content, "here")
    assert found == {"num_cases_per_batch": 10_000, "label_names": names, "num_vis": 3072}


def test_an_array_of_old_numpy_names_is_read() -> None:
    content = pickle.dumps(np.arange(3, dtype="<i4"), 2).replace(b"numpy._core.", b"numpy.core.")
    found = loads(content, "here")
    assert isinstance(found, Array) and found.numpy().tolist() == [0, 1, 2]


def test_the_dtype_of_an_older_numpy_is_read() -> None:
    content = python2(np.arange(3, dtype=np.uint8))
    state = b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    assert state in content
    found = loads(content.replace(state, b"K\x02" + state[2:-3] + b"t"), "here")
    assert isinstance(found, Array) and found.numpy().tolist() == [0, 1, 2]


# What follows is hostile. A canary shows that nothing ran.

RAN: list[str] = []


def canary(*arguments: object) -> str:
    RAN.append("ran")
    return "ran"


class Calls:
    """Unpickling calls whatever ``what`` is."""

    def __init__(self, what: Any, *arguments: Any) -> None:
        self.parts = what, arguments

    def __reduce__(self) -> Any:
        return self.parts


class Plain:
    pass


def with_state() -> Plain:
    value = Plain()
    value.__dict__["x"] = 1
    return value


def array_pickle(change: bytes, to: bytes) -> bytes:
    content = python2(np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert change in content
    return content.replace(change, to)


MAKE_EMPTY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
DTYPE = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
HOSTILE = {
    "a call": pickle.dumps(Calls(canary)),
    "os.system": b"cos\nsystem\n(S'touch canary'\ntR.",
    "os.system, short string": b"\x80\x02cposix\nsystem\nU\x04true\x85R.",
    "eval": b"\x80\x02c__builtin__\neval\nU\x011\x85R.",
    "eval by name from the stack": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
    "a dotted name inside an allowed module": b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.__new\x93.",
    "another name of numpy": b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
    "numpy's own path to exec": b"\x80\x02cnumpy.testing._private.utils\nrunstring\nU\x01xN\x86R.",
    "an instance": pickle.dumps(with_state(), 2),
    "an instance by INST": b"(i__main__\nPlain\n.",
    "an instance by OBJ": b"(cnumpy\ndtype\nU\x02u1o.",
    "an instance by NEWOBJ": b"\x80\x02cnumpy\ndtype\nU\x02u1\x85\x81.",
    "an instance by NEWOBJ_EX": b"\x80\x04cnumpy\ndtype\n)}\x92.",
    "the extension registry": b"\x80\x02\x82\x01.",
    "a wide extension code": b"\x80\x02\x84\1\0\0\0.",
    "a persistent id": b"Pabc\n.",
    "a persistent id from the stack": b"U\x01aQ.",
    "a buffer out of band": b"\x80\x05\x97.",
    "a set": pickle.dumps({1, 2}, 4),
    "a date": pickle.dumps(datetime.date(2026, 1, 1)),
    "a fraction": pickle.dumps(Fraction(1, 2)),
    "an ordered dictionary": pickle.dumps(OrderedDict(a=1)),
    "numpy objects": pickle.dumps(np.array([Calls(canary)], object)),
    "numpy records": pickle.dumps(np.zeros(2, [("a", "u1")])),
    "numpy dates": pickle.dumps(np.zeros(2, "M8[s]")),
    "numpy text": pickle.dumps(np.array(["a"])),
    "a numpy scalar": pickle.dumps(np.int64(3)),
    "a masked array": pickle.dumps(np.ma.zeros(3)),
    "a global name as the result": b"\x80\x02cnumpy\ndtype\n.",
    "a global name in a list": b"\x80\x02](cnumpy\ndtype\ne.",
    "a global name as a value": b"\x80\x02}U\x01acnumpy\ndtype\ns.",
    "a tuple as the result": b"\x80\x02U\x01a\x85.",
    "a tuple in a list": b"\x80\x02]U\x01a\x85a.",
    "BUILD on a dictionary": b"\x80\x02}}U\x09__class__U\x01asb.",
    "BUILD on a global name": b"\x80\x02cnumpy\ndtype\n}U\x01aU\x01bsb.",
    "BUILD on a list": b"\x80\x02]N\x85b.",
    "BUILD of a dtype, twice": DTYPE
    + 2 * b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    + b".",
    "BUILD of a dtype with fields": DTYPE
    + b"(K\x03U\x01|NN}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb.",
    "BUILD of a dtype with a size": DTYPE
    + b"(K\x03U\x01|NNNJ\x07\x00\x00\x00J\xff\xff\xff\xffK\0tb.",
    "BUILD of an array from a dictionary": MAKE_EMPTY + b"}b.",
    "REDUCE of a string": b"\x80\x02U\x02os)R.",
    "REDUCE without a tuple": b"\x80\x02cnumpy\ndtype\n]R.",
    "encode by another codec": b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\3\0\0\0zip\x86R.",
    "encode beyond latin-1": b"\x80\x02c_codecs\nencode\nX\2\0\0\0\xc4\x80X\6\0\0\0latin1\x86R.",
    "an array of objects": array_pickle(b"U\x02u1", b"U\x02O8"),
    "an array of unknown dtype": array_pickle(b"U\x02u1", b"U\x02V1"),
    "an array of a comma string": array_pickle(b"U\x02u1", b"U\x05u1,u1"),
    "an array too large for its bytes": array_pickle(b"K\x02K\x03t", b"K\x02J\xff\xff\xff\x7ft"),
    "an array of negative size": array_pickle(
        b"K\x02K\x03t", b"J\xfe\xff\xff\xffJ\xfd\xff\xff\xfft"
    ),
    "an array with a size of True": array_pickle(b"K\x02K\x03t", b"K\x06\x88t"),
    "an array over a memory address": array_pickle(b"U\x06\0\1\2\3\4\5", b"K\x06"),
    "an array that was never built": MAKE_EMPTY + b".",
    "a list that holds itself": b"\x80\x02]q\0h\0a.",
    "a dictionary that holds itself": b"\x80\x02}q\0U\x01ah\0s.",
    "billion laughs": b"\x80\x02]q\0"
    + b"".join(
        b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(40)
    )
    + b".",
    "a tuple of tuples to hash": b"\x80\x02}" + b")" + b"q\0\x85h\0\x86" * 40 + b"Ns.",
    "DUP": b"\x80\x02U\x01a2\x86.",
    "deep nesting": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b"\x80\x02N" + b"\x85" * 100_000 + b".",
    "many marks": b"\x80\x02" + b"(" * 100_000 + b".",
    "ten million lists": b"\x80\x02(" + b"]" * 10_000_000 + b"t.",
    "endless constants": b"\x80\x02" + b"N" * 10_000_000 + b".",
    "a huge byte string": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "a huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"x.",
    "a huge string of Python 2": b"\x80\x02T\xff\xff\xff\x7fx.",
    "a negative length": b"\x80\x02T\xff\xff\xff\xffx.",
    "a huge number": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "a long number": b"\x80\x02\x8a\x09" + b"\x7f" * 9 + b".",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "a huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"(.",
    "a huge memo index, never put": b"\x80\x02j\xff\xff\xff\xff.",
    "one text converted over and over": b"\x80\x02](c_codecs\nencode\nq\0X"
    + struct.pack("<I", 100_000)
    + b"a" * 100_000
    + b"q\1X\6\0\0\0latin1q\2\x86R"
    + b"h\0h\1h\2\x86R" * 900
    + b"e.",
    "long keys over and over": b"\x80\x02}X" + struct.pack("<I", 1000) + b"a" * 1000 + b"Ns.",
    "a key given twice": b"\x80\x02}U\x01aNsX\1\0\0\0aNs.",
    "a key that is a number": b"\x80\x02}K\1Ns.",
    "a key without a value": b"\x80\x02}(U\x01au.",
    "APPENDS without a mark": b"\x80\x02]e.",
    "a pop below the mark": b"\x80\x02](a.",
    "bad UTF-8": b"\x80\x02X\1\0\0\0\xff.",
    "two values": b"\x80\x02NN.",
    "bytes after the end": b"\x80\x02N.x",
    "no end": b"\x80\x02N",
    "nothing": b"",
    "no value": b"\x80\x02.",
    "an unknown protocol": b"\x80\xffN.",
    "a name that never ends": b"c" + b"a" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_run_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object) -> None:
        raise AssertionError(f"reached {arguments}")

    for module, function in (("os", "system"), ("builtins", "eval"), ("builtins", "exec")):
        monkeypatch.setattr(sys.modules[module], function, forbidden)
    copyreg.add_extension(__name__, "canary", 1)
    try:
        with pytest.raises(DataError, match=r"^here: unsafe or damaged pickle: ") as caught:
            loads(HOSTILE[name], "here")
    finally:
        copyreg.remove_extension(__name__, "canary", 1)
    assert not RAN
    assert len(str(caught.value)) < 500


def test_names_are_never_imported() -> None:
    with pytest.raises(DataError, match=r"'antigravity\.geohash'"):
        loads(b"\x80\x02cantigravity\ngeohash\n.", "here")
    assert "antigravity" not in sys.modules


def test_a_memo_index_takes_no_memory_by_its_size() -> None:
    assert loads(b"\x80\x02U\1ar\xff\xff\xff\xff.", "here") == b"a"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_data_error(data: bytes) -> None:
    for content in (data, b"\x80\x04" + data + b"."):
        with suppress(DataError):
            loads(content, "here")


OPERATIONS = [op.code.encode("latin-1") for op in pickletools.opcodes]
PIECES = [MAKE_EMPTY, DTYPE, b"U\1a", b"X\2\0\0\0ab", b"K\3", b"q\0", b"h\0", b"J\xff\xff\xff\xff"]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(OPERATIONS + PIECES), max_size=40))
def test_any_sequence_of_operations_raises_nothing_but_data_error(pieces: list[bytes]) -> None:
    try:
        value = loads(b"\x80\x04" + b"".join(pieces) + b".", "here")
    except DataError:
        return
    assert isinstance(value, None | bool | int | float | bytes | str | list | dict | Array)


@settings(max_examples=500)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_batch_raises_nothing_but_data_error(at: int, flip: int, cut: bool) -> None:
    content = bytearray(python2({b"labels": [1, 2, 300], b"data": np.eye(3, dtype=np.uint8)}))
    at %= len(content)
    if cut:
        del content[at:]
    else:
        content[at] ^= flip
    try:
        value = loads(content, "here")
    except DataError:
        return
    assert not cut and isinstance(value, dict)
    for item in value.values():
        if isinstance(item, Array):
            assert item.numpy().nbytes == len(item.data)


def test_the_limits_leave_room_for_the_largest_published_batch() -> None:
    rows = 50_000  # CIFAR-100's training batch
    names = [b"a_picture_of_something_%06d.png" % row for row in range(rows)]
    batch = {b"filenames": names, b"fine_labels": [7] * rows, b"coarse_labels": [300] * rows}
    found = loads(python2(batch), "here")
    assert isinstance(found, dict) and found["filenames"] == names
