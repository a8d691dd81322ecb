"""Run users' SQL: one read-only statement, within limits, on the tables that `readable_columns` lists."""

from __future__ import annotations

import asyncio
import re

from storage import errors
from storage.user_sql import statements
from storage.user_sql.statements import Answer, Bounds, Statement

#: The most rows of a result, and the most characters of a statement.
ROWS = 10_000
CHARACTERS = 100_000
#: How many statements run at once in one process.
CONCURRENT_STATEMENTS = 2
_INTEGERS = range(-(2**63), 2**63)

#: The first word after spaces, comments and parentheses.
_FIRST = re.compile(r"(?:[\s(]+|--[^\n]*(?:\n|$)|/\*.*?\*/)*+([A-Za-z]\w*)", re.DOTALL)
_ALLOWED = ("SELECT", "WITH", "VALUES")


def run(url: str, statement: Statement, bounds: Bounds | None = None) -> Answer:
    """Run a statement on the database at `url`; on a server, by the role that the URL names.

    Raises BadStatement, NotReadable, StatementTimeout, Unavailable, RoleTooPowerful.
    """
    _require_acceptable(statement)
    return statements.execute(url, statement, bounds or Bounds())


def _require_acceptable(statement: Statement) -> None:
    """Raise BadStatement or NotReadable for a statement that no database needs to see."""
    if len(statement.text) > CHARACTERS:
        raise errors.BadStatement(statement.text, f"it is longer than {CHARACTERS} characters")
    for text in (statement.text, *(each for each in statement.parameters if isinstance(each, str))):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise errors.BadStatement(statement.text, "it contains NUL, or half of a surrogate pair")
    for number in (each for each in statement.parameters if isinstance(each, int)):
        if number not in _INTEGERS:
            raise errors.BadStatement(statement.text, f"the parameter {number} does not fit into 64 bits")
    first = _FIRST.match(statement.text)
    if first is not None and first[1].upper() not in _ALLOWED:
        raise errors.NotReadable(f"{first[1][:40].upper()} cannot be used here: use SELECT, WITH or VALUES")


class SqlRunner:
    """Runs the statements of API clients, a few at a time, each in a thread."""

    def __init__(self, url: str, bounds: Bounds | None = None) -> None:
        self._url = url
        self._bounds = bounds
        self._busy = 0

    async def run(self, statement: Statement) -> Answer:
        """Run a statement, as the function of this module does. Raises Busy as well, instead of waiting."""
        if self._busy >= CONCURRENT_STATEMENTS:
            raise errors.Busy(f"{CONCURRENT_STATEMENTS} statements are running: try again later")
        self._busy += 1
        try:
            return await asyncio.to_thread(run, self._url, statement, self._bounds)
        finally:
            self._busy -= 1
