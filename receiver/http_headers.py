"""Read HTTP headers: when to retry, rate limits, and the preferred form of an answer."""

from __future__ import annotations

import email.utils
import http
import re
from collections.abc import Mapping, Sequence
from datetime import UTC

from storage import bounds

MAX_WAIT = 3600.0  # seconds; a longer wait is cut to it
_LONGEST_WINDOW = 300.0
_MOST_AHEAD = bounds.AHEAD.total_seconds()
_LONGEST_AGO = 1e9
_MOST_LIMITS = 16
_LONGEST_NAME = 64
_LONGEST_VALUE = 128
_WEIGHT = re.compile(r"(?:^|;)\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,32}(?:\.[0-9]{1,9})?")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait that `Retry-After` names, in seconds from 0 to 3600, or None.

    It is given as seconds or as an HTTP date (RFC 9110, 10.2.3). A date counts from the answer's own `Date`, else
    from `now` (Unix seconds). None for a date that has passed, for any wait of more than a year, for junk, and
    where the header is missing.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_WAIT) if float(value) <= _MOST_AHEAD else None
    until, sent = _unix(value, now), _unix(headers.get("date", ""), now)
    if until is None:
        return None
    wait = until - (now if sent is None else sent)
    return min(wait, MAX_WAIT) if wait >= 0 else None


def phrase(status: int) -> str:
    """Return the standard phrase of a status; empty for an unknown one."""
    return http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""


def rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the `x-ratelimit-*` headers by their lower-case names, bounded in number and length."""
    found = [(name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-ratelimit-")]
    return {name[:_LONGEST_NAME]: value[:_LONGEST_VALUE] for name, value in found[:_MOST_LIMITS]}


def exhausted_until(limits: Mapping[str, str], now: float) -> float | None:
    """Return until when (Unix seconds) the rate limit is used up; None while calls are left, or for junk.

    `x-ratelimit-reset` is undocumented: a small number is read as seconds from `now`, a large one as a moment. The
    wait is cut to five minutes; one of more than a year is junk.
    """
    left, reset = limits.get("x-ratelimit-remaining", ""), limits.get("x-ratelimit-reset", "")
    if not (_SECONDS.fullmatch(left) and float(left) < 1 and _SECONDS.fullmatch(reset)):
        return None
    until = float(reset) if float(reset) > _LONGEST_AGO else now + float(reset)
    return min(until, now + _LONGEST_WINDOW) if now < until <= now + _MOST_AHEAD else None


def prefers(accept: Sequence[str], one: str, other: str) -> bool:
    """Return whether `Accept` (RFC 9110, 12.5.1) names `one` and gives `other` no higher weight.

    >>> prefers(["text/event-stream"], "text/event-stream", "application/json")
    True
    >>> prefers(["text/event-stream;q=0.5, application/json"], "text/event-stream", "application/json")
    False
    >>> prefers(["*/*"], "text/event-stream", "application/json")
    False
    """
    weights = {one: 0.0, other: 0.0}
    for item in ",".join(accept).split(","):
        name, _, parameters = item.partition(";")
        if (name := name.strip().lower()) in weights:
            found = _WEIGHT.search(parameters)
            weights[name] = float(found[1]) if found else 1.0
    return weights[one] > 0 and weights[one] >= weights[other]


def _unix(date: str, now: float) -> float | None:
    """Return a date within a year of `now`, else None: an old rule for two digits reads the year 0001 as 2001."""
    try:
        moment = email.utils.parsedate_to_datetime(date[:_LONGEST_NAME])
        timestamp = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return timestamp if abs(timestamp - now) <= _MOST_AHEAD else None
