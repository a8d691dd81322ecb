"""Check the rows of deliveries against their entries, and find those that no entry knows."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any

from receiver.verifier import coverage
from receiver.verifier.store import comparing, entry, hashes, source
from receiver.verifier.store.breaks import Code, Report
from receiver.verifier.store.comparing import Place
from receiver.verifier.store.expected import SALT, Expected, Sealed
from receiver.verifier.store.records import _content

#: The most deliveries that are read together.
DELIVERIES = 300
_COLUMNS = [*coverage.COVERED["deliveries"], "upstream_id"]
_FACTS = {cover.fact: column for column, cover in coverage.COVERED["deliveries"].items() if cover.fact}


class Arrived:
    """The check of the deliveries of one store; their entries come one by one."""

    def __init__(self, store: source.Source, report: Report) -> None:
        self._store = store
        self._report = report
        self._waiting: list[entry.Entry] = []
        self._found = self._size = 0
        #: Deliveries of no run that were emptied, and as many as entries say.
        self._emptied = self._pruned = 0
        self._erased_up_to: Callable[[str], float] = lru_cache(1000)(self._look_up)

    def see(self, found: entry.Entry) -> None:
        """Take an entry; the row of a delivery is read together with others."""
        if found.body.kind in entry.DELIVERED:
            size = found.body.facts.get("size")
            self._waiting.append(found)
            self._size += size if isinstance(size, int) else 0
            if len(self._waiting) == DELIVERIES or self._size > source.BYTES:
                self._check()
        elif found.body.kind == "deliveries.pruned" and isinstance(found.body.facts.get("deliveries"), int):
            self._pruned += found.body.facts["deliveries"]

    def finish(self, *, is_whole: bool) -> None:
        """Check what is left. `is_whole`: all entries were seen, so every delivery must have one."""
        self._check()
        if not is_whole:
            return
        if self._emptied > self._pruned:
            sentence = f"{self._emptied} deliveries of no run are empty, and the entries say {self._pruned}"
            self._report.add(Code.ROW_CHANGED, sentence, table="deliveries", column="body")
        ((count,),) = self._store.rows("SELECT count(*) FROM deliveries WHERE verdict <> 'rejected'")
        if count != self._found:
            self._find_added()

    def _check(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return
        ids = [str(each.body.facts.get("deliveryId")) for each in waiting]
        read = {"received_at": self._store.instant, "headers": self._store.json}
        selected = ", ".join(read.get(column, str)(column) for column in _COLUMNS)
        sql = f"SELECT {selected} FROM deliveries WHERE {self._store.among('id')}"
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in self._store.rows(sql, self._store.listed(ids))]
        found = {row["id"]: row for row in rows if row["verdict"] != "rejected"}
        self._found += len(found)
        links = self._links([row["upstream_id"] for row in rows if row["upstream_id"] is not None])
        for delivery_id, each in zip(ids, waiting, strict=True):
            row = found.get(delivery_id)
            if row is None:
                sentence = f"the delivery {delivery_id} is missing"
                self._add(Code.ROW_MISSING, sentence, each, None)
            else:
                self._check_row(row, each, links)

    def _links(self, upstream_ids: Sequence[str]) -> dict[str, str]:
        sql = f"SELECT upstream_id, run_id FROM upstream_links WHERE {self._store.among('upstream_id')}"
        return dict(self._store.rows(sql, self._store.listed(upstream_ids))) if upstream_ids else {}

    def _check_row(self, row: dict[str, Any], found: entry.Entry, links: dict[str, str]) -> None:
        self._report.checked["deliveries"] += 1
        body = found.body
        expected = {column: body.facts.get(fact) for fact, column in _FACTS.items()}
        if not _is_described(found):
            del expected["source"]
        expected |= {"verdict": entry.DELIVERED[body.kind], "received_at": body.at}
        # A delivery that came before its run was known is given to it later.
        is_claimed = body.run is None and row["run_id"] is not None
        expected["run_id"] = links.get(row["upstream_id"]) if is_claimed else body.run
        for column, value in expected.items():
            if row[column] != value:
                sentence = f"{column} of the delivery {row['id']} is not that of {found.title}"
                self._add(Code.ROW_CHANGED, sentence, found, column, row)
        self._check_content(row, found)

    def _check_content(self, row: dict[str, Any], found: entry.Entry) -> None:
        stored = {"body": bytes(row["body"]), "headers": _content(row["headers"], "object_ids")}
        is_gone = stored["body"] == b"" and stored["headers"] is None and not found.salts
        is_erased = is_gone and row["run_id"] is not None and _place(found) <= self._erased_up_to(row["run_id"])
        if is_gone and not is_erased and found.body.run is None:
            self._emptied += 1
            is_erased = True
        body = stored["body"] or b""
        is_same = hashlib.sha256(body).hexdigest() == row["body_sha256"]
        for name, value in stored.items():
            digest, place = found.body.digests.get(name), self._place(row, found, name)
            if digest is not None:
                sealed = Sealed(digest, found.salts.get(name), found)
                is_sure = name == "body" and is_same
                comparing.value(self._report, place, name, sealed, value, is_erased=is_erased, is_sure=is_sure)
            elif value and _is_described(found):
                self._add(Code.ROW_CHANGED, f"no entry knows {place.title}", found, name)
        is_whole = row["size"] == len(body) and not is_gone
        if is_whole and not is_same and not self._was_reported(row, found):
            self._add(
                Code.ROW_CHANGED, f"body_sha256 of the delivery {row['id']} is not that", found, "body_sha256"
            )

    def _was_reported(self, row: dict[str, Any], found: entry.Entry) -> bool:
        """Return whether the body itself was changed."""
        digest, salt = found.body.digests.get("body"), found.salts.get("body")
        if digest is None or salt is None or len(salt) != 2 * SALT:
            return digest is not None
        try:
            return hashes.digest(bytes.fromhex(salt), "body", bytes(row["body"])).hex() != digest
        except ValueError:
            return True

    def _place(self, row: dict[str, Any], found: entry.Entry, column: str) -> Place:
        return Place(f"{column} of the delivery {row['id']}", "deliveries", column, found.body.run, found.number)

    def _look_up(self, run_id: str) -> float:
        """Return the number of the last entry by which deliveries of a run were erased; below 0 without one."""
        sql = (
            "SELECT leaf_index, body, NULL FROM ledger_entries "
            "WHERE run_id = ? AND kind IN ('run.pruned', 'content.erased') "
            "ORDER BY leaf_index IS NULL, leaf_index, seq"
        )
        expected = Expected()
        for row in self._store.rows(sql, run_id):
            read = entry.read(row)
            if read is not None:
                expected.add(read)
        return -1.0 if expected.erased_deliveries is None else _place(expected.erased_deliveries)

    def _find_added(self) -> None:
        """Report the deliveries without an entry. The ids that entries name are kept in a file meanwhile."""
        kinds = ", ".join(f"'{kind}'" for kind in entry.DELIVERED)
        known = f"SELECT leaf_index, body, NULL FROM ledger_entries WHERE kind IN ({kinds})"
        with closing(sqlite3.connect("")) as kept:
            kept.execute("CREATE TABLE known (id TEXT PRIMARY KEY) WITHOUT ROWID")
            read = (entry.read(row) for row in self._store.stream(known))
            ids = ((str(each.body.facts.get("deliveryId")),) for each in read if each is not None)
            kept.executemany("INSERT OR IGNORE INTO known VALUES (?)", ids)
            for delivery_id, run_id in self._store.stream(
                "SELECT id, run_id FROM deliveries WHERE verdict <> 'rejected'"
            ):
                if kept.execute("SELECT 1 FROM known WHERE id = ?", (delivery_id,)).fetchone() is None:
                    sentence = f"no entry knows the delivery {delivery_id}"
                    self._report.add(Code.ROW_ADDED, sentence, run=run_id, table="deliveries")

    def _add(
        self, code: Code, sentence: str, found: entry.Entry, column: str | None, row: dict[str, Any] | None = None
    ) -> None:
        run = found.body.run or (row["run_id"] if row is not None else None)
        self._report.add(code, sentence, run=run, number=found.number, table="deliveries", column=column)


def _place(found: entry.Entry) -> float:
    """Return the number of an entry; those without one are behind all others."""
    return math.inf if found.number is None else found.number


def _is_described(found: entry.Entry) -> bool:
    """Return whether an entry names the source and covers the headers, as those before schema 0012 do not."""
    return "source" in found.body.facts
