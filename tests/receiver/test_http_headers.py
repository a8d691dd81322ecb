"""`Retry-After`, in both of its forms."""

from __future__ import annotations

import email.utils

import httpx2 as httpx
import hypothesis
import pytest
from hypothesis import strategies

from receiver import http_headers

NOW = 1_795_435_200.0
DATE = email.utils.formatdate(NOW, usegmt=True)
SOON = email.utils.formatdate(NOW + 90, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("120", 120), (" 1.5 ", 1.5), ("3601", 3600), ("86400", 3600),
        ("99999999999", None), ("9" * 30, None),
        ("-1", None), ("+1", None), ("٣", None), ("1e3", None), ("soon", None), ("", None), ("9" * 5000, None),
        (SOON, 90), (DATE, 0),
        (email.utils.formatdate(NOW - 1, usegmt=True), None),
        (email.utils.formatdate(NOW + 10**6, usegmt=True), 3600),
        ("Mon, 99 Foo 99999 99:99:99 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None), ("Mon, 01 Jan 0001 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_within_an_hour_or_none(value: str, seconds: float | None) -> None:
    assert http_headers.retry_after({"retry-after": value}, NOW) == seconds


def test_a_date_counts_from_the_clock_that_wrote_it() -> None:
    assert http_headers.retry_after({"retry-after": SOON, "date": DATE}, NOW + 10_000) == 90


@pytest.mark.parametrize("date", ["Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", ""])
def test_a_date_counts_from_our_clock_where_that_of_the_answer_cannot_be(date: str) -> None:
    assert http_headers.retry_after({"retry-after": SOON, "date": date}, NOW) == 90


def test_no_header_asks_for_nothing() -> None:
    assert http_headers.retry_after({}, NOW) is None


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(strategies.text(), strategies.text())
def test_no_header_raises(value: str, date: str) -> None:
    wait = http_headers.retry_after({"retry-after": value, "date": date}, NOW)
    assert wait is None or 0 <= wait <= http_headers.MAX_WAIT


def test_rate_limits_are_taken_in_bounds() -> None:
    many = {f"X-RateLimit-{number}": "9" * 500 for number in range(50)}
    taken = http_headers.rate_limits(httpx.Headers({**many, "x-other": "1"}))
    assert len(taken) == 16
    assert taken["x-ratelimit-0"] == "9" * 128


@pytest.mark.parametrize(
    ("left", "reset", "wait"),
    [
        ("0", "30", 30),
        ("0", str(int(NOW) + 45), 45),
        ("0", str(int(NOW) + 10**6), 300),
        ("0", "100000", 300),
        ("0", "99999999999", None),
        ("1", "30", None),
        ("0", "1600000000", None),
        ("0", "", None),
        ("", "30", None),
        ("-1", "30", None),
        ("none", "soon", None),
    ],
)
def test_a_spent_window_is_waited_for_within_bounds(left: str, reset: str, wait: float | None) -> None:
    until = http_headers.exhausted_until({"x-ratelimit-remaining": left, "x-ratelimit-reset": reset}, NOW)
    assert (None if until is None else until - NOW) == wait
