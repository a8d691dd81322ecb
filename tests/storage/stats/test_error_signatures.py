"""Forms of reasons: alike ones are equal, and none takes long."""

from __future__ import annotations

import pytest

from storage.stats import error_signatures


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("run_01hx: timed out  after 300.5s", "#: timed out after #"),
        ("HTTP 503 from 10.0.0.7:443", "HTTP 503 from #"),
        ("x-error 500", "x-error 500"),
        ("status=404-a1 b-1-c", "status=404# #"),
        ("no-digits-here", "no-digits-here"),
    ],
)
def test_ids_numbers_and_times_are_left_out_and_codes_stay(reason: str, expected: str) -> None:
    assert error_signatures.signature(reason) == expected


@pytest.mark.parametrize("filling", ["a", "-", "--a", "a-error ", "1.a"])
def test_thousands_of_reasons_that_nearly_have_a_digit_are_read_once_each(filling: str) -> None:
    text = filling * error_signatures.MAX_READ
    forms = {error_signatures.signature(f"{number % 10}{text}"[number % 2 :]) for number in range(5000)}
    assert all(len(each) <= error_signatures.MAX_SIGNATURE for each in forms)
