from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dsets
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


def test_check_names_shard_field_sample_of_a_damaged_one(folder):
    extent = Pack.open(folder).index.shards[1].datasets["image"]
    with (folder / "shard-00001.h5").open("r+b") as file:
        file.seek(extent.offset + 2 * 60 + 7)
        file.write(b"\xff")
    damaged = Pack.open(folder)
    for number in (0, 5, 7, 9):
        damaged.check(number)
    with pytest.raises(PackError, match=r"shard-00001\.h5, image, sample 6: damaged.*CRC-32C"):
        damaged.check(6)


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
