"""Statements about the contents of one run, however large they are. None reads a whole value unasked.

They return its steps in outline, pieces of their values, its usage by service, the versions of its document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)

from storage import bounds, results
from storage.engine import column_types, dialect, prepared
from storage.engine.membership import is_among
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_DOCUMENTS, RUN_STEPS, RUN_USAGE

#: The characters of each value that an outline shows, and the most groups of usage.
HEAD, MAX_GROUPS = 160, 200
#: The greatest position of a step.
MAX_POSITION = ROWS_PER_RUN - 1
#: The values of a step, by the names that pages give them.
PARTS: dict[str, ColumnElement[Any]] = {
    "content": RUN_STEPS.c.content,
    "input": RUN_STEPS.c.tool_input,
    "output": RUN_STEPS.c.tool_output,
}

#: The members of a tool's output that `results.is_failed` reads.
_TELLING = ("error", "isError", "status")
#: Their values, for a step without a stored `is_failed`. A search for the words comes first, since few outputs
#: have any and parsing takes longer.
_TELLING_ON_FILE = """CASE WHEN is_failed IS NOT NULL OR tool_output IS NULL THEN NULL
WHEN instr(tool_output, 'rror"') = 0 AND instr(tool_output, '"failed"') = 0 THEN NULL
WHEN json_valid(tool_output) THEN json_extract(tool_output, '$.error', '$.isError', '$.status') END"""
_TELLING_ON_SERVER = """CASE WHEN is_failed IS NULL
THEN jsonb_build_array(tool_output -> 'error', tool_output -> 'isError', tool_output -> 'status') END"""


class Outline(msgspec.Struct, frozen=True):
    """A step without its values."""

    position: int
    type: str | None
    tool_name: str | None
    duration_ms: int | None
    timestamp: datetime | None
    is_failed: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The beginnings of the values of a step, and their sizes in bytes; None where it has no such value."""

    position: int
    content: str | None
    input: str | None
    output: str | None
    content_size: int | None
    input_size: int | None
    output_size: int | None

    def size(self, part: str) -> int | None:
        """Return the size of a value by its name in PARTS."""
        sizes = {"content": self.content_size, "input": self.input_size, "output": self.output_size}
        return sizes[part]


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """The charged calls of one service and endpoint; sums are None where no call has the number."""

    kind: str | None
    service: str | None
    endpoint: str | None
    model: str | None
    calls: int
    failed: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_micros: int | None


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """A version of a run's document without its bytes."""

    version: int
    fetched_at: datetime
    size: int
    body_sha256: str
    parse_error: str | None


def outlines(connection: Connection, run_seq: int) -> list[Outline]:
    """Return all steps of a run in outline, in order. A value of a wrong type counts as missing."""
    return [_outline(*row) for row in _OUTLINES.all(connection, _keys(run_seq))]


def _outline(
    position: int,
    stored_type: Any,
    tool_name: Any,
    took: Any,
    at: datetime | None,
    is_failed: bool | None,
    telling: Sequence[Any] | None,
) -> Outline:
    type = stored_type if isinstance(stored_type, str) else None
    if is_failed is None:
        is_failed = results.is_failed(type, dict(zip(_TELLING, telling or (), strict=False)))
    return Outline(
        position,
        type,
        tool_name if isinstance(tool_name, str) else None,
        took if isinstance(took, int) and took >= 0 else None,
        None if at == bounds.FIRST else at,
        is_failed,
    )


def heads(connection: Connection, run_seq: int, positions: Sequence[int]) -> dict[int, Head]:
    """Return the beginnings of the values of these steps, by position."""
    keys = {"keys": [run_seq * ROWS_PER_RUN + each for each in positions]}
    rows = connection.execute(_heads(connection), keys)
    return {row[0]: Head(row[0], _text(row[1]), _text(row[2]), _text(row[3]), *row[4:]) for row in rows}


def containing(connection: Connection, run_seq: int, text: str) -> set[int]:
    """Return the positions of the steps that contain a text in any value, whatever its case."""
    columns = (RUN_STEPS.c.tool_name, *(cast(each, Text) for each in PARTS.values()))
    found = or_(*(each.icontains(text, autoescape=True) for each in columns))
    return set(connection.execute(select(RUN_STEPS.c.position).where(_of_run(), found), _keys(run_seq)).scalars())


def piece(connection: Connection, run_seq: int, position: int, part: str, start: int, count: int) -> str | None:
    """Return characters of a step's value, JSON as its text; None where the step has no such value."""
    text = func.substr(cast(PARTS[part], Text), start + 1, count)
    of_step = RUN_STEPS.c.id == run_seq * ROWS_PER_RUN + position
    return _text(connection.execute(select(text).where(of_step)).scalar())


def _text(value: str | bytes | None) -> str | None:
    """Return a text of a row, which is bytes where it is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def usage(connection: Connection, run_seq: int) -> list[UsageGroup]:
    """Return the usage of a run by service, endpoint and model, the most expensive first."""
    row = RUN_USAGE.c
    by = (row.kind, row.service, row.endpoint, row.model)
    failed = func.count().filter(row.status_code >= 400)
    measures = (row.prompt_tokens, row.completion_tokens, row.cost_micros)
    sums = [dialect.total(connection, each) for each in measures]
    keys = row.id.between(run_seq * ROWS_PER_RUN, run_seq * ROWS_PER_RUN + ROWS_PER_RUN - 1)
    grouped = select(*by, func.count(), failed, *sums).where(keys).group_by(*by)
    rows = connection.execute(grouped.order_by(sums[-1].desc().nulls_last(), *by).limit(MAX_GROUPS))
    return [UsageGroup(*each) for each in rows]


def document_versions(connection: Connection, run_id: str) -> list[DocumentVersion]:
    """Return the versions of a run's document, the newest first."""
    row = RUN_DOCUMENTS.c
    columns = (row.version, row.fetched_at, row.size, row.body_sha256, row.parse_error)
    newest = select(*columns).where(row.run_id == run_id).order_by(row.version.desc()).limit(MAX_GROUPS)
    return [DocumentVersion(*each) for each in connection.execute(newest)]


def _outlines(connection: Connection) -> Select[Any]:
    row = RUN_STEPS.c
    telling = literal_column(
        _TELLING_ON_FILE if dialect.is_embedded(connection) else _TELLING_ON_SERVER, column_types.Json
    )
    columns = (row.position, row.type, row.tool_name, row.duration_ms, row.timestamp, row.is_failed)
    return select(*columns, telling.label("telling")).where(_of_run()).order_by(row.id)


_OUTLINES = prepared.Prepared(_outlines)


@dialect.built_once
def _heads(connection: Connection) -> Select[Any]:
    texts = [cast(each, Text) for each in PARTS.values()]
    sizes = [_octets(connection, each) for each in texts]
    beginnings = [func.substr(each, 1, HEAD) for each in texts]
    return select(RUN_STEPS.c.position, *beginnings, *sizes).where(is_among(RUN_STEPS.c.id, "keys"))


def _octets(connection: Connection, text: ColumnElement[str]) -> ColumnElement[int]:
    """Return the number of bytes of a text."""
    if dialect.is_embedded(connection):
        return func.length(cast(text, column_types.Bytes))
    return func.octet_length(text)


def _of_run() -> ColumnElement[bool]:
    return RUN_STEPS.c.id.between(bindparam("low"), bindparam("high"))


def _keys(run_seq: int) -> dict[str, int]:
    return {"low": run_seq * ROWS_PER_RUN, "high": run_seq * ROWS_PER_RUN + ROWS_PER_RUN - 1}
