"""Large and odd values in lines: read a few at a time, kept as they are, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.export import import_reader
from storage.engine.database import Database
from storage.query import run_chunks
from storage.transitions import importing
from tests import life
from tests.receiver.export import files

pytestmark = pytest.mark.anyio


async def exported(database: Database, **measures: Any) -> dict[str, Any]:
    """Return a run as its line, with its document."""
    run = await life.settled_run(database, upstream_id="run_1", **measures)
    (record,) = await database.read(run_chunks.read, [run.seq], run_chunks.Parts(documents=True))
    body: dict[str, Any] = json.loads(files.line(record))
    return body


async def test_a_number_without_an_end_is_refused(embedded: Database) -> None:
    body = await exported(embedded)
    body["steps"][0]["toolInput"] = "HERE"
    line = json.dumps(body).replace('"HERE"', "[1e400]")
    with pytest.raises(ValueError, match="number"):
        import_reader.record(line.encode(), life.NOW)


async def test_a_document_keeps_whatever_bytes_it_has(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_1", result=life.result(body=b'{"nul": "\0"}'))
    (record,) = await database.read(run_chunks.read, [run.seq], run_chunks.Parts(documents=True))
    assert run_chunks.is_same(import_reader.record(files.line(record), life.NOW)[0], record)


async def test_runs_with_large_documents_are_read_a_few_at_a_time(embedded: Database) -> None:
    for at in range(4):
        body = bytes([65 + at]) * (run_chunks.BATCH_BYTES - 1)
        await life.settled_run(embedded, upstream_id=f"run_{at}", result=life.result(body=body))
    pieces = [piece async for piece in files.begun(embedded).pieces()]
    assert max(map(len, pieces)) < 2 * run_chunks.BATCH_BYTES
    assert (await files.imported(embedded, b"".join(pieces))) == importing.Imported(same=4)
