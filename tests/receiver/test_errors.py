"""Errors: what of them may be logged."""

from __future__ import annotations

import pytest

from receiver import errors

ECHO = "cannot store prompt 'a secret of the client'"


@pytest.mark.parametrize(
    ("failure", "summary"),
    [
        (errors.UpstreamStatusError("POST /agent/v1/run", 500, ECHO), "POST /agent/v1/run: 500"),
        (errors.UpstreamUnreachable("POST /agent/v1/run", ECHO), "POST /agent/v1/run: UpstreamUnreachable"),
        (
            errors.ResponseTooLarge("GET /agent/v1/run/{id}/details", ECHO),
            "GET /agent/v1/run/{id}/details: ResponseTooLarge",
        ),
    ],
)
def test_a_summary_for_the_log_holds_no_words_of_the_upstream(failure: errors.UpstreamError, summary: str) -> None:
    assert failure.summary == summary
    assert ECHO in str(failure)
