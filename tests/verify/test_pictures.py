"""Pictures judged in threads: every one, in order, with no more of them in memory than is said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dsets import codecs, pipeline
from dsets.errors import DataError
from dsets.readers import Sample
from dsets.verify import pictures

NOISE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
JPEG = codecs.encode_jpeg(NOISE, 90)
PNG = codecs.encode_png(NOISE)
BAD = {
    "nothing": b"",
    "a page": b"<html>",
    "a cut JPEG": JPEG[:300],
    "a JPEG cut near its end": JPEG[:-20],
    "a header and zeros": JPEG[:20] + bytes(500),
    "a cut PNG": PNG[: len(PNG) // 2],
}


def wrong(data: bytes) -> DataError | None:
    (found,) = pictures.judged([(0, Sample("a", {"image": data}))])
    return found.wrong


@pytest.mark.parametrize("case", BAD)
def test_the_judgement_is_that_of_a_pipeline(case: str) -> None:
    found = wrong(BAD[case])
    with pytest.raises(DataError) as error:
        pipeline.load("shorter256").make(Sample("a", {"image": BAD[case], "label": np.int64(0)}))
    assert found is not None and found.what == error.value.what and found.got


def test_pictures_that_can_be_decoded_are_right() -> None:
    assert [wrong(data) for data in (JPEG, PNG)] == [None, None]


def test_rows_keep_their_order_and_few_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAITING_BYTES", 3 * len(JPEG))
    given = 0

    def rows() -> Iterator[tuple[int, Sample | DataError]]:
        nonlocal given
        for row in range(50):
            given += 1
            yield row, Sample(str(row), {"image": JPEG if row % 7 else b"x"})
        yield 50, DataError("damaged")

    for number, one in enumerate(pictures.judged(rows())):
        assert one.row == number and given <= number + 6
        assert bool(one.wrong) == (number < 50 and number % 7 == 0)
    assert given == 50


def test_the_picture_of_a_sample_with_another_problem_is_left_alone() -> None:
    sample = Sample("a", {"image": b"x"}, DataError("a bad box"))
    (found,) = pictures.judged([(3, sample)])
    assert found == (3, sample, None)
