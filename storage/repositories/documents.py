"""Statements about the result of a run: its steps, its usage, and the document byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

import zstandard
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, select

from storage import bounds, merkle, results
from storage.engine import bulk_insert, column_types, prepared
from storage.tables import declare
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_DOCUMENTS, RUN_STEPS, RUN_TOOLS, RUN_USAGE

#: Compression level of documents: level 3 takes 200 µs for 40 kB.
COMPRESSION_LEVEL = 3
#: Roughly the bytes of rows that one statement inserts: a server's driver makes several copies, each in one call.
INSERTED = 1 << 20


@dataclass(frozen=True, slots=True)
class Document:
    """The upstream's answer as one zstd frame, with the SHA-256 and the size of its content."""

    body: bytes
    body_sha256: str
    size: int
    fetched_at: datetime
    parse_error: str | None = None
    version: int = 0

    def read(self) -> bytes:
        """Return the upstream's answer byte for byte; this may be slow. Raise ValueError for a damaged frame."""
        try:
            return zstandard.ZstdDecompressor().decompress(self.body, max_output_size=self.size)
        except zstandard.ZstdError as error:
            raise ValueError(f"the stored document is damaged: {error}") from error


def compress(body: bytes, fetched_at: datetime, parse_error: str | None = None, version: int = 0) -> Document:
    """Return an answer in the form in which it is stored."""
    frame = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(body)
    return Document(frame, hashlib.sha256(body).hexdigest(), len(body), fetched_at, parse_error, version)


RowT = TypeVar("RowT", results.Step, results.Usage)


def row_bytes(row: results.Step | results.Usage) -> bytes:
    """Return the canonical bytes that a row's digest covers: all values but the salt, without absent ones."""
    values = {name: value for name, value in _values(row).items() if value is not None and name != "salt"}
    if row.timestamp is not None:
        values["timestamp"] = column_types.instant_text(row.timestamp)
    return merkle.object_bytes(values)


def _values(row: results.Step | results.Usage) -> dict[str, Any]:
    """Return the values of a row by name, without copies, since they may be large."""
    return {name: getattr(row, name) for name in _NAMES[type(row)]}


def root(name: str, rows: Sequence[results.Step] | Sequence[results.Usage]) -> tuple[merkle.Digest, ...]:
    """Return the digest over all rows of a kind, whose salts are in the rows; nothing where there are no rows."""
    return merkle.rows_digest(name, [(row.salt, row_bytes(row)) for row in rows]) if rows else ()


def store_steps(
    connection: Connection,
    run_seq: int,
    run_id: str,
    steps: Sequence[results.Step],
    *,
    is_first: bool = False,
    size: int = 0,
) -> Sequence[results.Step]:
    """Store steps as `store` does, and the names of their tools, cut to the length that an index takes."""
    previous = set[str]() if is_first else _tool_names(connection, run_seq)
    stored = store(connection, run_seq, run_id, steps, results.Step, is_first=is_first, size=size)
    current = {step.tool_name[: bounds.NAME] for step in steps if step.tool_name is not None}
    _delete_tools(connection, run_seq, previous - current)
    if new := sorted(current - previous):
        rows = [{"name": name, "run_seq": run_seq, "run_id": run_id} for name in new]
        bulk_insert.insert(connection, RUN_TOOLS, rows)
    return stored


def delete_tools(connection: Connection, run_seq: int) -> None:
    """Delete the names of a run's tools; its steps must still be there."""
    _delete_tools(connection, run_seq, _tool_names(connection, run_seq))


def _tool_names(connection: Connection, run_seq: int) -> set[str]:
    named = connection.execute(_TOOLS.where(_rows(RUN_STEPS, run_seq))).scalars()
    return {name[: bounds.NAME] for name in named}


def _delete_tools(connection: Connection, run_seq: int, names: Iterable[str]) -> None:
    if parameters := [{"gone": name} for name in sorted(names)]:
        which = and_(RUN_TOOLS.c.name == bindparam("gone"), RUN_TOOLS.c.run_seq == run_seq)
        connection.execute(delete(RUN_TOOLS).where(which), parameters)


def _rows(table: Table, run_seq: int) -> ColumnElement[bool]:
    return table.c.id.between(run_seq * ROWS_PER_RUN, run_seq * ROWS_PER_RUN + ROWS_PER_RUN - 1)


def store(
    connection: Connection,
    run_seq: int,
    run_id: str,
    rows: Sequence[RowT],
    table: type[RowT],
    *,
    is_first: bool = False,
    size: int = 0,
) -> Sequence[RowT]:
    """Replace the stored rows of a run; return the rows with the salts that are stored.

    A row whose content is unchanged keeps its salt, so that earlier digests stay provable. Where no row was stored
    before, the return value is `rows` itself, and digests computed from it hold. `is_first`: none was stored.
    `size` is roughly the bytes of all rows, where they may be large.
    """
    if rows and rows[-1].position >= ROWS_PER_RUN:
        raise ValueError(f"more than {ROWS_PER_RUN} rows of one run")  # their keys would belong to another run
    previous = {} if is_first else {row.position: row for row in read(connection, run_seq, table)}
    salted = [_keep_salt(row, previous.get(row.position)) for row in rows] if previous else rows
    if previous:
        target = TABLES[table]
        connection.execute(delete(target).where(_rows(target, run_seq)))
    values = [
        {"id": run_seq * ROWS_PER_RUN + row.position, "run_id": run_id, **_values(row), **_derived(row)}
        for row in salted
    ]
    at_once = max(1, len(values) * INSERTED // max(size, INSERTED))
    for at in range(0, len(values), at_once):
        bulk_insert.insert(connection, TABLES[table], values[at : at + at_once])
    return salted


def _derived(row: results.Step | results.Usage) -> dict[str, bool]:
    """Return the columns that follow from the values of a row, which its digest does not cover."""
    return {"is_failed": results.is_failed(row.type, row.tool_output)} if isinstance(row, results.Step) else {}


def _keep_salt(row: RowT, previous: RowT | None) -> RowT:
    return previous if previous is not None and row_bytes(previous) == row_bytes(row) else row


def read(
    connection: Connection, run_seq: int, table: type[RowT], *, after: int = -1, limit: int = ROWS_PER_RUN
) -> list[RowT]:
    """Return the rows of a run behind the position `after`, in order."""
    source = TABLES[table]
    keys = source.c.id.between(run_seq * ROWS_PER_RUN + after + 1, run_seq * ROWS_PER_RUN + ROWS_PER_RUN - 1)
    selected = [source.c[each.name] for each in fields(table)]
    return [
        table(*row) for row in connection.execute(select(*selected).where(keys).order_by(source.c.id).limit(limit))
    ]


def step_rows(connection: Connection, run_seq: int, *, after: int, limit: int) -> Sequence[prepared.Row]:
    """Return the steps of a run behind the position `after`, in order, without salts and with instants as text."""
    first = run_seq * ROWS_PER_RUN
    keys = {"low": first + after + 1, "high": first + ROWS_PER_RUN - 1, "limit": limit}
    return _STEP_ROWS.all(connection, keys)


def add(connection: Connection, run_id: str, document: Document, *, is_first: bool = False) -> int | None:
    """Store a document as the next version; return None where the last version has the same bytes."""
    last = None if is_first else connection.execute(_LAST.where(RUN_DOCUMENTS.c.run_id == run_id)).first()
    if last is not None and last.body_sha256 == document.body_sha256:
        return None
    version: int = 1 if last is None else last.version + 1
    row = declare.row(RUN_DOCUMENTS, document) | {"run_id": run_id, "version": version}
    bulk_insert.insert(connection, RUN_DOCUMENTS, [row])
    return version


def find(connection: Connection, run_id: str, version: int | None = None) -> Document | None:
    """Return a version of a run's document, by default the last one."""
    which = [RUN_DOCUMENTS.c.run_id == run_id]
    if version is not None:
        which.append(RUN_DOCUMENTS.c.version == version)
    newest = select(*_DOCUMENT).where(*which).order_by(RUN_DOCUMENTS.c.version.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else Document(*row)


_NAMES: dict[type[Any], list[str]] = {
    kind: [each.name for each in fields(kind)] for kind in (results.Step, results.Usage)
}
#: The table of each kind of row.
TABLES: dict[type[Any], Table] = {results.Step: RUN_STEPS, results.Usage: RUN_USAGE}
_DOCUMENT = [RUN_DOCUMENTS.c[each.name] for each in fields(Document)]
_STEP_ROWS = prepared.Prepared(
    lambda _: (
        select(
            *(column_types.spelled(RUN_STEPS.c[each.name]) for each in fields(results.Step) if each.name != "salt")
        )
        .where(RUN_STEPS.c.id.between(bindparam("low"), bindparam("high")))
        .order_by(RUN_STEPS.c.id)
        .limit(bindparam("limit"))
    )
)
_TOOLS = select(RUN_STEPS.c.tool_name).where(RUN_STEPS.c.tool_name.is_not(None)).distinct()
_LAST = (
    select(RUN_DOCUMENTS.c.version, RUN_DOCUMENTS.c.body_sha256).order_by(RUN_DOCUMENTS.c.version.desc()).limit(1)
)
