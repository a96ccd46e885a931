"""The bytes of a shard, and what ``shard.write`` refuses."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import pack
from dsets.errors import PackError
from dsets.field import Field
from dsets.pack import Pack, Statistics
from dsets.pack.digests import key_hash

# Pinned: the same from h5py 3.10 (HDF5 1.14, NumPy 1.26) to h5py 3.16 (HDF5 2.0, NumPy 2.4).
GOLDEN = {
    "index.json": "c83172a919b6fe69503e821249748984dbeb3a745e527b21a113161fddb43519",
    "shard-00000.h5": "e6949b8b059554442910b9a953f0cf1b6a8a48a0fce3ceff6bf38237a4005d53",
    "shard-00001.h5": "68c364fc47af76ccbc9f433a533271174a441bec4eb40eab62696a5a63edea3b",
    "shard-00002.h5": "e94272ac95f307a7fa1ac52507ae719a9664b2aebf1867bf8c8cb490982d3dc4",
    "statistics.h5": "4fa32e77c1b8fc6aba86c88e9de199d99cbf514d07eed9e3ac730daf9df7f69b",
}
GOLDEN_PACK = "070cd2bbe113905fc176687d79cf1d1a4a73bca2a627a1e6e344140f744fc6ec"
SMALL = (Field("image", "uint8", (2, 3, 1)), Field("label", "int64", ()))
IMAGES = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_pack_has_the_bytes_it_always_had(original):
    assert {path.name: sha256(path) for path in original.iterdir()} == GOLDEN
    assert Pack.open(original).digest == GOLDEN_PACK


def test_a_pack_written_by_the_first_version_still_opens(original, tmp_path):
    with tarfile.open(Path(__file__).with_name("golden.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    old = Pack.open(tmp_path / "golden")
    assert old.digest == GOLDEN_PACK
    assert pack.verify(old.path, deep=True) == []
    assert old[7]["mask"].tolist() == Pack.open(original)[7]["mask"].tolist()


def test_many_blocks_of_an_array_are_as_one_value_after_the_other(tmp_path):
    fields = (Field("image", "uint8", (64, 64, 3), layout="CHW"), Field("label", "int64", ()))
    images = np.random.default_rng(3).integers(0, 256, (900, 64, 64, 3), np.uint8)  # 11 MB
    keys = [f"k{number}" for number in range(len(images))]
    at_once = {"image": images, "label": np.arange(900)}
    one_by_one = {"image": list(images), "label": list(range(900))}
    (tmp_path / "a").mkdir()
    whole = pack.shard.write(tmp_path / "a" / "shard-00000.h5", fields, keys, at_once)
    (tmp_path / "b").mkdir()
    assert pack.shard.write(tmp_path / "b" / "shard-00000.h5", fields, keys, one_by_one) == whole
    assert sha256(tmp_path / "a" / whole.name) == whole.sha256


WRITE = """
import sys; from pathlib import Path; import numpy as np
from dsets import pack; from dsets.field import Field
columns = {"image": np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1), "label": [1, 2]}
if sys.argv[2] == "backwards": columns = dict(reversed(columns.items()))
fields = [Field("image", "uint8", (2, 3, 1)), Field("label", "int64", ())]
print(pack.shard.write(Path(sys.argv[1]), fields, ["a", "b"], columns).sha256)
"""


def test_the_bytes_depend_on_neither_process_hash_seed_column_order_nor_name(tmp_path):
    digests = set()
    for number, (seed, order) in enumerate([("0", "forwards"), ("7", "backwards")]):
        path = tmp_path / str(number) / f"a name {number}.h5"
        done = subprocess.run(
            [sys.executable, "-c", WRITE, str(path), order],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == sha256(path)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_shard_says_what_h5py_says(shard, tmp_path):
    written = shard(0, 0, 4)
    path = tmp_path / written.name
    assert (written.bytes, written.sha256) == (path.stat().st_size, sha256(path))
    with h5py.File(path) as file:
        for name, extent in written.datasets.items():
            dataset = file[name]
            assert dataset.id.get_offset() == extent.offset
            assert extent.offset % 4096 == 0
            assert (dataset.shape, dataset.dtype.name) == (extent.shape, extent.dtype)
            assert dataset.nbytes == extent.length
            assert dataset.dtype.newbyteorder("<") == dataset.dtype
            assert dataset.chunks is dataset.compression is None
            assert h5py.h5o.get_info(dataset.id).mtime == 0


def test_plain_h5py_reads_a_sample_as_the_format_says(shard, made, tmp_path):
    path = tmp_path / shard(0, 0, 4).name
    fields = {field.name: field for field in (Field("jpeg", "uint8", (None,)),)}
    with h5py.File(path) as file:
        image = file["image"][3].transpose(1, 2, 0)
        assert image.tolist() == made(Field("image", "uint8", (4, 5, 3), "CHW"), 3).tolist()
        begin, end = file["offsets/jpeg"][2:4]
        assert file["jpeg"][begin:end].tolist() == made(fields["jpeg"], 2).tolist()
        begin, end = file["offsets/mask"][1:3]
        mask = file["mask"][begin:end].reshape(file["shape/mask"][1]).transpose(1, 2, 0)
        assert mask.tolist() == made(Field("mask", "uint8", (None, None, 2), "CHW"), 1).tolist()
        begin, end = file["offsets/key"][1:3]
        assert file["key"][begin:end].tobytes().decode() == "train/00001"
        assert int(file["key_hash"][1]) == key_hash("train/00001")


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump (hdf5-tools) is not installed")
def test_h5dump_reads_a_shard(shard, tmp_path):
    path = tmp_path / shard(0, 0, 4).name
    run = ["h5dump", "-p", "-d", "/label", str(path)]
    text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "H5T_STD_I64LE" in text
    assert "CONTIGUOUS" in text
    assert "(0): 5, 106, 207, 57" in text
    everything = subprocess.run(["h5dump", "-H", str(path)], capture_output=True, check=True)
    assert b"error" not in everything.stderr.lower()


def test_a_crc_is_the_castagnoli_polynomial(tmp_path):
    written = pack.shard.write(
        tmp_path / "a.h5", [Field("text", "uint8", (None,))], ["k"], {"text": [b"123456789"]}
    )
    with h5py.File(tmp_path / written.name) as file:
        assert file["checksum/text"][0] == 0xE3069283  # the check value of CRC-32C


@given(
    st.lists(st.binary(max_size=9), min_size=1, max_size=6),
    st.lists(st.text(min_size=1, max_size=4), min_size=6, max_size=6, unique=True),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_under_any_keys_come_back(tmp_path, values, keys):
    keys = keys[: len(values)]
    fields = [Field("text", "uint8", (None,))]
    folder = tmp_path / "pack"
    pack.finish(
        folder,
        split="any",
        fields=fields,
        shards=[pack.shard.write(folder / "a.h5", fields, keys, {"text": values})],
        statistics=None,
        statistics_of=None,
        quarantine=[],
        samples_digest=pack.samples_digest(keys),
        provenance={},
    )
    found = Pack.open(folder)
    assert [(s["key"], s["text"].tobytes()) for s in found] == [*zip(keys, values, strict=True)]
    assert pack.verify(folder) == []


def test_columns_of_numbers_arrays_and_other_byte_orders_are_the_same_shard(tmp_path):
    digests = {
        pack.shard.write(
            tmp_path / "a.h5", SMALL, ["a", "b"], {"image": images, "label": label}
        ).sha256
        for images in (IMAGES, list(IMAGES), np.asfortranarray(IMAGES), IMAGES[::-1][::-1])
        for label in ([1, 2], np.array([1, 2]), np.array([1, 2], ">i8"), list(np.array([1, 2])))
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": [1]}, "label: a column of another length than the keys; expected 2, got 1"),
        ({"label": [1, 2.5]}, r"sample 1 .*expected label: int64 \(\), got float 2.5"),
        ({"label": [1, 2**63]}, "got int 9223372036854775808"),
        ({"label": [1, 10**30]}, "got int 1000"),
        ({"label": [1, float("nan")]}, "got float nan"),
        ({"label": [1, "2"]}, "got str '2'"),
        ({"label": [1, None]}, "got NoneType"),
        ({"label": np.array([1, 2], np.int32)}, "got int32"),
        ({"label": np.array([[1], [2]])}, r"got int64 \(1,\)"),
        ({"image": IMAGES[:, :, :2]}, r"expected image: uint8 \(2, 3, 1\), got uint8 \(2, 2, 1\)"),
        ({"image": IMAGES.astype(np.float32)}, "got float32"),
        ({"image": [IMAGES[0], b"abcdef"]}, r"sample 1 .*got uint8 \(6,\)"),
        ({"extra": [1, 2]}, "columns are not the fields; expected image, label, got extra"),
    ],
)
def test_values_that_are_not_of_their_field_are_refused(tmp_path, change, message):
    columns = {"image": IMAGES, "label": [1, 2]} | change
    with pytest.raises(PackError, match=message):
        pack.shard.write(tmp_path / "a.h5", SMALL, ["a", "b"], columns)
    assert list(tmp_path.glob("*.h5*")) == list(tmp_path.glob(".*part")) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "a shard needs a sample"),
        (["a", "a"], "two samples of one key; got 'a'"),
        (["a", ""], "bad key"),
        (["a", "\ud800"], "bad key"),
        (["a", 3], "bad key"),
    ],
)
def test_bad_keys_are_refused(tmp_path, keys, message):
    columns = {"image": IMAGES[: len(keys)], "label": [1, 2][: len(keys)]}
    with pytest.raises(PackError, match=message):
        pack.shard.write(tmp_path / "a.h5", SMALL, keys, columns)


@pytest.mark.parametrize("name", ["key", "key_hash", "offsets", "shape", "checksum"])
def test_reserved_names_of_fields_are_refused(tmp_path, name):
    with pytest.raises(PackError, match="cannot be the fields of a pack"):
        pack.shard.write(tmp_path / "a.h5", [Field(name, "uint8", ())], ["a"], {name: [1]})


@pytest.mark.parametrize("fields", [[], [SMALL[0], SMALL[0]]])
def test_no_fields_or_fields_of_one_name_are_refused(tmp_path, fields):
    with pytest.raises(PackError, match="cannot be the fields of a pack"):
        pack.shard.write(tmp_path / "a.h5", fields, ["a"], {"image": IMAGES[:1]})


def test_finish_refuses_what_would_not_open(tmp_path):
    arguments = {
        "split": "train",
        "fields": SMALL,
        "statistics": None,
        "statistics_of": None,
        "quarantine": [],
        "samples_digest": "0" * 64,
        "provenance": {},
    }
    columns = {"image": IMAGES, "label": [1, 2]}
    one = pack.shard.write(tmp_path / "a.h5", SMALL, ["a", "b"], columns)
    wrong = [
        {"shards": []},
        {"shards": [one, one]},
        {"shards": [one], "fields": (*SMALL[:1], Field("label", "int32", ()))},
        {"shards": [one], "split": ""},
        {"shards": [one], "samples_digest": "no digest"},
        {"shards": [one], "statistics_of": "no digest"},
        {"shards": [one], "provenance": {"when": object()}},
        {"shards": [one], "provenance": {"nan": float("nan")}},
        {"shards": [one], "statistics": Statistics.of(IMAGES, "label")},
        {"shards": [one], "statistics": Statistics.of(IMAGES[:, :1])},
    ]
    for change in wrong:
        with pytest.raises(PackError):
            pack.finish(tmp_path, **(arguments | change))
        assert not (tmp_path / "index.json").exists()
    pack.finish(tmp_path, **arguments, shards=[one])
    assert len(Pack.open(tmp_path)) == 2


def test_finish_refuses_shards_that_are_not_in_the_folder(tmp_path, shard):
    written = shard(0, 0, 2)
    (tmp_path / written.name).unlink()
    with pytest.raises(PackError, match="cannot be read"):
        pack.finish(
            tmp_path,
            split="train",
            fields=[],
            shards=[written],
            statistics=None,
            statistics_of=None,
            quarantine=[],
            samples_digest="0" * 64,
            provenance={},
        )
