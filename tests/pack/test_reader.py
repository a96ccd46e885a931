from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import dsets
from dsets import extension
from dsets.errors import PackError, UsageError
from dsets.pack import Pack


def same(found, expected) -> bool:
    return (
        found.dtype == expected.dtype
        and found.shape == expected.shape
        and np.array_equal(found, expected)
    )


def test_a_pack_is_a_sequence_of_the_samples_that_went_in(opened, made):
    assert len(opened) == 10
    for number, sample in enumerate(opened):
        assert set(sample) == {field.name for field in opened.fields} | {"key"}
        for field in opened.fields:
            assert same(sample[field.name], made(field, number)), (field, number)
    assert opened[3]["key"] == "train/00003"
    assert opened[4]["key"] == "träin/00004"


def test_it_is_exported_at_the_top():
    assert dsets.Pack is Pack


def test_negative_numbers_count_from_the_end(opened):
    assert opened[-1]["key"] == opened[9]["key"]
    assert opened[-10]["key"] == opened[0]["key"]


@pytest.mark.parametrize("number", [10, -11, 10**30, -(10**30)])
def test_a_number_beyond_the_end_is_an_index_error(opened, number):
    with pytest.raises(IndexError, match="of a pack of 10"):
        opened[number]


@pytest.mark.parametrize("number", [1.0, "1", None])
def test_what_is_no_number_is_a_type_error(opened, number):
    with pytest.raises(TypeError):
        opened[number]


@pytest.mark.parametrize(
    "cut",
    [
        slice(None),
        slice(2, 9),
        slice(9, 0, -3),
        slice(None, None, -1),
        slice(-3, None),
        slice(1, 100, 4),
        slice(5, 5),
    ],
)
def test_a_slice_stacks_samples_in_its_own_order(opened, made, cut):
    numbers = range(10)[cut]
    found = opened[cut]
    assert found["key"] == opened.keys(numbers)
    for field in opened.fields:
        expected = [made(field, number) for number in numbers]
        assert len(found[field.name]) == len(numbers)
        if field.fixed:
            assert found[field.name].shape == (len(numbers), *field.shape)
        assert all(map(same, found[field.name], expected))


def test_images_come_height_width_channels_and_are_yours_to_change(opened, made):
    for image in (opened[0]["image"], opened[0:2]["image"][0]):
        assert image.shape == (4, 5, 3)
        assert image.flags.c_contiguous
        image[:] = 0
    assert same(opened[0]["image"], made(opened.fields[0], 0))


def test_arrays_are_read_only_maps_in_the_stored_layout(opened, made):
    arrays = opened.arrays("image")
    assert [array.shape for array in arrays] == [(4, 3, 4, 5), (4, 3, 4, 5), (2, 3, 4, 5)]
    assert np.array_equal(arrays[2][1].transpose(1, 2, 0), made(opened.fields[0], 9))
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    assert opened.arrays("key_hash")[0].dtype == np.uint64


def test_arrays_of_an_unknown_name_list_the_known_ones(opened):
    with pytest.raises(UsageError, match=r"one of .*image.*got 'picture'"):
        opened.arrays("picture")


def test_arrays_outlive_their_pack(folder):
    array = Pack.open(folder).arrays("label")[0]
    assert array.tolist() == [opened["label"] for opened in Pack.open(folder)][:4]


def test_starts_count_the_samples_before_each_shard(opened):
    assert opened.starts.dtype == np.int64
    assert opened.starts.tolist() == [0, 4, 8, 10]


def test_a_pack_travels_by_pickle_as_its_path(opened):
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.digest == opened.digest
    assert len(pickle.dumps(opened)) < 1000


def test_a_pickle_does_not_open_another_pack_in_the_same_place(opened, make, tmp_path):
    frozen = pickle.dumps(opened)
    make(opened.path, 9)
    with pytest.raises(PackError, match="the pack has changed"):
        pickle.loads(frozen)


def test_a_child_after_fork_reads_what_its_parent_mapped(opened):
    before = opened[9]["image"]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, opened[9]["image"].tobytes() + opened[0]["image"].tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == before.tobytes() + opened[0]["image"].tobytes()


def test_many_threads_may_touch_a_pack_first(folder, made):
    pack = Pack.open(folder)
    found = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: pack[n]["image"]})) for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(found[n], made(pack.fields[0], n)) for n in range(10))


def test_reading_imports_no_hdf5(folder):
    code = (
        "import sys, dsets; pack = dsets.Pack.open(sys.argv[1]); pack[0]; pack[2:9]; pack.check(1);"
        "pack.statistics.pca(); pack.arrays('image'); print('h5py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_pack_of_more_shards_than_a_process_may_open_files(make, tmp_path):
    pack = Pack.open(make(tmp_path / "many", samples=80, per_shard=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        arrays = pack.arrays("label")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(arrays) == 80
    assert len(os.listdir("/dev/fd")) <= used


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks /proc for the maps")
def test_a_forgotten_pack_is_unmapped(folder):
    pack = Pack.open(folder)
    array = pack.arrays("image")[0]
    assert str(folder) in Path("/proc/self/maps").read_text()
    del pack, array
    assert str(folder) not in Path("/proc/self/maps").read_text()


def test_check_is_silent_for_whole_samples(opened):
    for number in range(-10, 10):
        opened.check(number)


def flip(folder, dataset="image", number=6):
    """Change one byte of a sample, and put the file's time back."""
    pack = Pack.open(folder)
    shard = int(np.searchsorted(pack.starts, number, side="right")) - 1
    row, path = number - int(pack.starts[shard]), folder / pack.index.shards[shard].name
    extent = pack.index.shards[shard].datasets[dataset]
    offsets = pack.rows(shard).arrays.get(f"offsets/{dataset}")
    width = extent.length // pack.index.shards[shard].samples
    at = width * row if offsets is None else int(offsets[row]) * np.dtype(extent.dtype).itemsize
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(extent.offset + at)
        byte = file.read(1)[0]
        file.seek(extent.offset + at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGED = r"shard-00001\.h5, {}, sample 6: damaged.*CRC-32C [0-9a-f]{{8}}, got [0-9a-f]{{8}}"


def test_check_names_shard_field_sample_of_a_damaged_one(folder):
    flip(folder)
    damaged = Pack.open(folder)
    for number in (0, 5, 7, 9):
        damaged.check(number)
    with pytest.raises(PackError, match=DAMAGED.format("image")):
        damaged.check(6)


@pytest.fixture(params=["native", "python"])
def way(request, monkeypatch):
    """Checksums by the extension and by google-crc32c."""
    if request.param == "python":
        monkeypatch.setattr(extension, "checksum", False)
    elif not extension.checksum:
        pytest.skip("the extension was not built, or the processor has no CRC-32C")


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("field", ["image", "label", "jpeg", "boxes", "mask", "flag", "key"])
@pytest.mark.parametrize(
    "read",
    [
        lambda pack: pack[6],
        lambda pack: pack[-4],
        lambda pack: pack[4:8],
        lambda pack: pack[::-3],
        lambda pack: list(pack),
        lambda pack: [pack[0], pack[5], pack[4:6], pack[:]],
    ],
    ids=["number", "from the end", "slice", "backwards", "loop", "beside others"],
)
def test_a_damaged_sample_is_not_given(folder, field, read):
    flip(folder, field)
    damaged = Pack.open(folder)
    for _ in range(2):  # nor the second time
        with pytest.raises(PackError, match=DAMAGED.format(field)):
            read(damaged)


def test_samples_beside_a_damaged_one_are_given(folder, original):
    flip(folder)
    damaged, whole = Pack.open(folder), Pack.open(original)
    for number in (0, 4, 5, 7, 9):
        assert np.array_equal(damaged[number]["image"], whole[number]["image"])
    assert np.array_equal(damaged[7::-2]["image"], whole[7::-2]["image"])


@pytest.mark.parametrize(
    "read", [lambda pack: pack[6], lambda pack: pack[9:2:-1]], ids=["number", "slice"]
)
def test_a_sample_is_compared_once_a_process(folder, read):
    pack = Pack.open(folder)
    read(pack)
    flip(folder)
    read(pack)
    for another in (Pack.open(folder), pickle.loads(pickle.dumps(pack))):
        with pytest.raises(PackError, match=DAMAGED.format("image")):
            read(another)


def test_threads_that_read_side_by_side_are_given_no_damaged_sample(folder):
    flip(folder)
    damaged = Pack.open(folder)

    def given(number):
        try:
            return damaged[number]["key"] is not None
        except PackError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(given, [*range(10)] * 50)) == [n != 6 for n in range(10)] * 50


def test_repr_says_what_it_is(opened):
    assert repr(opened).startswith(
        "<Pack train: 10 samples of image: uint8 (4, 5, 3), label: int64"
    )


def test_statistics_are_those_of_the_pixels(opened):
    images = opened[:]["image"]
    assert np.allclose(opened.statistics.mean_image, images.mean(axis=0), rtol=0, atol=1e-9)


def test_damaged_statistics_are_refused(folder):
    extent = Pack.open(folder).index.statistics.datasets["sum"]
    with (folder / "statistics.h5").open("r+b") as file:
        file.seek(extent.offset)
        file.write(b"\x99")
    with pytest.raises(PackError, match="damaged statistics"):
        _ = Pack.open(folder).statistics
