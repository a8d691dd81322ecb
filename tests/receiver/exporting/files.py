"""Exports as a caller of the library has them: all bytes at once, and files that are read back."""

from __future__ import annotations

import asyncio
import io
from typing import Any

from receiver import exporting
from receiver.exporting import reading
from storage import export, filters, states, transitions
from storage.database import Database
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
    """Runs of every kind: hostile, with two documents, failed, pruned, live."""
    for at, prompt in enumerate(HOSTILE):
        await life.settled_run(
            database, upstream_id=f"run_{at}", prompt=prompt, tags={"client": "acme", "n": str(at)}
        )
    run = await life.settled_run(database, upstream_id="run_two", idempotency_key="k-1", object_ids=("o1", "o2"))
    await life.settle(database, run, life.result(body=BROKEN), life.at(90))
    await life.settled_run(database, states.FAILED, upstream_id="run_failed")
    await database.write(transitions.prune, filters.parse("status:failed", life.NOW), life.at(100))
    await life.running(database, upstream_id="run_live")


async def bytes_of(database: Database, question: str = "", **options: Any) -> bytes:
    """A whole export."""
    return b"".join([piece async for piece in begun(database, question, **options).pieces()])


def begun(
    database: Database,
    question: str = "",
    form: str = "jsonl",
    after: str | None = None,
    documents: bool = True,
    has_trailer: bool = True,
    stopping: asyncio.Event | None = None,
) -> exporting.Export:
    """An export of which nothing was read yet."""
    made = exporting.form(exporting.Format(form), follows=after is not None, has_trailer=has_trailer)
    wanted = filters.parse(question, life.NOW)
    return exporting.Export(database.ask, wanted, made, export.Parts(documents=documents), after, stopping)


async def imported(database: Database, told: bytes) -> transitions.Imported:
    """Reads a whole file back."""
    file = io.BytesIO(told)
    size = reading.whole(file).size
    records = [record for record, _ in reading.records(file, size, life.NOW)]
    return await database.write(transitions.take, records, "operator", life.at(200))
