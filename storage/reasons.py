"""Reasons of failure in a form in which alike ones are equal. Pure."""

from __future__ import annotations

import re

#: Characters of a reason that are read, and of its form.
READ, LENGTH = 400, 160
#: What stands for a name, a number, an id.
PLACE = "#"

_CODE = r"(?:http|status|code|error)[\s:=/#(]{1,3}\d{3}(?!\w)"
#: It begins where its run of characters does, or behind a code: no run is looked through more than once.
_VARIABLE = r"(?:(?<![\w-])|(?<=\d)(?=-))[\w-]*\d[\w-]*(?:[.:]\d[\w-]*)*"
_PART = re.compile(rf"(?P<code>\b{_CODE})|{_VARIABLE}", re.IGNORECASE)


def form(reason: str) -> str:
    """A reason with its ids, numbers and times left out, in one line; codes of HTTP stay.

    >>> form("run_01hx: timed out  after 300.5s")
    '#: timed out after #'
    >>> form("HTTP 503 from 10.0.0.7:443 at 2026-11-23T12:00:00Z")
    'HTTP 503 from # at #'
    """
    line = " ".join(reason[:READ].split())
    return _PART.sub(lambda part: part["code"] or PLACE, line)[:LENGTH]
