"""The message in an error body."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from receiver.upstream import failure_reasons


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"statusCode":404,"statusMessage":"Not Found","message":"Run not found"}', "Run not found"),
        (b'{"statusCode":404,"statusMessage":"Not Found"}', "Not Found"),
        (b'{"error":{"message":"Rate limited","type":"rate_limit","code":"429"}}', "Rate limited"),
        (b'{"error":{"type":"rate_limit","message":null}}', "rate_limit"),
        (b'{"error":"No agent access"}', "No agent access"),
        (b'{"error":true,"message":"Invalid API key"}', "Invalid API key"),
        (b'{"error":true,"statusMessage":"Unauthorized","message":" "}', "Unauthorized"),
        (b'{"message":"one\\r\\n two\\u0000\\u001b[31m\\ud800"}', "one two [31m"),
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"<h1>Bad</h1>\n<p>gateway</p>", "Bad gateway"),
        (b'{"message":"cut', '{"message":"cut'),
        (b'"just text"', "just text"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"[]", ""),
        (b"{}", ""),
        (b"<" * 50_000, "<" * 300),
    ],
)
def test_an_error_body_is_reported_on_one_line(body: bytes, message: str) -> None:
    assert failure_reasons.error_message(body) == message


def test_of_a_log_the_end_is_looked_through() -> None:
    log = "Error: long ago\n" + "fine\n" * 500_000
    assert failure_reasons.failure([], [log, None], [], None) == ("fine", "logs")
    assert failure_reasons.failure([], [log + "Error: now\nfine\n"], [], None) == ("Error: now", "logs")


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(strategies.binary() | strategies.text().map(lambda text: f'{{"error":"{text}"}}'.encode()))
def test_no_error_body_raises_or_runs_over(body: bytes) -> None:
    message = failure_reasons.error_message(body)
    assert len(message) <= 300
    assert len(message.splitlines()) <= 1


def test_a_deep_or_long_body_is_read() -> None:
    assert len(failure_reasons.error_message(b"[" * 200_000)) <= 300
    assert len(failure_reasons.error_message(b'{"message":"' + b"x" * 1_000_000 + b'"}')) <= 300
