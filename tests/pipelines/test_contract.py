"""Every shipped pipeline keeps the contract; being in the folder is being tested."""

from __future__ import annotations

import importlib
import io

import numpy as np
import pytest
from PIL import Image

from dsets import manifest, pipeline
from dsets.field import Field
from dsets.prepare.columns import checked
from dsets.readers import Sample


def made_up(field: Field, number: int) -> np.ndarray | bytes:
    """A value as a reader gives it; bytes of varying size are an image as published."""
    if field.name in ("mask", "mask_ends"):  # of no objects
        return np.zeros(0, field.dtype)
    if field.dtype == "uint8" and field.shape == (None,):
        file = io.BytesIO()
        Image.new("RGB", (300 + number, 280), (number, 100, 200)).save(file, "JPEG")
        return file.getvalue()
    shape = tuple(3 if size is None else size for size in field.shape)
    return np.full(shape, number, field.dtype)


@pytest.mark.parametrize("name", pipeline.names())
def test_a_shipped_pipeline_is_documented_and_loads(name: str) -> None:
    found = pipeline.load(name)
    assert found.name == name
    assert importlib.import_module(f"dsets.pipelines.{name}").__doc__


@pytest.mark.parametrize(
    "name", [name for name in manifest.names() if manifest.find(name).pipeline]
)
def test_a_datasets_own_pipeline_makes_its_declared_fields_of_any_sample(name: str) -> None:
    found = manifest.find(name)
    recipe = pipeline.load(found.pipeline)
    fields = recipe.fields(found)
    for number in range(3):
        sample = Sample(f"train/{number}", {f.name: made_up(f, number) for f in found.fields})
        first = checked(sample.key, fields, recipe.make(sample))
        again = checked(sample.key, fields, recipe.make(sample))
        for one, other in zip(first, again, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", manifest.names())
def test_as_is_changes_no_value(name: str) -> None:
    found = manifest.find(name)
    sample = Sample("train/0", {f.name: made_up(f, 7) for f in found.fields})
    made = pipeline.load("as_is").make(sample)
    assert set(made) == set(sample.values)
    for field in found.fields:
        assert made[field.name] is sample.values[field.name]
