"""Values are checked against their fields: what fits goes in unchanged, nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsets.errors import PipelineError
from dsets.field import Field
from dsets.prepare.columns import Columns, checked

IMAGE = Field("image", "uint8", (2, 3, 1))
LABEL = Field("label", "int64", ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (LABEL, 7),
        (LABEL, np.int64(7)),
        (LABEL, -(2**63)),
        (Field("x", "uint8", ()), 255),
        (Field("x", "bool", ()), True),
        (Field("x", "float32", ()), 0.1),
        (Field("x", "float16", ()), float("nan")),
        (Field("x", "uint8", (None,)), b"abc"),
        (Field("x", "uint8", (None,)), b""),
        (Field("x", "float32", (None, 4)), np.zeros((0, 4), np.float32)),
        (IMAGE, np.arange(6, dtype=np.uint8).reshape(2, 3, 1)),
        (IMAGE, np.arange(12, dtype=np.uint8).reshape(2, 6, 1)[:, ::2]),
    ],
)
def test_a_value_that_fits_is_kept(field: Field, value: Any) -> None:
    (array,) = checked("k", [field], {field.name: value})
    assert array.dtype == np.dtype(field.dtype) and array.ndim == len(field.shape)
    if not isinstance(value, bytes):
        np.testing.assert_array_equal(array, np.asarray(value, field.dtype))
    else:
        assert array.tobytes() == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (LABEL, 1.5),
        (LABEL, True),
        (LABEL, 2**63),
        (LABEL, 2**70),
        (LABEL, None),
        (LABEL, "7"),
        (LABEL, [7]),
        (LABEL, np.int32(7)),
        (LABEL, np.array(7, ">i8")),
        (Field("x", "uint8", ()), 256),
        (Field("x", "uint64", ()), -1),
        (Field("x", "bool", ()), 1),
        (Field("x", "int8", (None,)), b"abc"),
        (Field("x", "uint8", (3, 4)), b"abc"),
        (IMAGE, np.zeros((3, 2, 1), np.uint8)),
        (IMAGE, np.zeros((2, 3), np.uint8)),
        (IMAGE, np.zeros((2, 3, 1), np.float32)),
        (IMAGE, object()),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_sample_and_field(field: Field, value: Any) -> None:
    with pytest.raises(PipelineError) as error:
        checked("train/7", [field], {field.name: value})
    assert error.value.where == "train/7"
    assert error.value.expected == str(field)


@pytest.mark.parametrize("made", [None, [1], {}, {"Label": 1}])
def test_anything_but_a_value_for_each_field_is_refused(made: Any) -> None:
    with pytest.raises(PipelineError, match="k: make"):
        checked("k", [LABEL], made)


def test_values_of_other_names_are_left_out() -> None:
    assert len(checked("k", [LABEL], {"label": 1, "more": object()})) == 1


def test_columns_hold_what_was_put_in_order_and_no_more() -> None:
    blob = Field("blob", "uint8", (None,))
    columns = Columns([LABEL, blob], 5)
    for number in (4, 0, 3):
        made = {"label": number, "blob": bytes(number)}
        columns.put(number, f"k{number}", checked("k", [LABEL, blob], made))
    for _ in range(2):
        filled = columns.filled()
        assert columns.keys == ["k0", "k3", "k4"]
        assert np.asarray(filled["label"]).tolist() == [0, 3, 4]
        assert [len(value) for value in filled["blob"]] == [0, 3, 4]
    columns.clear()
    assert columns.keys == [] and len(columns.filled()["blob"]) == 0
