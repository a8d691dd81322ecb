"""Statements about what came back for a run: its steps, its usage, and the document byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

import zstandard
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, select

from storage import bounds, columns, merkle, tables
from storage.tables import RUN_DOCUMENTS, RUN_STEPS, RUN_TOOLS, RUN_USAGE

#: A run's rows are keyed `seq * ROWS + position`, so that they lie together and need no index of their own.
ROWS = tables.ROWS
#: How hard a document is compressed: level 3 takes 200 µs for 40 kB.
LEVEL = 3


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the trace. `salt` hides its digest in the ledger."""

    position: int
    upstream_id: str | None
    type: str | None
    content: str | None
    tool_name: str | None
    tool_input: Any
    tool_output: Any
    duration_ms: int | None
    timestamp: datetime | None
    salt: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """One usage entry. Costs in micro-dollars."""

    position: int
    upstream_id: str | None
    kind: str | None
    service: str | None
    endpoint: str | None
    method: str | None
    status_code: int | None
    cost_micros: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    model: str | None
    timestamp: datetime | None
    metadata: Any
    salt: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """The upstream's answer: one zstd frame, and the SHA-256 and size of what it holds."""

    body: bytes
    body_sha256: str
    size: int
    fetched_at: datetime
    parse_error: str | None = None
    version: int = 0

    def read(self) -> bytes:
        """What the upstream answered, byte for byte; that may take a while. Raises ValueError where it broke."""
        try:
            return zstandard.ZstdDecompressor().decompress(self.body, max_output_size=self.size)
        except zstandard.ZstdError as error:
            raise ValueError(f"the stored document is damaged: {error}") from error


def packed(body: bytes, fetched_at: datetime, parse_error: str | None = None, version: int = 0) -> Document:
    """An answer as it is stored."""
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(body)
    return Document(frame, hashlib.sha256(body).hexdigest(), len(body), fetched_at, parse_error, version)


RowT = TypeVar("RowT", Step, Usage)


def row_bytes(row: Step | Usage) -> bytes:
    """The canonical bytes of a row that its digest covers: all it holds but the salt, absent values left out."""
    values = {name: value for name, value in _values(row).items() if value is not None and name != "salt"}
    if row.timestamp is not None:
        values["timestamp"] = columns.text(row.timestamp)
    return merkle.object_bytes(values)


def _values(row: Step | Usage) -> dict[str, Any]:
    """What a row holds, by name; nothing is copied, since it may be large."""
    return {each.name: getattr(row, each.name) for each in fields(row)}


def root(name: str, rows: Sequence[Step] | Sequence[Usage]) -> tuple[merkle.Sealed, ...]:
    """The digest of all rows of a kind, whose salts stand on them; nothing of none."""
    return merkle.seal_rows(name, [(row.salt, row_bytes(row)) for row in rows]) if rows else ()


def store_steps(connection: Connection, run_seq: int, run_id: str, steps: Sequence[Step]) -> Sequence[Step]:
    """`store` for steps, and the names of the tools that they used, cut to what an index takes."""
    held = _tools(connection, run_seq)
    stored = store(connection, run_seq, run_id, steps, Step)
    named = {step.tool_name[: bounds.NAME] for step in steps if step.tool_name is not None}
    _forget_tools(connection, run_seq, held - named)
    if new := sorted(named - held):
        connection.execute(
            RUN_TOOLS.insert(), [{"name": name, "run_seq": run_seq, "run_id": run_id} for name in new]
        )
    return stored


def forget_tools(connection: Connection, run_seq: int) -> None:
    """Removes the names of a run's tools, while its steps are still there."""
    _forget_tools(connection, run_seq, _tools(connection, run_seq))


def _tools(connection: Connection, run_seq: int) -> set[str]:
    named = connection.execute(_TOOLS.where(_rows(RUN_STEPS, run_seq))).scalars()
    return {name[: bounds.NAME] for name in named}


def _forget_tools(connection: Connection, run_seq: int, names: Iterable[str]) -> None:
    which = and_(RUN_TOOLS.c.name == bindparam("gone"), RUN_TOOLS.c.run_seq == run_seq)
    if gone := [{"gone": name} for name in sorted(names)]:
        connection.execute(delete(RUN_TOOLS).where(which), gone)


def _rows(table: Table, run_seq: int) -> ColumnElement[bool]:
    return table.c.id.between(run_seq * ROWS, run_seq * ROWS + ROWS - 1)


def store(
    connection: Connection, run_seq: int, run_id: str, rows: Sequence[RowT], table: type[RowT]
) -> Sequence[RowT]:
    """Writes the rows of a run in place of those that are there; answers them with the salts that hold.

    A row that is there with the same content keeps its salt, so that digests given before stay provable. Where
    there is none the answer is `rows` itself: what was hashed of them before holds.
    """
    if rows and rows[-1].position >= ROWS:
        raise ValueError(f"more than {ROWS} rows of one run")  # they would be another run's
    held = {row.position: row for row in read(connection, run_seq, table)}
    kept = [_keep_salt(row, held.get(row.position)) for row in rows] if held else rows
    if held:
        target = TABLES[table]
        connection.execute(delete(target).where(_rows(target, run_seq)))
    if kept:
        values = [{"id": run_seq * ROWS + row.position, "run_id": run_id, **_values(row)} for row in kept]
        connection.execute(TABLES[table].insert(), values)
    return kept


def _keep_salt(row: RowT, held: RowT | None) -> RowT:
    return held if held is not None and row_bytes(held) == row_bytes(row) else row


def read(
    connection: Connection, run_seq: int, table: type[RowT], *, after: int = -1, limit: int = ROWS
) -> list[RowT]:
    """The rows of a run behind the position `after`, in order."""
    source = TABLES[table]
    span = source.c.id.between(run_seq * ROWS + after + 1, run_seq * ROWS + ROWS - 1)
    wanted = [source.c[each.name] for each in fields(table)]
    return [
        table(*row) for row in connection.execute(select(*wanted).where(span).order_by(source.c.id).limit(limit))
    ]


def add(connection: Connection, run_id: str, document: Document) -> int | None:
    """Keeps a document as the next version; None where the last version has the same bytes."""
    last = connection.execute(_LAST.where(RUN_DOCUMENTS.c.run_id == run_id)).first()
    if last is not None and last.body_sha256 == document.body_sha256:
        return None
    values = asdict(document) | {"run_id": run_id, "version": 1 if last is None else last.version + 1}
    connection.execute(RUN_DOCUMENTS.insert(), values)
    version: int = values["version"]
    return version


def find(connection: Connection, run_id: str, version: int | None = None) -> Document | None:
    """A version of a run's document, the last one where none is named."""
    which = [RUN_DOCUMENTS.c.run_id == run_id]
    if version is not None:
        which.append(RUN_DOCUMENTS.c.version == version)
    newest = select(*_DOCUMENT).where(*which).order_by(RUN_DOCUMENTS.c.version.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else Document(*row)


def versions(connection: Connection, run_id: str) -> int:
    """How many versions of a run's document there are."""
    counted = select(func.count()).select_from(RUN_DOCUMENTS).where(RUN_DOCUMENTS.c.run_id == run_id)
    return connection.execute(counted).scalar_one()


#: Where the rows of each kind are.
TABLES: dict[type[Any], Table] = {Step: RUN_STEPS, Usage: RUN_USAGE}
_DOCUMENT = [RUN_DOCUMENTS.c[each.name] for each in fields(Document)]
_TOOLS = select(RUN_STEPS.c.tool_name).where(RUN_STEPS.c.tool_name.is_not(None)).distinct()
_LAST = (
    select(RUN_DOCUMENTS.c.version, RUN_DOCUMENTS.c.body_sha256).order_by(RUN_DOCUMENTS.c.version.desc()).limit(1)
)
