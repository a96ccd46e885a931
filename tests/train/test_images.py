"""What a model sees of a pack, against the transforms spelled out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import stream
from dsets.errors import UsageError
from dsets.pack import Pack
from dsets.train.images import Images
from dsets.transforms import (
    CentreCrop,
    Normalise,
    PadCrop,
    RandomResizedCrop,
    alexnet_test,
    alexnet_train,
)
from tests.train.packs import make_pack

ALEXNET = Images(crop="random", size=12, flip=True, lighting=0.1, subtract="mean-image")


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack.open(make_pack(tmp_path / "train", samples=24, shape=(16, 16, 3)))


def seen(pack: Pack, transform: list[Any]) -> np.ndarray[Any, Any]:
    with stream.batches(pack, 8, seed=5, transform=transform) as batches:
        return np.concatenate([batch["image"].copy() for batch in batches])


def test_alexnets_images_are_those_of_the_paper(pack: Pack) -> None:
    np.testing.assert_array_equal(
        seen(pack, ALEXNET.training(pack)), seen(pack, alexnet_train(pack, 12))
    )
    np.testing.assert_array_equal(
        seen(pack, ALEXNET.evaluation(pack, 12)), seen(pack, alexnet_test(pack, 12))
    )


def test_evaluation_sees_the_centre_of_what_training_cuts(pack: Pack) -> None:
    for crop in ("random", "resized"):
        chosen = Images(crop=crop, size=12, flip=True).evaluation(pack)
        assert chosen == [CentreCrop(12), Normalise.of(pack)]
    for crop, padding in (("none", 0), ("pad", 2)):
        assert Images(crop=crop, padding=padding, flip=True).evaluation(pack) == [
            Normalise.of(pack)
        ]


def test_padding_and_boxes_are_as_said(pack: Pack) -> None:
    padded = Images(crop="pad", padding=4).training(pack)
    assert padded == [PadCrop(4), Normalise.of(pack)]
    boxes = Images(crop="resized", size=9, area=0.3).training(pack)
    assert boxes == [RandomResizedCrop(9, (0.3, 1.0)), Normalise.of(pack)]


def test_mean_subtracts_what_standardise_does_and_divides_by_nothing(pack: Pack) -> None:
    plain, standard = (
        seen(pack, Images(subtract=kind).training(pack)) for kind in ("mean", "standardise")
    )
    deviation = np.array(Normalise.of(pack).std)[:, None, None]
    np.testing.assert_allclose(plain, standard * deviation, atol=1e-3)


def test_the_model_sees_windows_of_the_size(pack: Pack) -> None:
    (image,) = (field for field in pack.fields if field.name == "image")
    assert Images().shape(image) == (16, 16, 3)
    assert ALEXNET.shape(image) == (12, 12, 3)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (
            {"padding": 4},
            'padding belongs to another crop; expected crop "pad", or no padding, '
            'got crop "none", padding 4',
        ),
        (
            {"size": 24, "crop": "pad", "padding": 4},
            'size belongs to another crop; expected crop "random" or "resized", or no size, '
            'got crop "pad", size 24',
        ),
        ({"crop": "pad"}, "bad padding; expected from 1 to 1000, got 0"),
        ({"crop": "random"}, "bad size; expected from 1 to 100000, got 0"),
    ],
)
def test_what_belongs_to_another_crop_is_refused_with_its_name(
    values: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(what)):
        Images(**values)
