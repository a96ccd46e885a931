"""Terms have a digest; their acceptance is of that very text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsets import fetch
from dsets.errors import TermsError
from dsets.fetch import terms
from tests.fetch.conftest import DATA, file_of, manifest_of


def test_an_acceptance_is_kept_with_the_texts_digest() -> None:
    manifest = replace(manifest_of(), citation="Nobody, 2026.")
    assert terms.accepted(manifest) is None
    made = terms.accept(manifest, "asked")
    assert made.text == (
        "licence: CC0\naccess: open\nhomepage: http://127.0.0.1/home\nattribution: Nobody, 2026.\n"
    )
    assert terms.accepted(manifest) == made and made.sha256 == terms.of(manifest).sha256


def test_the_first_acceptance_stays() -> None:
    first = terms.accept(manifest_of(), "asked")
    assert terms.accept(manifest_of(), "--accept-terms") == first


def test_other_terms_were_not_accepted() -> None:
    terms.accept(manifest_of(), "asked")
    assert terms.accepted(replace(manifest_of(), licence="all rights reserved")) is None
    assert terms.accepted(manifest_of(access="login")) is None


@pytest.mark.parametrize("junk", [b"", b"[]", b'{"dataset": "tiny"}', b"\xff", b"[" * 100_000])
def test_a_mangled_record_counts_as_none(junk: bytes) -> None:
    path = terms.path("tiny")
    path.parent.mkdir(parents=True)
    path.write_bytes(junk)
    assert terms.accepted(manifest_of()) is None


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "a.bin").write_bytes(DATA)
    return str(folder)


def _get(access: str, mirror: str, folder: Path, **how: Any) -> None:
    manifest = manifest_of(file_of(DATA), access=access)
    fetch.files(fetch.plan(manifest, folder, mirrors=[mirror]), **how)


@pytest.mark.filterwarnings("error")
def test_open_terms_are_shown_once_and_recorded(mirror: str, folder: Path) -> None:
    with pytest.warns(terms.TermsWarning, match="licence: CC0; access: open"):
        _get("open", mirror, folder)
    found = terms.accepted(manifest_of())
    assert found and found.how == "fetched"
    (folder / "a.bin").unlink()
    _get("open", mirror, folder)


def test_closed_terms_want_a_word_before_the_first_byte(mirror: str, folder: Path) -> None:
    with pytest.raises(TermsError, match="accept_terms=True"):
        _get("login", mirror, folder)
    assert not folder.exists() and terms.accepted(manifest_of(access="login")) is None
    _get("login", mirror, folder, accept_terms=True)
    found = terms.accepted(manifest_of(access="login"))
    assert found and found.how == "accept_terms"


@pytest.mark.parametrize("access", ["open", "on request"])
def test_a_function_is_shown_the_terms_and_decides(access: str, mirror: str, folder: Path) -> None:
    shown: list[terms.Terms] = []

    def decide(those: terms.Terms) -> bool:
        shown.append(those)
        return len(shown) > 1

    with pytest.raises(TermsError):
        _get(access, mirror, folder, accept_terms=decide)
    _get(access, mirror, folder, accept_terms=decide)
    assert shown == [terms.of(manifest_of(access=access))] * 2
    found = terms.accepted(manifest_of(access=access))
    assert found and found.how == "asked" and found.sha256 == shown[0].sha256


@pytest.mark.filterwarnings("error")
def test_what_is_here_asks_for_nothing(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(DATA)
    fetch.files(fetch.plan(manifest_of(file_of(DATA), access="login"), folder))
