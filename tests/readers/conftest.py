"""No test sees what another one decoded or opened; some run with the extension and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dsets import extension
from dsets.readers import _coco_index
from dsets.readers._cache import DECODED


@pytest.fixture(autouse=True)
def nothing_decoded() -> Iterator[None]:
    DECODED.clear()
    _coco_index._OPEN.clear()
    yield
    DECODED.clear()


@pytest.fixture(params=["extension", "python"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extension and without it."""
    if request.param == "python":
        monkeypatch.setattr(extension, "native", None)
