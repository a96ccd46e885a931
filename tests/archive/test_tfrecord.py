"""Records in order and by offset; whatever is wrong is said with file, offset, expected, got."""

from __future__ import annotations

import gzip
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.archive import tfrecord
from dsets.errors import DataError
from tests.archive.records import framed, masked, written

SHARED = Path(__file__).parents[3] / "shared" / "data"
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
}


def read(path: Path) -> list[bytes]:
    return list(tfrecord.records(path))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "BLOCK_BYTES", 64)


@pytest.mark.parametrize("compression", PACKED)
@given(records=st.lists(st.binary(max_size=200), max_size=12), block=st.integers(1, 400))
def test_records_come_back_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory,
    compression: str,
    records: Sequence[bytes],
    block: int,
) -> None:
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    path.write_bytes(PACKED[compression](b"".join(map(framed, records))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "BLOCK_BYTES", block)
        assert read(path) == list(records)
        with tfrecord.Records(path) as opened:
            assert opened.compression == compression
            index = opened.index()
            assert index.end is None and index.lengths.tolist() == list(map(len, records))
            back = slice(None, None, -1)
            places = index.offsets[back].tolist(), index.lengths[back].tolist()
            found = [
                one.data[one.bounds[2 * i] : one.bounds[2 * i + 1]]
                for one in opened.read(*places)
                for i in range(len(one))
            ]
            assert found == list(records)[::-1]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert read(path) == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("cut", [1, 11, 12, 13, 30, 43])
@pytest.mark.parametrize("compression", PACKED)
def test_truncation_is_refused_after_what_is_whole(
    tmp_path: Path, cut: int, compression: str
) -> None:
    path = tmp_path / "cut"
    path.write_bytes(PACKED[compression](framed(b"whole") + framed(b"x" * 28)[:cut]))
    found = []
    with pytest.raises(DataError) as caught:
        found.extend(tfrecord.records(path))
    assert caught.value.where == f"{path}, offset 21"
    assert caught.value.what.startswith("cut short") and caught.value.got is not None
    opened = tfrecord.records(path)
    assert next(opened) == b"whole"


def test_a_truncated_stream_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    data = b"".join(framed(bytes([n]) * 999) for n in range(50))
    path.write_bytes(gzip.compress(data)[:-9])
    opened = tfrecord.records(path)
    with pytest.raises(DataError, match=r"cut short|damaged"):
        list(opened)


def test_a_flipped_bit_in_the_data_is_found(tmp_path: Path) -> None:
    data = bytearray(b"".join(map(framed, [b"a" * 9, b"b" * 9, b"c" * 9])))
    data[25 + 12 + 3] ^= 4
    path = tmp_path / "flipped"
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged record; expected masked CRC-32C 0x") as caught:
        read(path)
    assert caught.value.where == f"{path}, offset 37"
    with tfrecord.Records(path) as opened:  # the others can be had
        (block,) = opened.blocks()
        assert len(block) == 3 and list(block.problems) == [1] and block.end is None


@pytest.mark.parametrize("length", [0, 5, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_length_without_its_checksum_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "lying"
    path.write_bytes(framed(b"first") + struct.pack("<QI", length, 7) + b"data" * 9)
    opened = tfrecord.records(path)
    assert next(opened) == b"first"
    with pytest.raises(DataError, match=r"length is damaged; expected .* got 0x00000007") as caught:
        next(opened)
    assert caught.value.where == f"{path}, offset 21"


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("length", [100, 2**31 - 1, 2**40, 2**64 - 1])
def test_a_lying_length_takes_no_memory(tmp_path: Path, length: int, compression: str) -> None:
    head = struct.pack("<Q", length)
    path = tmp_path / "lying"
    path.write_bytes(
        PACKED[compression](framed(b"one") + head + struct.pack("<I", masked(head)) + b"x" * 50)
    )
    code = (
        "import sys, resource; from pathlib import Path; from dsets.archive import tfrecord\n"
        "import numpy, dsets.pack; from dsets.errors import DataError\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + (200 << 20),) * 2)\n"
        "try: list(tfrecord.records(Path(sys.argv[1])))\n"
        "except DataError as error: print(error)"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "cut short in a record" in run.stdout or "record too long" in run.stdout, run.stderr
    assert resource.getpagesize()


def test_memory_stays_bounded_over_a_big_file(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        record = framed(bytes(1 << 20))
        for _ in range(400):
            file.write(record)
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    code = (
        "import sys, resource; from pathlib import Path; from dsets.archive import tfrecord\n"
        "import numpy, dsets.pack\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + (48 << 20),) * 2)\n"
        "print(sum(map(len, tfrecord.records(Path(sys.argv[1])))))"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert run.stdout.strip() == str(400 << 20), run.stderr


def test_a_record_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [b"x" * 100])
    with pytest.raises(DataError, match="record too long; expected at most 99 bytes, got 100"):
        list(tfrecord.records(path, limit=99))


def test_a_record_larger_than_a_block(tmp_path: Path, small_blocks: None) -> None:
    records = [b"a", b"b" * 1000, b"", b"c" * 64, b"d"]
    assert read(written(tmp_path / "a", records)) == records


def test_another_file_at_the_place_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [b"abc", b"defg"])
    with tfrecord.Records(path) as opened, pytest.raises(DataError, match="another than it was"):
        list(opened.read([12], [5]))
    with tfrecord.Records(path) as opened, pytest.raises(DataError, match="another than it was"):
        list(opened.read([5000], [5]))


def test_what_is_no_tfrecord_file(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"<html>not found</html>" * 9)
    with pytest.raises(DataError, match="no record begins here"):
        read(path)


@pytest.mark.parametrize("name", ["example", "sequence_example"])
def test_files_that_tensorflow_wrote(name: str) -> None:
    path = SHARED / "tfrecord" / f"{name}.tfrecord"
    if not path.is_file():
        pytest.skip("no shared data here")
    assert len(read(path)) == 4
    with tfrecord.Records(path) as opened:
        index = opened.index()
    assert int(index.lengths.sum()) + 16 * len(index) == path.stat().st_size
    assert np.all(np.diff(index.offsets) > 0)
