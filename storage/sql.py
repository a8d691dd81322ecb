"""Anybody's own SQL, to read: one statement, within bounds, of what `readable` lists."""

from __future__ import annotations

import asyncio
import re

from storage import dialect, errors, readable
from storage.dialect import Answer, Bounds, Statement, Value

__all__ = ["ROWS", "Answer", "Bounds", "Desk", "Statement", "Value", "ask"]

#: Rows of an answer at most; characters of a statement.
ROWS = 10_000
CHARACTERS = 100_000
#: How many statements are under way at once in one process.
PLACES = 2
_INTEGERS = range(-(2**63), 2**63)

#: The first word behind spaces, comments and parentheses.
_FIRST = re.compile(r"(?:[\s(]+|--[^\n]*(?:\n|$)|/\*.*?\*/)*+([A-Za-z]\w*)", re.DOTALL)
_QUESTIONS = ("SELECT", "WITH", "VALUES")


def ask(url: str, statement: Statement, bounds: Bounds | None = None) -> Answer:
    """What the database at `url` answers: of a file itself, of a server to the role that the address names.

    Raises BadStatement, NotReadable, TooSlow, Unavailable, Unconfined.
    """
    _demand_sound(statement)
    columns = readable.columns()
    return dialect.asked(url, statement, bounds or Bounds(), columns, readable.SCHEMA)


def _demand_sound(statement: Statement) -> None:
    """What no database should have to look at."""
    if len(statement.text) > CHARACTERS:
        raise errors.BadStatement(statement.text, f"it is longer than {CHARACTERS} characters")
    for text in (statement.text, *(each for each in statement.parameters if isinstance(each, str))):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise errors.BadStatement(statement.text, "it holds NUL, or half of a surrogate pair")
    for number in (each for each in statement.parameters if isinstance(each, int)):
        if number not in _INTEGERS:
            raise errors.BadStatement(statement.text, f"the parameter {number} does not fit into 64 bits")
    first = _FIRST.match(statement.text)
    if first is not None and first[1].upper() not in _QUESTIONS:
        raise errors.NotReadable(f"{first[1][:40].upper()} cannot be used here: ask with SELECT, WITH or VALUES")


class Desk:
    """Where the statements of a server's callers are carried out, a few at a time, each in a thread."""

    def __init__(self, url: str, bounds: Bounds | None = None) -> None:
        self._url = url
        self._bounds = bounds
        self._busy = 0

    async def ask(self, statement: Statement) -> Answer:
        """As `ask`. Raises Busy as well: who has to wait asks again."""
        if self._busy >= PLACES:
            raise errors.Busy(f"{PLACES} statements are under way")
        self._busy += 1
        try:
            return await asyncio.to_thread(ask, self._url, statement, self._bounds)
        finally:
            self._busy -= 1
