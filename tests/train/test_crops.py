from __future__ import annotations

import pytest
import torch

from dsets.train.crops import average_softmax, flat


def test_the_prediction_is_the_mean_of_the_crops_softmax() -> None:
    images = torch.arange(2 * 10 * 3.0).reshape(2, 10, 3, 1, 1)
    scores = flat(images).flatten(1)
    found = average_softmax(scores)
    wanted = torch.stack([scores[n * 10 : n * 10 + 10].softmax(1).mean(0) for n in range(2)])
    assert found.shape == (2, 3) and torch.allclose(found, wanted)
    assert torch.allclose(found.sum(1), torch.ones(2))
    with pytest.raises(ValueError, match="expected"):
        average_softmax(scores[:19])
