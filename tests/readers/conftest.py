"""No test sees what another one decoded or opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dsets.readers import _coco_index
from dsets.readers._cache import DECODED


@pytest.fixture(autouse=True)
def nothing_decoded() -> Iterator[None]:
    DECODED.clear()
    _coco_index._OPEN.clear()
    yield
    DECODED.clear()
