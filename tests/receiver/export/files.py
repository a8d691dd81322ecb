"""Exports as a caller of the library has them: all bytes at once, and files that are read back."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from receiver.export import flow, formats, import_reader, jsonl
from storage import states
from storage.engine.database import Database
from storage.query import grammar, run_chunks
from storage.retention import erasing
from storage.transitions import importing
from tests import life

#: Prompts that somebody wrote to break a file.
HOSTILE = [
    '=HYPERLINK("http://evil.example","x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\tcmd",
    "\rcmd",
    "\ncmd",
    'a "quote", a comma\r\nand a line',
    "line\u2028separator \u2029 and \x85 next",
    "é 日本語 🜚 \u202e right to left",
    '{"trailer":{"records":0}}',
]
BROKEN = b'{"status": "completed", \xff\xfe}\r\n\x00'


async def populated(database: Database) -> None:
    """Store runs of every kind: hostile, with two documents, failed, pruned, running."""
    for at, prompt in enumerate(HOSTILE):
        await life.settled_run(
            database, upstream_id=f"run_{at}", prompt=prompt, tags={"client": "acme", "n": str(at)}
        )
    run = await life.settled_run(database, upstream_id="run_two", idempotency_key="k-1", object_ids=("o1", "o2"))
    await life.settle(database, run, life.result(body=BROKEN), life.at(90))
    await life.settled_run(database, states.FAILED, upstream_id="run_failed")
    await database.write(erasing.erase, grammar.parse("status:failed", life.NOW), life.OLD, life.at(100))
    await life.running(database, upstream_id="run_live")


async def bytes_of(database: Database, question: str = "", **options: Any) -> bytes:
    """Return a whole export."""
    return b"".join([piece async for piece in begun(database, question, **options).pieces()])


def begun(
    database: Database,
    question: str = "",
    form: str = "jsonl",
    after: str | None = None,
    documents: bool = True,
    has_trailer: bool = True,
    stopping: asyncio.Event | None = None,
) -> flow.Export:
    """Return an export of which nothing was read yet."""
    made = flow.new_writer(formats.Format(form), follows=after is not None, has_trailer=has_trailer)
    wanted = grammar.parse(question, life.NOW)
    return flow.Export(database.timed_read, wanted, made, run_chunks.Parts(documents=documents), after, stopping)


def line(record: run_chunks.Record) -> bytes:
    """Return the line of a record, as the product writes it."""
    return jsonl.JsonLinesWriter().rows([_rows(record)])


def _rows(record: run_chunks.Record) -> run_chunks.RunRows:
    return run_chunks.RunRows(
        record.id,
        _row(record.run, run_chunks.RUN_COLUMNS),
        [_row(each, run_chunks.STEP_COLUMNS) for each in record.steps],
        [_row(each, run_chunks.USAGE_COLUMNS) for each in record.usage],
        record.documents,
    )


def _row(value: object, names: Sequence[str]) -> list[Any]:
    """Return a value as the row that is read of it: JSON and instants are texts."""
    values = {name: getattr(value, name) for name in names}
    return [
        json.dumps(each) if name in JSON_COLUMNS and each is not None else formats.json_value(each)
        for name, each in values.items()
    ]


def expected(record: run_chunks.Record) -> dict[str, Any]:
    """Return the line of a record as JSON values, made field by field."""
    spelled = {to_camel(name): getattr(record.run, name) for name in run_chunks.RUN_COLUMNS}
    trace = {"steps": (record.steps, run_chunks.STEP_COLUMNS), "usage": (record.usage, run_chunks.USAGE_COLUMNS)}
    for noun, (rows, names) in trace.items():
        spelled[noun] = [{to_camel(name): getattr(row, name) for name in names} for row in rows]
    found: dict[str, Any] = json.loads(json.dumps(spelled, default=formats.json_value))
    return found


JSON_COLUMNS = ("tool_input", "tool_output", "metadata")


def trailer(data: bytes) -> dict[str, Any]:
    """Check a whole file, and return what its trailer says."""
    size = import_reader.verify(io.BytesIO(data))
    found: dict[str, Any] = json.loads(data[size:])["trailer"]
    return found


async def imported(database: Database, data: bytes) -> importing.Imported:
    """Read a whole file back."""
    file = io.BytesIO(data)
    size, report = import_reader.verify(file), import_reader.Report()
    records = [record for record, _ in import_reader.records(file, size, life.NOW, report)]
    assert report == import_reader.Report()
    return await database.write(importing.import_runs, records, "operator", life.at(200))
