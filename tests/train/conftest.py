"""One CPU thread, so that tests don't fight for cores; a folder of tiny packs, a tiny net."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dsets import models
from dsets.models import Model
from tests.train.packs import make_packs
from tests.train.runs import dropping


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return make_packs(tmp_path / "packs")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "tiny", Model(dropping, (16, 16, 1), 10, "for tests"))
