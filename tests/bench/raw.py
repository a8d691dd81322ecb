"""The peer of the settling of runs: a script that writes the rows and words of stored runs with sqlite3 alone.

It copies what the product wrote. Reading, parsing, hashing, compressing and splitting into words come before its
clock starts.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from storage.engine import connections
from storage.migrations import schema_version
from storage.search import index, passages
from storage.tables.declare import ROWS_PER_RUN

#: Runs of one transaction.
GROUP = 8
#: Tables that have rows of a run, and the condition that selects them.
_OWNED = {
    "runs": "seq = :seq",
    "run_documents": "run_id = :id",
    "run_steps": "id >= :low AND id < :high",
    "run_usage": "id >= :low AND id < :high",
    "run_tools": "run_seq = :seq",
    "ledger_entries": "run_id = :id AND kind = 'run.completed'",
    "passages": "id >= :low AND id < :high",
}
_WORDS = "INSERT INTO passage_words (rowid, words) VALUES (?, ?)"

#: Statements, each with the values of its rows.
_Writes = list[tuple[str, list[tuple[Any, ...]]]]


class Copy:
    """A database of the same schema as `source`, to which runs are copied."""

    def __init__(self, path: Path, source: Path) -> None:
        self._path, self._source = path, source
        engine = connections.engine(f"sqlite:///{path}", readonly=False, connections=1)
        with engine.begin() as connection:
            schema_version.upgrade(connection)
        engine.dispose()

    def write(self, run_ids: Sequence[str]) -> float:
        """Copy runs; return the seconds that the writing took."""
        writes = self._read(run_ids)
        target = sqlite3.connect(self._path, isolation_level=None)
        for name, value in connections.PRAGMAS.items():
            target.execute(f"PRAGMA {name} = {value}")
        began = time.perf_counter()
        for first in range(0, len(writes), GROUP):
            target.execute("BEGIN IMMEDIATE")
            for statement, rows in (each for run in writes[first : first + GROUP] for each in run):
                target.executemany(statement, rows)
            target.execute("COMMIT")
        seconds = time.perf_counter() - began
        target.close()
        return seconds

    def _read(self, run_ids: Sequence[str]) -> list[_Writes]:
        source = sqlite3.connect(self._source)
        sums = _insert(source, "rollup_sums", "true", {}, verb="INSERT OR REPLACE")
        engine = connections.engine(f"sqlite:///{self._source}", readonly=True, connections=1)
        with engine.connect() as connection:
            writes = [[*_of_run(source, connection, id_), sums] for id_ in run_ids]
        engine.dispose()
        source.close()
        return writes


def _of_run(source: sqlite3.Connection, connection: Connection, run_id: str) -> Iterator[Any]:
    """Yield what writes one run again."""
    (seq,) = source.execute("SELECT seq FROM runs WHERE id = ?", (run_id,)).fetchone()
    named = {"id": run_id, "seq": seq, "low": seq * ROWS_PER_RUN, "high": (seq + 1) * ROWS_PER_RUN}
    for table, which in _OWNED.items():
        yield _insert(source, table, which, named)
    words = enumerate(passages.of(index.texts(connection, seq)), named["low"])
    yield _WORDS, [(id_, " ".join(each.words)) for id_, each in words]


def _insert(
    source: sqlite3.Connection, table: str, which: str, named: dict[str, Any], verb: str = "INSERT"
) -> tuple[str, list[tuple[Any, ...]]]:
    rows = source.execute(f"SELECT * FROM {table} WHERE {which}", named)
    marks = ", ".join("?" * len(rows.description))
    return f"{verb} INTO {table} VALUES ({marks})", rows.fetchall()
