"""Derive why a run failed or a request was refused from what the upstream answers.

The upstream has no error field for runs, and three forms of error bodies for requests (besides HTML and nothing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

LONGEST_FAILURE = 2000  # characters
LONGEST_MESSAGE = 300  # characters
_MOST_BYTES = 16_384
_TAIL = 1 << 20  # characters at the end of a log that are searched
_ERROR = re.compile(r"\b(error|exception|fatal)\b", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>")
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)
_LINE_END = re.compile(r"[\r\n]+")
_UNPRINTABLE = re.compile("[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")


def failure(
    issues: Iterable[str], logs: Iterable[str | None], step_texts: Iterable[str], runtime_state: str | None
) -> tuple[str | None, str | None]:
    """Return the likeliest reason of a failed run and its source: `issues|logs|steps|runtimeState`.

    `step_texts` are the texts of the steps, the last one first. Both values are None where nothing gives a reason.
    """
    found = (
        ("issues", "; ".join(issue.strip() for issue in issues if issue.strip())),
        ("logs", next((line for log in logs for line in _last_line(log)), "")),
        ("steps", next((words.strip() for words in step_texts if words.strip()), "")),
        ("runtimeState", (runtime_state or "").strip()),
    )
    return next(((text[:LONGEST_FAILURE], source) for source, text in found if text), (None, None))


def _last_line(log: str | None) -> Iterator[str]:
    """Yield the last line that mentions an error, then the last lines: later lines are often consequences.

    Only the end of a log is searched: all of it may be tens of megabytes.
    """
    lines = [line.strip() for line in reversed(_LINE_END.split((log or "")[-_TAIL:])) if line.strip()]
    yield from (line for line in lines if _ERROR.search(line))
    yield from lines


def error_message(body: bytes) -> str:
    """Return the message of an error body on one line of at most 300 characters; empty where there is none.

    Never raises. The forms are `{statusCode, statusMessage, message}`, `{"error": {message, type, code}}` and
    `{"error": "text"}`; `error` may also be plain true. Any other text is returned without its markup.
    """
    text = body[:_MOST_BYTES].decode("utf-8", "replace")
    try:
        parsed = json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        title = _TITLE.search(text)
        return one_line(title[1] if title and title[1].strip() else _MARKUP.sub(" ", text))
    candidates = _messages(parsed) if isinstance(parsed, dict) else (parsed,)
    return next((line for value in candidates if isinstance(value, str) and (line := one_line(value))), "")


def _messages(parsed: Mapping[str, object]) -> tuple[object, ...]:
    error = parsed.get("error")
    inner = error if isinstance(error, dict) else {}
    names = ("message", "type", "code")
    return (*(inner.get(name) for name in names), parsed.get("message"), error, parsed.get("statusMessage"))


def one_line(text: str) -> str:
    """Return the text on one line of at most 300 characters, without control characters."""
    return _UNPRINTABLE.sub(" ", text).strip()[:LONGEST_MESSAGE]
