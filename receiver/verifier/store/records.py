"""Check the rows of runs against the entries of these runs, some runs at a time."""

from __future__ import annotations

import hashlib
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import zstandard

from receiver.verifier import coverage
from receiver.verifier.store import comparing, entry, hashes, source, traces
from receiver.verifier.store.breaks import Code, Report
from receiver.verifier.store.comparing import Place
from receiver.verifier.store.expected import INITIAL, TEXTS, Expected, Sealed

#: Runs that are read together, and those of which the texts are at once in memory before they are counted.
RUNS, LONG = 300, 20
Run = dict[str, Any]
Rows = dict[str, list[source.Row]]
_Check = Callable[[Report, Run, Expected, list[source.Row]], None]

_COLUMNS = {table: [*columns] for table, columns in coverage.COVERED.items()}
_INSTANTS = {
    *("accepted_at", "created_at", "started_at", "completed_at", "settled_at", "cancel_requested_at"),
    *("pruned_at", "timestamp", "at"),
}
#: The columns of the parts of a run as they are read: its id comes first.
_READ = {table: ["run_id", *(each for each in columns if each != "run_id")] for table, columns in _COLUMNS.items()}
_READ |= {table: [*traces.columns(table)] for table in ("run_steps", "run_usage")}
_LONG = ("prompt", "guidance", "instructions", "output")
_decode = msgspec.json.Decoder().decode
_decompress = zstandard.ZstdDecompressor().decompress


class Records:
    """The check of the runs of one store. `done` is called with how many runs were checked."""

    def __init__(self, store: source.Source, report: Report, done: Callable[[int], None]) -> None:
        self._store = store
        self._report = report
        self._done = done
        #: The rows of each table that belong to runs, and the entries that do.
        self._owned: Counter[str] = Counter()
        is_text = store.is_embedded
        self._checks: dict[str, _Check] = {
            "run_tags": _check_tags,
            "run_steps": traces.Trace("run_steps", "steps", is_text=is_text).check,
            "run_usage": traces.Trace("run_usage", "usage", is_text=is_text).check,
            "run_documents": _check_documents,
            "upstream_links": _check_links,
            "run_reviews": _check_reviews,
        }

    def check(self, since: int = 0) -> None:
        """Check all runs, or those with an entry from the number `since` on."""
        for runs in self._chunks(since):
            ids = [run["id"] for run in runs]
            entries, parts = self._entries(ids), {table: self._parts(table, ids) for table in self._checks}
            for run in runs:
                mine = {table: found.get(run["id"], []) for table, found in parts.items()}
                self._check_run(run, entries.get(run["id"], []), mine)
            self._done(len(runs))
        if not since:
            self._find_missing()
            self._find_unowned()

    def _chunks(self, since: int) -> Iterator[list[Run]]:
        """Yield runs in their order: so many together, or fewer where their texts are long."""
        columns = ["seq", *_COLUMNS["runs"]]
        documents = "(SELECT coalesce(sum(size), 0) FROM run_documents d WHERE d.run_id = runs.id)"
        among = "id IN (SELECT run_id FROM ledger_entries WHERE leaf_index >= ? OR leaf_index IS NULL)"
        selected = f"SELECT {documents}, {self._selected(columns)} FROM runs"
        parameters, where = ([since], f" WHERE {among}") if since else ([], "")
        chunk, size = list[Run](), 0
        for length, *row in self._store.stream(f"{selected}{where} ORDER BY seq", *parameters, fetched=LONG):
            run = dict(zip(columns, row, strict=True))
            length += sum(len(run[column]) for column in _LONG if run[column] is not None)
            if chunk and (len(chunk) == RUNS or size + length > source.BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(run)
            size += length
        if chunk:
            yield chunk

    def _selected(self, columns: Iterable[str]) -> str:
        def read(column: str) -> str:
            if column in _INSTANTS:
                return self._store.instant(f'"{column}"')
            return self._store.json(f'"{column}"') if column in traces.JSON else f'"{column}"'

        return ", ".join(map(read, columns))

    def _entries(self, ids: Sequence[str]) -> dict[str, list[entry.Entry]]:
        sql = (
            f"SELECT run_id, leaf_index, body, {self._store.json('salts')} FROM ledger_entries "
            f"WHERE {self._store.among('run_id')} ORDER BY leaf_index IS NULL, leaf_index, seq"
        )
        found: dict[str, list[entry.Entry]] = defaultdict(list)
        for row in self._store.rows(sql, self._store.listed(ids)):
            self._owned["ledger_entries"] += 1
            read = entry.read(row[1:])
            if read is not None:
                found[row[0]].append(read)
        return found

    def _parts(self, table: str, ids: Sequence[str]) -> Rows:
        which = self._store.among("run_id")
        if table == "run_tags":
            which = f"run_seq IN (SELECT seq FROM runs WHERE {self._store.among('id')})"
        sql = f"SELECT {self._selected(_READ[table])} FROM {table} WHERE {which}"
        rows = self._store.rows(sql, self._store.listed(ids))
        if rows:
            self._report.checked[table] += len(rows)
            self._owned[table] += len(rows)
        found: Rows = defaultdict(list)
        for row in rows:
            found[row[0]].append(row)
        return found

    def _check_run(self, run: Run, entries: list[entry.Entry], parts: Rows) -> None:
        self._report.checked["runs"] += 1
        expected = Expected()
        for each in entries:
            expected.add(each)
        is_unfetched = run["origin"] == "adopted" and run["status"] == "accepted"
        if not expected.has_entries and not is_unfetched:
            self._report.add(Code.ROW_ADDED, f"no entry knows the run {run['id']}", run=run["id"], table="runs")
            return
        if run["status"] not in expected.states or _columns(run) != _columns(expected.columns):
            self._report_columns(run, expected)
        self._check_texts(run, expected)
        for name, check in self._checks.items():
            check(self._report, run, expected, parts[name])

    def _report_columns(self, run: Run, expected: Expected) -> None:
        if run["status"] not in expected.states:
            self._differs(run, "status", " or ".join(expected.states))
        for column, value in expected.columns.items():
            if run[column] != value:
                self._differs(run, column, value)

    def _differs(self, run: Run, column: str, value: object) -> None:
        said = "nothing" if value is None else repr(value)[:80]
        sentence = f"{column} of the run {run['id']} is {str(run[column])[:80]!r}, and its entries say {said}"
        self._report.add(Code.ROW_CHANGED, sentence, run=run["id"], table="runs", column=column)

    def _check_texts(self, run: Run, expected: Expected) -> None:
        for name, column in TEXTS.items():
            stored = run[column]
            if stored is not None:
                stored = _content(stored, column)
            sealed = expected.contents.get(name)
            if sealed is not None and sealed.fits(name, stored):
                self._report.checked["digests"] += 1
            elif sealed is not None:
                place = Place(f"{column} of the run {run['id']}", "runs", column, run["id"], sealed.entry.number)
                comparing.value(self._report, place, name, sealed, stored, is_erased=name in expected.erased)
            elif stored is not None:
                self._differs(run, column, None)

    def _find_missing(self) -> None:
        """Report the runs that entries know and that are not there."""
        if self._are_all_owned("ledger_entries"):
            return
        sql = (
            "SELECT run_id, min(leaf_index) FROM ledger_entries e WHERE run_id IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM runs r WHERE r.id = e.run_id) GROUP BY run_id"
        )
        for run_id, number in self._store.stream(sql):
            self._report.add(
                Code.ROW_MISSING, f"the run {run_id} is missing", run=run_id, number=number, table="runs"
            )

    def _are_all_owned(self, table: str) -> bool:
        """Return whether as many rows were found by their runs as there are: a count is read ten times faster."""
        counted = "count(run_id)" if table == "ledger_entries" else "count(*)"
        sql = f"SELECT (SELECT {counted} FROM {table}), (SELECT count(DISTINCT id) FROM runs)"
        ((rows, runs),) = self._store.rows(sql)
        is_once = runs == self._report.checked["runs"]
        return bool(self._report.is_ok and is_once and rows == self._owned[table])

    def _find_unowned(self) -> None:
        """Report the rows that belong to no run."""
        for table in self._checks:
            # A tag names its run twice, so that a count is not enough.
            if table != "run_tags" and self._are_all_owned(table):
                continue
            condition = "r.seq = t.run_seq AND r.id = t.run_id" if table == "run_tags" else "r.id = t.run_id"
            sql = f"SELECT t.run_id FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE {condition})"
            for (run_id,) in self._store.stream(sql):
                sentence = f"a row of {table} is of a run that is not there: {run_id}"
                self._report.add(Code.ROW_ADDED, sentence, run=run_id, table=table)


_columns = operator.itemgetter(*INITIAL)


def _named(table: str, rows: list[source.Row]) -> Iterator[dict[str, Any]]:
    """Yield the values of rows by the names of their columns."""
    return (dict(zip(_READ[table], row, strict=True)) for row in rows)


def _content(stored: Any, column: str) -> bytes | None:
    """Return the bytes of a text or a JSON value of a run as its digest covers them."""
    if stored is None:
        return None
    if column not in traces.JSON:
        return entry.encoded(stored)
    try:
        return hashes.canonical(_decode(entry.encoded(stored)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return entry.encoded(stored)


def _check_tags(report: Report, run: Run, expected: Expected, rows: list[source.Row]) -> None:
    sealed = expected.contents.get("tags")
    tags = {key: value for _, _, key, value in rows}
    if sealed is None:
        if rows:
            comparing.add(report, Code.ROW_ADDED, run, "run_tags", f"no entry knows the tag {next(iter(tags))}")
        return
    stored: bytes | None = hashes.canonical(tags)
    is_erased = "tags" in expected.erased
    if not rows and is_erased and sealed.salt is None:
        stored = None
    place = Place(f"the tags of the run {run['id']}", "run_tags", None, run["id"], sealed.entry.number)
    count = sealed.entry.body.facts.get("count")
    if isinstance(count, int) and count != len(rows) and stored is not None:
        code, fault = (Code.ROW_MISSING, "is missing") if len(rows) < count else (Code.ROW_ADDED, "was added")
        comparing.add(report, code, run, "run_tags", f"a tag {fault}")
        return
    comparing.value(report, place, "tags", sealed, stored, is_erased=is_erased)


def _check_documents(report: Report, run: Run, expected: Expected, rows: list[source.Row]) -> None:
    is_erased = "document" in expected.erased
    found = {row["version"]: row for row in _named("run_documents", rows)}
    for version in found.keys() - expected.documents.keys():
        comparing.add(
            report, Code.ROW_ADDED, run, "run_documents", f"no entry knows version {version} of the document"
        )
    for version, sealed in expected.documents.items():
        row = found.get(version)
        if row is None:
            if is_erased and (sealed is None or sealed.salt is None):
                report.checked["erased"] += 1
            else:
                comparing.add(
                    report, Code.ROW_MISSING, run, "run_documents", f"version {version} of the document is missing"
                )
            continue
        _check_document(report, run, row, expected, sealed)


def _check_document(report: Report, run: Run, row: dict[str, Any], expected: Expected, sealed: Any) -> None:
    title = f"version {row['version']} of the document"
    body = _decompressed(row)
    if body is None:
        comparing.add(report, Code.ROW_CHANGED, run, "run_documents", f"{title} cannot be read", "body")
        return
    is_same = hashlib.sha256(body).hexdigest() == row["body_sha256"]
    if sealed is not None:
        place = Place(f"{title} of the run {run['id']}", "run_documents", "body", run["id"], sealed.entry.number)
        before = report.counts.total()
        comparing.value(
            report, place, "document", sealed, body, is_erased="document" in expected.erased, is_sure=is_same
        )
        if report.counts.total() > before:
            return
    for column, is_right in {"body_sha256": is_same, "size": row["size"] == len(body)}.items():
        if not is_right:
            comparing.add(
                report,
                Code.ROW_CHANGED,
                run,
                "run_documents",
                f"{column} of {title} is not that of its bytes",
                column,
            )


def _decompressed(row: dict[str, Any]) -> bytes | None:
    """Return the bytes of a document; None for a damaged frame, or one that is larger than it says."""
    frame = bytes(row["body"]) if not isinstance(row["body"], str | int | float) else b""
    try:
        size = zstandard.frame_content_size(frame)
        return _decompress(frame, max_output_size=max(size, 1)) if size else b""
    except (zstandard.ZstdError, OverflowError, ValueError, MemoryError):
        return None


def _check_links(report: Report, run: Run, expected: Expected, rows: list[source.Row]) -> None:
    links, found = dict(expected.links), {upstream_id: role for _, upstream_id, role in rows}
    own = run["upstream_id"]
    if own is not None and run["origin"] == "adopted":  # it is linked before its details are known
        links.setdefault(own, "run")
    for upstream_id, role in links.items():
        stored = found.pop(upstream_id, None)
        if stored is None:
            comparing.add(report, Code.ROW_MISSING, run, "upstream_links", f"the link to {upstream_id} is missing")
        elif stored != role:
            comparing.add(
                report,
                Code.ROW_CHANGED,
                run,
                "upstream_links",
                f"the role of the link to {upstream_id} is {stored}",
                "role",
            )
    for upstream_id in found:
        comparing.add(report, Code.ROW_ADDED, run, "upstream_links", f"no entry knows the link to {upstream_id}")


def _check_reviews(report: Report, run: Run, expected: Expected, rows: list[source.Row]) -> None:
    if not rows and not expected.reviews:
        return
    found = {row["id"]: row for row in _named("run_reviews", rows)}
    for review_id in found.keys() - expected.reviews.keys():
        comparing.add(report, Code.ROW_ADDED, run, "run_reviews", f"no entry knows the review {review_id}")
    for review_id, each in expected.reviews.items():
        row = found.get(review_id)
        if row is None:
            comparing.add(report, Code.ROW_MISSING, run, "run_reviews", f"the review {review_id} is missing")
            continue
        facts = {"verdict": each.body.facts.get("verdict"), "by": each.body.facts.get("by"), "at": each.body.at}
        for column, value in facts.items():
            if row[column] != value:
                comparing.add(
                    report, Code.ROW_CHANGED, run, "run_reviews", f"{column} of the review {review_id}", column
                )
        _check_comment(report, run, row, expected, each)


def _check_comment(report: Report, run: Run, row: dict[str, Any], expected: Expected, found: entry.Entry) -> None:
    digest, stored = found.body.digests.get("comment"), _content(row["comment"], "comment")
    place = Place(f"comment of the review {row['id']}", "run_reviews", "comment", run["id"], found.number)
    if digest is not None:
        sealed = Sealed(digest, found.salts.get("comment"), found)
        is_erased = row["id"] in expected.erased_reviews
        comparing.value(report, place, "comment", sealed, stored, is_erased=is_erased)
    elif stored is not None:
        comparing.add(report, Code.ROW_CHANGED, run, "run_reviews", f"no entry knows the {place.title}", "comment")
