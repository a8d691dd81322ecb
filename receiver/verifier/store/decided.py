"""Check legal holds and reports of completeness against their entries, and find those that no entry knows."""

from __future__ import annotations

from typing import Any

from receiver.verifier.store import comparing, entry, source
from receiver.verifier.store.breaks import Code, Report
from receiver.verifier.store.comparing import Place
from receiver.verifier.store.expected import Sealed

_PLACED, _RELEASED, _CHECKED = "hold.placed", "hold.released", "completeness.checked"
#: The tables by the kind of the entry that begins a row, with the fact that has its id.
_BEGUN = {_PLACED: ("holds", "holdId"), _CHECKED: ("completeness_reports", "reportId")}
_TITLES = {"holds": "hold", "completeness_reports": "report"}


class Decided:
    """The check of the holds and the reports of one store; their entries come one by one, and are few."""

    def __init__(self, store: source.Source, report: Report) -> None:
        self._store = store
        self._report = report
        self._known: dict[str, set[str]] = {kind: set() for kind in (_PLACED, _RELEASED, _CHECKED)}

    def see(self, found: entry.Entry) -> None:
        """Take an entry, and check its row where it is about one."""
        kind = found.body.kind
        if kind not in self._known:
            return
        table, fact = _BEGUN.get(kind, _BEGUN[_PLACED])
        row_id = str(found.body.facts.get(fact))
        self._known[kind].add(row_id)
        row = self._row(table, row_id)
        if row is None:
            if kind != _RELEASED:  # that it is missing is reported once
                sentence = f"the {_TITLES[table]} {row_id} is missing"
                self._add(Code.ROW_MISSING, sentence, found, table, None)
            return
        self._report.checked[table] += kind != _RELEASED
        self._compare(row, found, table)

    def finish(self, *, is_whole: bool) -> None:
        """Find the rows that no entry knows. `is_whole`: all entries were seen."""
        for kind, (table, _) in _BEGUN.items() if is_whole else ():
            for (row_id,) in self._store.stream(f"SELECT id FROM {table}"):
                if row_id not in self._known[kind]:
                    sentence = f"no entry knows the {_TITLES[table]} {row_id}"
                    self._report.add(Code.ROW_ADDED, sentence, table=table)
        released = "SELECT id FROM holds WHERE released_at IS NOT NULL OR released_by IS NOT NULL"
        for (row_id,) in self._store.stream(released) if is_whole else ():
            if row_id in self._known[_PLACED] and row_id not in self._known[_RELEASED]:
                sentence = f"the hold {row_id} is released, and no entry says so"
                self._report.add(Code.ROW_CHANGED, sentence, table="holds", column="released_at")

    def _row(self, table: str, row_id: str) -> dict[str, Any] | None:
        instant = self._store.instant
        columns = {
            "holds": {
                **{name: name for name in ("scope", "target", "reason", "placed_by", "released_by")},
                **{name: instant(name) for name in ("placed_at", "released_at")},
            },
            "completeness_reports": {"checked_at": instant("checked_at"), "body": "body"},
        }[table]
        rows = self._store.rows(f"SELECT {', '.join(columns.values())} FROM {table} WHERE id = ?", row_id)
        return {"id": row_id, **dict(zip(columns, rows[0], strict=True))} if rows else None

    def _compare(self, row: dict[str, Any], found: entry.Entry, table: str) -> None:
        body = found.body
        if body.kind == _CHECKED:
            expected: dict[str, Any] = {"checked_at": body.at}
            name, column = "report", "body"
        else:
            by, at = ("placed_by", "placed_at") if body.kind == _PLACED else ("released_by", "released_at")
            expected = {by: body.actor, at: body.at}
            expected |= {each: body.facts.get(each) for each in ("scope", "reason")}
            name, column = "question", "target"
        for each, value in expected.items():
            if row[each] != value:
                sentence = f"{each} of the {_TITLES[table]} {row['id']} is not that of {found.title}"
                self._add(Code.ROW_CHANGED, sentence, found, table, each)
        title = f"{column} of the {_TITLES[table]} {row['id']}"
        digest, stored = body.digests.get(name), entry.encoded(row[column])
        if digest is not None:
            sealed = Sealed(digest, found.salts.get(name), found)
            comparing.value(
                self._report,
                Place(title, table, column, body.run, found.number),
                name,
                sealed,
                stored,
                is_erased=False,
            )
        elif stored != (body.run or "").encode():
            self._add(Code.ROW_CHANGED, f"{title} is not that of {found.title}", found, table, column)

    def _add(self, code: Code, sentence: str, found: entry.Entry, table: str, column: str | None) -> None:
        self._report.add(code, sentence, run=found.body.run, number=found.number, table=table, column=column)
