"""Check the steps and the usage entries of a run against the one digest that all of them have."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from receiver.verifier import coverage
from receiver.verifier.store import comparing, entry, hashes, source
from receiver.verifier.store.breaks import Code, Report
from receiver.verifier.store.expected import SALT, Expected, Sealed

#: The columns of JSON in the tables of a store.
JSON = {"object_ids", "tool_input", "tool_output", "metadata"}
#: The rows of one run in a table that is keyed by the `seq` of its run.
ROWS_PER_RUN = 65536
_KEYS = ("run_id", "id", "salt")


def columns(table: str) -> Sequence[str]:
    """Return the columns as they are read: keys and salt, then what is hashed, in the order of canonical JSON."""
    return (*_KEYS, *_hashed(table))


def _hashed(table: str) -> Sequence[str]:
    return sorted(coverage.COVERED[table].keys() - set(_KEYS))


class Trace:
    """The check of one table, whose rows have the digest of that name."""

    def __init__(self, table: str, name: str, *, is_text: bool) -> None:
        """Take the table and the name of the digest. `is_text`: JSON is mostly stored as it was hashed."""
        self._table, self._name = table, name
        self._readers = (_as_it_is, _canonical) if is_text else (_canonical,)
        self._columns, hashed = columns(table), _hashed(table)
        self._position = operator.itemgetter(len(_KEYS) + hashed.index("position"))
        self._json = [at for at, column in enumerate(hashed) if column in JSON]
        self._made = msgspec.defstruct(table, [(column, Any, None) for column in hashed], omit_defaults=True)

    def check(self, report: Report, run: dict[str, Any], expected: Expected, rows: list[source.Row]) -> None:
        """Check the rows of one run."""
        name, table = self._name, self._table
        sealed, is_erased = expected.contents.get(name), name in expected.erased
        if sealed is None:
            if rows:
                comparing.add(report, Code.ROW_ADDED, run, table, f"no entry knows the {name}")
            return
        is_gone = is_erased and all(row[2] == b"" for row in rows)
        count = expected.usage_count if name == "usage" else 0 if is_gone else expected.columns["step_count"]
        if isinstance(count, int) and len(rows) != count:
            is_less = len(rows) < count
            code, fault = (Code.ROW_MISSING, "is missing") if is_less else (Code.ROW_ADDED, "was added")
            comparing.add(report, code, run, table, f"a row of the {name} {fault}")
            return
        if is_gone:
            self._check_erased(report, run, rows)
            return
        rows.sort(key=self._position)
        if self._check_keys(report, run, rows):
            self._check_digest(report, run, sealed, rows)

    def _check_erased(self, report: Report, run: dict[str, Any], rows: Sequence[source.Row]) -> None:
        report.checked["erased"] += 1
        at = self._columns.index("metadata") if "metadata" in self._columns else None
        if at is not None and any(row[at] is not None for row in rows):
            fault = "the metadata of a row, which were erased,"
            comparing.add(report, Code.ROW_CHANGED, run, self._table, fault, "metadata")

    def _check_keys(self, report: Report, run: dict[str, Any], rows: Sequence[source.Row]) -> bool:
        """Report keys that are not the places of their rows. Return whether each salt is one."""
        first = run["seq"] * ROWS_PER_RUN
        for row in rows:
            position = self._position(row)
            if type(row[2]) is not bytes or len(row[2]) != SALT:
                fault = f"the salt of row {position} is no salt"
                comparing.add(report, Code.SALT_CHANGED, run, self._table, fault, "salt")
                return False
            if row[1] != first + position:
                fault = f"the key of row {position} is not its place"
                comparing.add(report, Code.ROW_CHANGED, run, self._table, fault, "id")
        return True

    def _check_digest(
        self, report: Report, run: dict[str, Any], sealed: Sealed, rows: Sequence[source.Row]
    ) -> None:
        # Most texts of JSON are stored as they were hashed, so they are parsed only where that is not enough.
        if rows and any(self._digest(rows, read) == sealed.digest for read in self._readers):
            report.checked["digests"] += len(rows)
            return
        fault = f"a row of the {self._name}, or its salt, is not that of {sealed.entry.title},"
        comparing.add(report, Code.ROW_CHANGED, run, self._table, fault)

    def _digest(self, rows: Sequence[source.Row], read: Callable[[Any], msgspec.Raw]) -> str:
        return hashes.rows_root(self._name, [(row[2], self._bytes(row[len(_KEYS) :], read)) for row in rows])

    def _bytes(self, values: source.Row, read: Callable[[Any], msgspec.Raw]) -> bytes:
        """Return the canonical JSON of a row, whose values are of the types of their columns."""
        try:
            hashed = [*values]
            for at in self._json:
                if hashed[at] is not None:
                    hashed[at] = read(hashed[at])
            return _encode(self._made(*hashed))
        except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
            return b""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
#: Reads one value of JSON: what is more than one could hold the end of a column and the begin of another.
_as_it_is = msgspec.json.Decoder(msgspec.Raw).decode


def _canonical(stored: Any) -> msgspec.Raw:
    return msgspec.Raw(hashes.canonical(_decode(entry.encoded(stored))))
