"""A good manifest says what it says; every bad one is refused in one line that helps."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets import manifest
from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest import File, Manifest, Member
from dsets.manifest.toml import LARGEST

Spoil = Callable[[str, str], bytes]


def test_a_good_manifest_says_what_it_says(good: str) -> None:
    found = manifest.parse(good.encode(), "tiny.toml")
    assert (found.name, found.access, found.schema) == ("tiny", "open", 1)
    assert found.files == (
        File(
            name="images.gz",
            addresses=("https://example.org/images.gz", "http://example.org/images.gz"),
            bytes=100,
            sha256="a" * 64,
            members=(Member("folder/images", bytes=200, md5="b" * 32),),
        ),
        File("labels.gz", ("https://example.org/labels.gz",), sha1="c" * 40),
    )
    train, test = found.splits
    assert (train.name, train.samples, train.training) == ("train", 20, True)
    assert train.files == ("images.gz", "labels.gz")
    assert (test.name, test.samples, test.training, dict(test.options)) == ("test", 10, False, {})
    assert found.fields == (
        Field("image", "uint8", (None, 4, 3)),
        Field("label", "int64", (), classes=("cat", "dog")),
    )
    assert found.digest == hashlib.sha256(good.encode()).hexdigest()


def test_a_split_may_leave_its_samples_to_be_counted(spoilt: Spoil) -> None:
    counted = spoilt("samples = 10\n", "counted = true\non_request = true\n")
    found = manifest.parse(counted, "tiny.toml")
    assert found.split("test").samples == 0
    assert manifest.parse(manifest.render(found), "tiny.toml").splits == found.splits


BAD = [
    # What is replaced, by what, the key in the error, what the error says was expected.
    ('name = "tiny"', 'name = "Tiny"', "name", "lower-case"),
    ('name = "tiny"', 'name = "../tiny"', "name", "lower-case"),
    ('name = "tiny"', "name = 3", "name", "text"),
    ('name = "tiny"\n', "", "name", "text"),
    ('title = "Tiny pictures"', 'title = " "', "title", "something to read"),
    ('title = "Tiny pictures"', r'title = "\u001b[2J"', "title", "printable characters"),
    ('title = "Tiny pictures"', r'title = "two\nlines"', "title", "on one line"),
    ('title = "Tiny pictures"', r'title = "\u202etxt"', "title", "printable characters"),
    ('licence = "CC0 1.0"', 'licence = ""', "licence", "something to read"),
    ('licence = "CC0 1.0"', f'licence = "{"x" * 10_001}"', "licence", "at most 10000"),
    ('access = "open"', 'access = "closed"', "access", "open, login, on request, withdrawn, unav"),
    ('homepage = "https://example.org/"', 'homepage = "javascript:alert(1)"', "homepage", "http"),
    ('homepage = "https://example.org/"', 'homepage = "https://[bad"', "homepage", "http"),
    ('reader = "idx"', 'reader = "os"', "reader", "one of cifar, coco, idx, "),
    ('reader = "idx"', 'reader = "os.path"', "reader", "one of cifar, coco, idx, "),
    ('reader = "idx"', 'reader = "_pickles"', "reader", "one of cifar, coco, idx, "),
    ('pipeline = "as_is"', 'pipeline = "./evil.py"', "pipeline", "a module in dsets.pipelines"),
    ('pipeline = "as_is"', 'pipeline = "as_is"\nlicense = "x"', "license", "one of schema"),
    ('pipeline = "as_is"', 'pipeline = "as_is"\nfiles = []', "files", "one of schema"),
    ('pipeline = "as_is"', 'pipeline = "as_is"\nnotes = 1', "notes", "text"),
    ('name = "images.gz"\n', "", "file[0].name", "text"),
    ('name = "labels.gz"', 'name = "/etc/passwd"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = "a/b"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', r'name = "a\\b"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = ".."', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = ".hidden"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = ""', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = "labels.gz "', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = "labels.gz.part"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', r'name = "a\u0000b"', "file[1].name", "printable"),
    ('name = "labels.gz"', f'name = "{"é" * 101}"', "file[1].name", "a plain name"),
    ('name = "labels.gz"', 'name = "Images.gz"', "file[1].name", "names that differ"),
    ("bytes = 100", "bytes = true", "file[0].bytes", "a whole number"),
    ("bytes = 100", "bytes = 100.0", "file[0].bytes", "a whole number"),
    ("bytes = 100", 'bytes = "100"', "file[0].bytes", "a whole number"),
    ("bytes = 100", "bytes = -1", "file[0].bytes", "from 0"),
    ("bytes = 100", "bytes = 9223372036854775808", "file[0].bytes", "2**63 - 1"),
    ("bytes = 100", "byte = 100", "file[0].byte", "bytes"),
    (f'"{"a" * 64}"', f'"{"a" * 63}"', "file[0].sha256", "64 lower-case hexadecimal"),
    (f'"{"a" * 64}"', f'"{"A" * 64}"', "file[0].sha256", "64 lower-case hexadecimal"),
    (f'"{"a" * 64}"', f'"{"g" * 64}"', "file[0].sha256", "64 lower-case hexadecimal"),
    (f'"{"a" * 64}"', "0xaaaa", "file[0].sha256", "text"),
    (f'"{"b" * 32}"', f'"{"b" * 40}"', "file[0].member[0].md5", "32 lower-case"),
    (f'"{"c" * 40}"', f'"{"c" * 39} "', "file[1].sha1", "40 lower-case"),
    ("bytes = 200", "bytes = -2", "file[0].member[0].bytes", "from 0"),
    ("bytes = 200", "sha1 = 'x'", "file[0].member[0].sha1", "40 lower-case"),
    ("bytes = 200", "sha512 = 'x'", "file[0].member[0].sha512", "one of name"),
    ('"folder/images"', '"../images"', "file[0].member[0].name", "a relative path"),
    ('"folder/images"', '"/images"', "file[0].member[0].name", "a relative path"),
    ('"folder/images"', '"a/./b"', "file[0].member[0].name", "a relative path"),
    ('["https://example.org/labels.gz"]', '"https://x"', "file[1].addresses", "a list"),
    ('["https://example.org/labels.gz"]', "[1]", "file[1].addresses[0]", "text"),
    ('["https://example.org/labels.gz"]', '["ftp://e.org/l"]', "file[1].addresses[0]", "https"),
    ('["https://example.org/labels.gz"]', '["labels.gz"]', "file[1].addresses[0]", "https"),
    ('["https://example.org/labels.gz"]', '["https:///l"]', "file[1].addresses[0]", "a host"),
    ('["https://example.org/labels.gz"]', '["https://e.org:x/"]', "file[1].addresses[0]", "a URL"),
    (
        '["https://example.org/labels.gz"]',
        '["https://u:p@e.org/"]',
        "file[1].addresses[0]",
        "no us",
    ),
    (
        '["https://example.org/labels.gz"]',
        '["https://e.org/a b"]',
        "file[1].addresses[0]",
        "spaces",
    ),
    ('["https://example.org/labels.gz"]', '["file:///etc/x"]', "file[1].addresses[0]", "--mirror"),
    ('["https://example.org/labels.gz"]', '["FILE://h/x"]', "file[1].addresses[0]", "--mirror"),
    ('["https://example.org/labels.gz"]', '["file:x"]', "file[1].addresses[0]", "--mirror"),
    (
        '["https://example.org/labels.gz"]',
        '["s3://b/x", "s3://b/x"]',
        "file[1].addresses[1]",
        "once",
    ),
    ('["https://example.org/labels.gz"]', "[]", "file[1].addresses", "or notes"),
    ('["images.gz"]', '["imagse.gz"]', "split.test.files[0]", "[[file]]"),
    ('["images.gz"]', "[]", "split.test.files", "at least one"),
    ('["images.gz"]', '["images.gz", "images.gz"]', "split.test.files[1]", "once"),
    ("samples = 10\n", "samples = 0\n", "split.test.samples", "from 1"),
    ("samples = 10\n", "samples = -5\n", "split.test.samples", "from 1"),
    ("samples = 10\n", "samples = true\n", "split.test.samples", "a whole number"),
    ("samples = 10\n", "", "split.test.samples", "a whole number"),
    ("samples = 10\n", "counted = true\n", "split.test.counted", "on_request = true, without"),
    (
        "samples = 10\n",
        "samples = 10\ncounted = true\non_request = true\n",
        "split.test.counted",
        "on_request = true, without samples",
    ),
    ("samples = 10\n", "samples = 10\ntraining = true\n", "split", "in the first split"),
    ("samples = 10\n", 'samples = 10\nwithheld = "label"\n', "split.test.withheld", "a list"),
    ("samples = 10\n", 'samples = 10\nwithheld = ["image"]\n', "split.test.withheld", "one signed"),
    ("samples = 10\n", 'samples = 10\nwithheld = ["other"]\n', "split.test.withheld", "one signed"),
    ("samples = 10\n", 'samples = 10\ntraining = "yes"\n', "split.test.training", "true or false"),
    ("training = true\n", "", "split", "in the first split"),
    ("training = true\n", "training = true\non_request = true\n", "split", "no on_request"),
    ("bytes = 100\n", 'bytes = 100\nalso = ["md5:abc"]\n', "file[0].also[0]", "md5:"),
    ("bytes = 100\n", 'bytes = 100\nalso = ["crc:abc"]\n', "file[0].also[0]", "sha256:"),
    ("bytes = 100\n", 'bytes = 100\npart = "A B"\n', "file[0].part", "lower-case"),
    ("[split.test]", "[split.'../../x']", "split.../../x", "lower-case"),
    ("[split.test]", "[split.Test]", "split.Test", "lower-case"),
    ("[split.train.reader]\n", "[split.train.reader]\nday = 2026-01-01\n", "reader.day", "text"),
    ("[field.image]", "[field.'im age']", "field.im age", "an identifier"),
    ("[field.image]", "[field.'größe']", "field", "an identifier"),
    ("[field.image]", "[field.key_hash]", "field.key_hash", "none of key, key_hash"),
    ('"uint8"', '"object"', "field.image.dtype", "uint8"),
    ('"uint8"', '"uint8"\nsize = 3', "field.image.size", "dtype, shape, classes"),
    ("[-1, 4, 3]", "[0, 4, 3]", "field.image.shape", "from 1 to 2**31 - 1"),
    ("[-1, 4, 3]", "[-2, 4, 3]", "field.image.shape", "from 1 to 2**31 - 1"),
    ("[-1, 4, 3]", "[2147483648]", "field.image.shape", "from 1 to 2**31 - 1"),
    ("[-1, 4, 3]", "[1, 1, 1, 1, 1, 1, 1, 1, 1]", "field.image.shape", "at most 8"),
    ("[-1, 4, 3]", "[4.0]", "field.image.shape[0]", "a whole number"),
    ("[-1, 4, 3]", "[4, true]", "field.image.shape[1]", "a whole number"),
    ('["cat", "dog"]', '["cat", "cat"]', "field.label.classes[1]", "once"),
    ('["cat", "dog"]', '["cat", ""]', "field.label.classes[1]", "something"),
    ('["cat", "dog"]', '["cat", 2]', "field.label.classes[1]", "text"),
    ('["cat", "dog"]', r'["c\u0007t"]', "field.label.classes[0]", "printable"),
    ('dtype = "int64"', 'dtype = "float32"', "field.label.classes", "at most 0"),
    ("schema = 1", 'schema = "1"', "schema", "a whole number"),
    ("schema = 1\n", "", "schema", "a whole number"),
    ("schema = 1", "schema = 0", "schema", "from 1"),
]


@pytest.mark.parametrize(("old", "new", "key", "expected"), BAD)
def test_a_bad_value_is_refused_with_file_key_and_what_was_expected(
    spoilt: Spoil, old: str, new: str, key: str, expected: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest.parse(spoilt(old, new), "some/tiny.toml")
    assert caught.value.where is not None
    assert caught.value.where.startswith("some/tiny.toml: ")
    assert key in caught.value.where
    assert caught.value.expected is not None
    assert expected in caught.value.expected
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_misspelt_key_is_guessed(spoilt: Spoil) -> None:
    with pytest.raises(ManifestError, match="did you mean licence"):
        manifest.parse(spoilt("licence =", "license ="), "tiny.toml")


def test_a_later_schema_is_refused_before_its_new_keys_are(spoilt: Spoil) -> None:
    data = spoilt("schema = 1", "schema = 2\nquality = 'better'")
    with pytest.raises(ManifestError, match=r"schema: .*expected 1, .*got 2; upgrade dsets"):
        manifest.parse(data, "tiny.toml")


def test_dots_in_text_and_comments_are_no_deep_key(spoilt: Spoil) -> None:
    dots = ".".join("abcdefghijklmnop")
    texts = (f"'{dots}'", f'"{dots}"', f'"\\"{dots}"', f"""'''{dots}' \n{dots}'''""")
    for text in (*texts, f'"""{dots}" \\""" \n{dots}"""'):
        data = spoilt('pipeline = "as_is"', f'pipeline = "as_is" # {dots}\nnotes = {text}')
        assert dots in manifest.parse(data, "t").notes


def test_a_hostile_name_in_a_key_reaches_no_terminal(spoilt: Spoil) -> None:
    for old, new in (
        ("[split.test]", r'[split."\u001b[2J"]'),
        ("[field.image]", f'[field."{"x" * 1000}"]'),
        ("bytes = 100", r'"\u001b[2J" = 100'),
    ):
        with pytest.raises(ManifestError) as caught:
            manifest.parse(spoilt(old, new), "t")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


def test_too_many_classes_for_the_type_are_refused(spoilt: Spoil) -> None:
    def with_classes(n: int) -> bytes:
        classes = ", ".join(f'"c{i}"' for i in range(n))
        data = spoilt('["cat", "dog"]', f"[{classes}]").decode()
        return data.replace('"int64"', '"int8"').encode()

    assert len(manifest.parse(with_classes(128), "t").fields[1].classes) == 128
    with pytest.raises(ManifestError, match="at most 128 for int8"):
        manifest.parse(with_classes(129), "t")


def test_a_withdrawn_dataset_needs_no_files_and_may_offer_none(good: str, spoilt: Spoil) -> None:
    offered = spoilt('access = "open"', 'access = "withdrawn"')
    with pytest.raises(ManifestError, match=r"file\[0\]\.addresses: withdrawn, yet offered"):
        manifest.parse(offered, "tiny.toml")
    bare = offered.decode().split("[[file]]")[0] + "[field.image]" + good.split("[field.image]")[1]
    found = manifest.parse(bare.encode(), "tiny.toml")
    assert (found.files, found.splits) == ((), ())


TOLD = """\
schema = 1
name = "told"
title = "Told of"
homepage = "https://example.org/"
licence = "none"
access = "unavailable"
citation = "Nobody: Nothing. 2026."
[catalogue]
status = "never published"
size = "two pictures"
"""


def test_a_dataset_may_be_described_only() -> None:
    found = manifest.parse(TOLD.encode(), "told.toml")
    assert found.catalogue == manifest.Catalogue("never published", "two pictures")
    assert (found.reader, found.pipeline, found.splits, found.fields) == ("", "", (), ())
    again = manifest.parse(manifest.render(found), "told.toml")
    assert again.catalogue == found.catalogue and again.access == found.access


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('status = "never published"\n', "", r"catalogue\.status"),
        ('"two pictures"', '" "', r"catalogue\.size: empty text"),
        ("size =", 'colour = "red"\nsize =', r"catalogue\.colour"),
        ("[catalogue]", 'reader = "idx"\n[catalogue]', "reader"),
        ("[catalogue]", 'pipeline = "as_is"\n[catalogue]', "pipeline"),
        ("[catalogue]", "[split.train]\nsamples = 1\nfiles = []\n[catalogue]", "split"),
        ("[catalogue]", '[field.x]\ndtype = "bool"\nshape = []\n[catalogue]', "field"),
        (
            "[catalogue]",
            '[[file]]\nname = "a"\naddresses = ["https://example.org/a"]\n[catalogue]',
            "unavailable, yet offered",
        ),
    ],
)
def test_a_description_says_what_it_is_and_no_more(old: str, new: str, message: str) -> None:
    assert TOLD.count(old) == 1
    with pytest.raises(ManifestError, match=message):
        manifest.parse(TOLD.replace(old, new).encode(), "told.toml")


@pytest.mark.parametrize("left_out", ["[[file]]", "[split.", "[field."])
def test_a_manifest_without_files_splits_or_fields_is_refused(good: str, left_out: str) -> None:
    tables = re.split(r"\n(?=\[)", good)
    kept = "\n".join(t for t in tables if not t.startswith((left_out, "[[file.")))
    with pytest.raises(ManifestError):
        manifest.parse(kept.encode(), "tiny.toml")


def test_a_file_without_an_address_is_fine_where_notes_or_access_say_why(spoilt: Spoil) -> None:
    none = spoilt('addresses = ["https://example.org/labels.gz"]', "").decode()
    for old, new in (
        ('pipeline = "as_is"', 'pipeline = "as_is"\nnotes = "Made\\nby hand."'),
        ('access = "open"', 'access = "on request"'),
    ):
        assert manifest.parse(none.replace(old, new).encode(), "t").files[1].addresses == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"schema = 1\nname = !", r"not valid TOML; got .*line 2"),
        (b"schema = 1\nschema = 1\n", r"not valid TOML; got .*line 2"),
        (b"schema = 1\nname = '\xff'", r"not text in UTF-8; got invalid start byte at byte 19"),
        (b"", r"schema: missing key"),
        (b"schema = " + b"9" * 5000, r"not valid TOML"),
        (b"x = " + b"[" * 100_000, r"not valid TOML"),
        (b"a." * (LARGEST // 2 - 2) + b"a=1", r"a key too deep; expected at most 8 parts"),
        (b"'#' . " * (LARGEST // 6 - 2) + b"a=1", r"a key too deep; expected at most 8 parts"),
        (b"[" + b'"\\"".' * (LARGEST // 5 - 2) + b"a]", r"a key too deep; expected at most 8"),
        (b'x = {y = """a"""", ' + b"a." * (LARGEST // 2 - 20) + b"a = 1}", r"a key too deep"),
        (b"x = {y = '''a''''', " + b"a." * (LARGEST // 2 - 20) + b"a = 1}", r"a key too deep"),
        (b'x = "' + b'\\"' * (LARGEST // 16), r"not valid TOML"),
        (b'x = """' + b'\\"' * (LARGEST // 16), r"not valid TOML"),
        (b'x = """' + b'""' * (LARGEST // 2 - 4), r"not valid TOML"),
        (b"x = '''" + b"''" * (LARGEST // 2 - 4), r"not valid TOML"),
        (b"x = " + b"a" * (LARGEST - 4), r"not valid TOML"),
        (b"a" + b" . " * (LARGEST // 3 - 4), r"not valid TOML"),
        (b"x = {" + b"a." * 1000 + b"a = 1}", r"a key too deep; expected at most 8 parts"),
        (b"schema = 1\nfile = 3", r"file: wrong type; expected a list"),
        (b"schema = 1\nfile = [3]", r"file\[0\]: wrong type; expected a table"),
        (b"schema = 1\nsplit = [3]", r"split: wrong type; expected a table"),
        (b"schema = 1\nsplit.train = 3", r"split.train: wrong type; expected a table"),
        (b"#" * (LARGEST + 1), r"too large; expected at most 4194304 bytes"),
    ],
)
def test_what_is_no_manifest_at_all_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        manifest.parse(data, "odd.toml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(b"schema = 1\n" + data, "random.toml")


@given(at=st.integers(0, 1200), new=st.text("[]{}=\"'.,1atrue\n-\\", max_size=6))
def test_a_manifest_damaged_anywhere_is_read_or_refused(good: str, at: int, new: str) -> None:
    try:
        found = manifest.parse((good[:at] + new + good[at + len(new) :]).encode(), "t.toml")
    except ManifestError:
        return
    assert isinstance(found, Manifest)


def test_a_manifest_is_named_after_its_file(tmp_path: Path, good: str) -> None:
    path = tmp_path / "other.toml"
    path.write_text(good)
    with pytest.raises(ManifestError, match=r"other\.toml: name: .*expected 'other', got 'tiny'"):
        manifest.read(path)


def test_a_file_that_cannot_be_read_is_a_manifest_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.toml", Path(os.devnull)):
        with pytest.raises(ManifestError, match="cannot be read"):
            manifest.read(path)


def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte
    with pytest.raises(ManifestError, match="too large"):
        manifest.read(path)
