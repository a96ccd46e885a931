"""No test sees what another one decoded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dsets.readers._cache import DECODED


@pytest.fixture(autouse=True)
def nothing_decoded() -> Iterator[None]:
    DECODED.clear()
    yield
    DECODED.clear()
