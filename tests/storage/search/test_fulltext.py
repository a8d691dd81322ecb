"""The words of an index of SQLite: how much a transaction writes that changes them."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from sqlalchemy import Connection

from storage.engine import sqlite_driver
from storage.engine.database import Database
from storage.search import fulltext, passages

pytestmark = pytest.mark.anyio

_SEGMENTS = "SELECT count(DISTINCT segid) FROM passage_words_idx"


def _add(connection: Connection, rows: list[fulltext.Row]) -> int:
    """Add the words; return how many rows, FTS5's own included, all transactions before this one wrote."""
    written = sqlite_driver.of(connection).total_changes
    fulltext.add_words(connection, rows)
    return written


async def test_no_transaction_merges_much_of_the_index_and_no_segments_pile_up(embedded: Database) -> None:
    chosen, written = random.Random(1), list[int]()
    for first in range(0, 1500, 5):
        words = [[f"w{int(chosen.paretovariate(0.3)) % 50_000}" for _ in range(passages.SPAN)] for _ in range(5)]
        written.append(await embedded.write(_add, list(enumerate(words, first))))
    # FTS5 on its own writes 590 rows in one of these transactions, and leaves up to 21 segments.
    assert max(after - before for before, after in pairwise(written)) < 250
    assert await embedded.read(lambda opened: opened.exec_driver_sql(_SEGMENTS).scalar_one()) < 16
