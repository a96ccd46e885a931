"""Terms have a digest; their acceptance is of that very text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dsets.fetch import terms
from tests.fetch.conftest import manifest_of


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
