"""What an answer's headers say: when to come again, and what tells that a file changed."""

from __future__ import annotations

import pytest

from dsets.fetch import Patience
from dsets.fetch.answers import Refused, retry_after, validator


def test_pauses_grow_within_bounds_and_heed_the_server() -> None:
    patience = Patience(pause_s=0.5, longest_pause_s=30, longest_wait_s=120)
    assert [patience.pause(n, None, 1.0) for n in (1, 2, 3, 7, 60)] == [0.5, 1, 2, 30, 30]
    assert patience.pause(3, None, 0.0) == 0
    assert patience.pause(1, 20.0, 1.0) == 20
    with pytest.raises(Refused):
        patience.pause(1, 121.0, 0.5)


def test_retry_after_may_be_seconds_or_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert (retry_after("Fri, 01 Jan 2100 00:00:00 GMT") or 0) > 1e9
    assert retry_after(None) is retry_after("soon") is retry_after("-1") is None


def test_only_strong_validators_are_remembered() -> None:
    date = "Mon, 01 Jan 2024 00:10:00 GMT"
    assert validator({"ETag": '"a"', "Last-Modified": date, "Date": date}) == '"a"'
    assert validator({"ETag": 'W/"a"'}) is None
    assert validator({"ETag": 'a\r\nX: "'}) is None
    old = "Mon, 01 Jan 2024 00:08:00 GMT"
    assert validator({"ETag": 'W/"a"', "Last-Modified": old, "Date": date}) == old
    assert validator({"Last-Modified": date, "Date": date}) is None
    assert validator({"Last-Modified": old}) is None
