"""What lines hold that is large or odd: read a few at a time, kept as it is, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.exporting import lines, reading
from storage import export, transitions
from storage.database import Database
from tests import life
from tests.receiver.exporting import files

pytestmark = pytest.mark.anyio


async def exported(database: Database, **measures: Any) -> dict[str, Any]:
    """A run as its line, with its document."""
    run = await life.settled_run(database, upstream_id="run_1", **measures)
    (record,) = await database.read(export.read, [run.seq], export.Parts(documents=True))
    told: dict[str, Any] = json.loads(lines.line(record))
    return told


async def test_a_number_without_an_end_is_refused(embedded: Database) -> None:
    told = await exported(embedded)
    told["steps"][0]["toolInput"] = "HERE"
    line = json.dumps(told).replace('"HERE"', "[1e400]")
    with pytest.raises(ValueError, match="number"):
        reading.record(line.encode(), life.NOW)


async def test_a_document_keeps_whatever_bytes_it_has(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_1", result=life.result(body=b'{"nul": "\0"}'))
    (record,) = await database.read(export.read, [run.seq], export.Parts(documents=True))
    assert export.is_same(reading.record(lines.line(record), life.NOW), record)


async def test_runs_with_large_documents_are_read_a_few_at_a_time(embedded: Database) -> None:
    for at in range(4):
        body = bytes([65 + at]) * (export.GROUP_BYTES - 1)
        await life.settled_run(embedded, upstream_id=f"run_{at}", result=life.result(body=body))
    pieces = [piece async for piece in files.begun(embedded).pieces()]
    assert max(map(len, pieces)) < 2 * export.GROUP_BYTES
    assert (await files.imported(embedded, b"".join(pieces))) == transitions.Imported(same=4)
