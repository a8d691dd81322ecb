"""Verify a store: its log, the rows under it, and the checkpoints that others have kept.

It reads the database in the caller's snapshot, with its own SQL, and in bounded memory.
"""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from receiver.verifier import public_forms
from receiver.verifier.store import arrived, checkpoints, decided, entry, log, records, signatures, source, types
from receiver.verifier.store.breaks import Report

#: Called with how much was checked and how much there is: entries and runs.
Progress = Callable[[int, int], None]
#: How many entries are checked between two calls.
STEP = 2000


def verify(
    connection: Any,
    trusted: signatures.Trusted,
    kept: Sequence[public_forms.Checkpoint] = (),
    *,
    since: int = 0,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Report:
    """Verify the store behind a driver's connection, which is in a transaction that sees one snapshot.

    `kept` are checkpoints from elsewhere. Of the entries below `since` only the hashes are checked, and of the
    rows only those of runs with later entries. Breaks are added to `report`, where that is given.
    """
    report = report or Report()
    before = copy.deepcopy(report)
    try:
        _verify(source.over(connection), trusted, kept, since, progress, report)
    except sqlite3.OperationalError as error:
        if not source.is_undecodable(error):
            raise
        vars(report).update(vars(before))
        _verify(source.over(connection, is_lenient=True), trusted, kept, since, progress, report)
    return report


def _verify(
    store: source.Source,
    trusted: signatures.Trusted,
    kept: Sequence[public_forms.Checkpoint],
    since: int,
    progress: Progress | None,
    report: Report,
) -> None:
    if store.is_embedded and not types.check(store, report):
        report.unchecked.append("all else: values of another type than their column keep it from being read")
        return
    count = _Count(store, since, progress)
    rows, few = arrived.Arrived(store, report), decided.Decided(store, report)

    def see(found: entry.Entry) -> None:
        rows.see(found)
        few.see(found)

    signed = checkpoints.Signed(store, report, trusted, [*kept])
    log.Log(store, report, signed, see, count.add).check(since)
    rows.finish(is_whole=not since)
    few.finish(is_whole=not since)
    records.Records(store, report, count.add).check(since)
    if since:
        report.unchecked.append(f"the bytes of the entries below {since}, and rows that only these know")


def bodies(connection: Any, below: int) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and the bytes of the entries below a number, in the caller's snapshot."""
    sql = (
        "SELECT leaf_index, body FROM ledger_entries WHERE leaf_index >= 0 AND leaf_index < ? ORDER BY leaf_index"
    )
    for number, body in source.over(connection, is_lenient=True).stream(sql, below):
        yield number, entry.encoded(body)


class _Count:
    def __init__(self, store: source.Source, since: int, progress: Progress | None) -> None:
        self._done = self._shown = self._total = 0
        self._progress = progress
        if progress is not None:
            entries = "SELECT count(*) FROM ledger_entries WHERE coalesce(leaf_index, ?) >= ?"
            counted = f"SELECT ({entries}), (SELECT count(*) FROM runs)"
            ((lines, runs),) = store.rows(counted, since, since)
            self._total = lines + (0 if since else runs)

    def add(self, more: int) -> None:
        self._done += more
        if self._progress is not None and self._done - self._shown >= STEP:
            self._shown = self._done
            self._progress(min(self._done, self._total), self._total)
