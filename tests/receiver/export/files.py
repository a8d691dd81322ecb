"""Exports as a caller of the library has them: all bytes at once, and files that are read back."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from receiver.export import flow, formats, import_reader
from storage import states
from storage.engine.database import Database
from storage.query import grammar, run_chunks
from storage.transitions import importing, pruning
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
    await database.write(pruning.prune, grammar.parse("status:failed", life.NOW), life.at(100))
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
