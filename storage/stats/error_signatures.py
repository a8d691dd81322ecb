"""Signatures of failure reasons: reasons that differ only in names and numbers have the same one. Pure."""

from __future__ import annotations

import re

#: Characters of a reason that are read, and characters of its signature.
MAX_READ, MAX_SIGNATURE = 400, 160
#: The placeholder of a name, a number or an id.
PLACEHOLDER = "#"

_CODE = r"(?:http|status|code|error)[\s:=/#(]{1,3}\d{3}(?!\w)"
#: A match begins at the start of a word or behind a status code, so that no word is scanned twice.
_VARIABLE = r"(?:(?<![\w-])|(?<=\d)(?=-))[\w-]*\d[\w-]*(?:[.:]\d[\w-]*)*"
_PART = re.compile(rf"(?P<code>\b{_CODE})|{_VARIABLE}", re.IGNORECASE)


def signature(reason: str) -> str:
    """Return a reason in one line without its ids, numbers and times; HTTP status codes stay.

    >>> signature("run_01hx: timed out  after 300.5s")
    '#: timed out after #'
    >>> signature("HTTP 503 from 10.0.0.7:443 at 2026-11-23T12:00:00Z")
    'HTTP 503 from # at #'
    """
    line = " ".join(reason[:MAX_READ].split())
    return _PART.sub(lambda part: part["code"] or PLACEHOLDER, line)[:MAX_SIGNATURE]
