"""Every shipped manifest keeps the contract; adding a dataset is adding its file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dsets import manifest, readers
from dsets.manifest import Manifest

FOLDER = Path(__file__).parents[2] / "manifests"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.fixture(params=NAMES)
def shipped(request: pytest.FixtureRequest) -> Manifest:
    """Parsed, which checks types, digests, names, addresses, splits' files and training split."""
    return manifest.find(request.param)


def proved_otherwise(shipped: Manifest) -> set[str]:
    """Files of families that a listing proves, listings, and tables of classes."""
    listings = {family.name: family.listing for family in shipped.families}
    members = {file.name for file in shipped.files if listings.get(file.family)}
    return members | set(listings.values()) | {name for _, name in shipped.class_files}


def test_the_folder_is_what_is_shipped() -> None:
    assert manifest.names() == NAMES


def test_what_no_reader_reads_is_described_and_what_is_not_offered_has_no_addresses(
    shipped: Manifest,
) -> None:
    addresses = [address for file in shipped.files for address in file.addresses]
    assert not (addresses and shipped.access in ("withdrawn", "unavailable"))
    if shipped.catalogue is None:
        assert shipped.splits and shipped.fields and shipped.reader
    else:
        assert not shipped.splits and not shipped.fields and not shipped.reader
        assert not (addresses and shipped.access != "open")
    for file in shipped.files:
        proved = file.digest or shipped.families  # whose listings have the digests
        assert proved or not file.addresses or shipped.access == "login"


def test_the_catalogue_has_the_sets_that_are_no_datasets_of_ours() -> None:
    told = {name: one for name in NAMES if (one := manifest.find(name)).catalogue}
    assert {name: one.access for name, one in told.items()} == {
        "cophir": "on request",
        "imagenet-fall11": "withdrawn",
        "mirflickr1m": "open",
        "mirflickr25k": "open",
        "msramm": "unavailable",
        "nuswide": "on request",
        "sbu": "open",
        "sun397": "open",
        "tinyimages": "withdrawn",
        "visualsynset": "unavailable",
    }
    fetched = {name for name, one in told.items() if any(file.addresses for file in one.files)}
    assert fetched == {"mirflickr25k", "sbu", "sun397"}


def test_the_reader_exists(shipped: Manifest) -> None:
    assert shipped.catalogue or shipped.reader in readers.names()


def test_the_pipeline_exists(shipped: Manifest) -> None:
    found = importlib.util.find_spec(f"dsets.pipelines.{shipped.pipeline}")
    assert found if not shipped.catalogue else not shipped.pipeline


#: Of their archives no digest is published, which their notes say: they are adopted as unverified.
UNPROVED = {"imagenet2010", "imagenet21k"}


def test_every_file_of_a_split_can_be_proved_right(shipped: Manifest) -> None:
    if shipped.name in UNPROVED:
        assert shipped.access == "login" and "--unverified" in shipped.notes
        return
    otherwise = proved_otherwise(shipped)
    for split in shipped.splits:
        for name in split.files:
            assert shipped.file(name).digest or name in otherwise, name


def test_every_address_leads_to_the_file_of_that_name(shipped: Manifest) -> None:
    for file in shipped.files:
        for address in file.addresses:
            published = {path.rpartition("/")[2] for path in (file.name, *file.below)}
            assert urlsplit(address).path.rpartition("/")[2] in published


def test_the_readers_files_are_declared_by_their_split(shipped: Manifest) -> None:
    known = {file.name for file in shipped.files}
    for split in shipped.splits:
        options = split.options.values()
        named = {value for value in options if value in known}
        listed = {one for value in options if isinstance(value, tuple) for one in value}
        assert named <= set(split.files)
        assert set(split.files) - proved_otherwise(shipped) <= named | listed  # some are optional


def test_a_label_names_its_classes(shipped: Manifest) -> None:
    for field in shipped.fields:
        found = any("classes" in split.options for split in shipped.splits)
        assert field.classes or field.name != "label" or found


@pytest.mark.parametrize(
    ("name", "samples", "download", "shape"),
    [
        ("mnist", {"train": 60_000, "test": 10_000}, 11_594_722, (28, 28, 1)),
        ("cifar10", {"train": 50_000, "test": 10_000}, 170_498_071, (32, 32, 3)),
        ("digits", {"train": 12_000, "test": 2_000}, 10_990_970, (28, 28, 1)),
    ],
)
def test_the_official_figures(
    name: str, samples: dict[str, int], download: int, shape: tuple[int, ...]
) -> None:
    found = manifest.find(name)
    assert {split.name: split.samples for split in found.splits} == samples
    assert sum(file.bytes or 0 for file in found.files) == download
    assert found.fields[0].shape == shape
    assert len(found.fields[1].classes) == 10


def test_the_official_figures_of_imagenet_2010() -> None:
    found = manifest.find("imagenet2010")
    counts = {split.name: split.samples for split in found.splits}
    assert counts == {"train": 1_261_406, "val": 50_000, "test": 150_000}
    options = found.split("train").options
    samples, ids = options["class_samples"], options["ilsvrc_ids"]
    assert (sum(samples), min(samples), max(samples)) == (1_261_406, 668, 3_047)
    assert sorted(ids) == list(range(1, 1001))
    classes = found.fields[1].classes
    assert ids[classes.index("n02119789")] == 435
    theirs = manifest.find("imagenet").fields[1].classes
    assert len(set(classes) & set(theirs)) == 640


def test_the_official_figures_of_imagenet() -> None:
    found = manifest.find("imagenet")
    counts = {split.name: split.samples for split in found.splits}
    assert counts == {"train": 1_281_167, "val": 50_000, "test": 100_000}
    assert found.file("ILSVRC2012_img_train.tar").bytes == 147_897_477_120
    assert found.file("ILSVRC2012_img_val.tar").bytes == 6_744_924_160
    assert found.file("ILSVRC2012_devkit_t12.tar.gz").bytes == 2_568_145
    assert found.split("test").withheld == ("label", "ilsvrc_id")
    needed = {name for split in found.splits for name in split.files}
    assert not any("bbox" in name or "t3" in name for name in needed)


def test_imagenet_tells_its_two_orders_of_classes_apart() -> None:
    found = manifest.find("imagenet")
    wnids = next(field.classes for field in found.fields if field.name == "label")
    ids = found.split("train").options["ilsvrc_ids"]
    assert list(wnids) == sorted(set(wnids)) and len(wnids) == 1000
    assert sorted(ids) == list(range(1, 1001))
    known = {
        "n01440764": (0, 449),
        "n02119789": (278, 1),
        "n02100735": (212, 2),
        "n15075141": (999, 889),
    }
    for wnid, (label, ilsvrc_id) in known.items():
        assert wnids[label] == wnid and ids[label] == ilsvrc_id


VOC = {
    2007: {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952, "segmentation-val": 213},
    2008: {"train": 2111, "val": 2221, "trainval": 4332, "segmentation-trainval": 1023},
    2009: {"train": 3473, "val": 3581, "trainval": 7054, "segmentation-train": 749},
    2010: {"train": 4998, "val": 5105, "trainval": 10103, "segmentation-val": 964},
    2011: {"train": 5717, "val": 5823, "trainval": 11540, "segmentation-train": 1112},
    2012: {"train": 5717, "val": 5823, "trainval": 11540, "segmentation-train": 1464},
}


@pytest.mark.parametrize("year", VOC)
def test_the_official_figures_of_voc(year: int) -> None:
    found = manifest.find(f"voc{year}")
    counts = {split.name: split.samples for split in found.splits}
    assert counts == counts | VOC[year]
    assert [split.name for split in found.default_splits][:2] == ["train", "val"]
    labels = next(field.classes for field in found.fields if field.name == "labels")
    assert len(labels) == 20 and list(labels) == sorted(labels)


def test_both_issues_of_voc_2009_are_right() -> None:
    file = manifest.find("voc2009").files[0]
    assert file.md5 == "a3e00b113cfcfebf17e343f59da3caa1"
    assert "md5:59065e4b188729180974ef6572f6a212" in file.also


COCO = {
    2014: {"train": 82_783, "val": 40_504, "train-annotated": 82_081, "test": 40_775},
    2017: {"train": 118_287, "val": 5_000, "val-annotated": 4_952, "test": 40_670},
}


@pytest.mark.parametrize(("year", "bytes_"), [(2014, 13_510_573_713), (2017, 19_336_861_798)])
def test_the_official_figures_of_coco(year: int, bytes_: int) -> None:
    found = manifest.find(f"coco{year}")
    known = {split.name: split.samples for split in found.splits}
    assert known == known | COCO[year]
    assert found.file(f"train{year}.zip").bytes == bytes_
    assert found.part("annotations") == (f"annotations_trainval{year}.zip",)
    assert f"test{year}.zip" not in found.default_files
    assert f"annotations_trainval{year}.zip" in found.default_files
    assert len(next(field.classes for field in found.fields if field.name == "labels")) == 80


@pytest.mark.parametrize("name", ["cifar100", "cifar100-binary"])
def test_the_official_figures_of_cifar100(name: str) -> None:
    found = manifest.find(name)
    classes = {field.name: len(field.classes) for field in found.fields}
    assert classes == {"image": 0, "label": 100, "coarse": 20}
    assert [split.samples for split in found.splits] == [50_000, 10_000]


def test_every_file_has_a_digest_and_a_place_where_it_comes_from(shipped: Manifest) -> None:
    unproved = proved_otherwise(shipped) if shipped.families else set()
    asked_for = {name for split in shipped.splits for name in split.files}
    for file in shipped.files:
        right = file.digest or file.name in unproved or (shipped.families and file.part)
        adopted = file.part and not file.addresses and "--unverified" in shipped.notes
        assert right or shipped.access != "open" or adopted, file.name
        assert file.addresses or shipped.notes, file.name
        needed = file.name in asked_for
        fetched = file.part or shipped.access != "open" or shipped.catalogue
        assert needed or fetched or file.name in unproved, f"nothing asks for {file.name}"


@pytest.mark.parametrize("level", ["video", "frame"])
def test_the_official_figures_of_youtube8m(level: str) -> None:
    found = manifest.find(f"youtube8m-{level}")
    assert [split.samples for split in found.splits] == [3_888_919, 1_112_356, 1_133_323]
    assert all(len(split.files) == 1 + 3844 for split in found.splits)
    first = found.file("train0000.tfrecord")
    assert first.addresses[0] == f"http://us.data.yt8m.org/2/{level}/train/trainaa.tfrecord"
    last = found.file("test3843.tfrecord")
    assert last.addresses[2] == f"http://asia.data.yt8m.org/2/{level}/test/test99.tfrecord"
