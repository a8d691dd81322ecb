"""What leaves one store comes into another, and out of it again, byte for byte."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from receiver.export import formats
from storage import errors, results
from storage.engine.database import Database
from storage.query import grammar, run_chunks, run_pages
from storage.repositories import documents, runs
from storage.search import index
from storage.transitions import importing
from tests import life
from tests.receiver.export import files

pytestmark = pytest.mark.anyio

ENDED = "-status:running"


@pytest.fixture
async def other(tmp_path: Path, template: Path) -> AsyncIterator[Database]:
    """Yield another, empty store."""
    path = shutil.copy(template, tmp_path / "other.db")
    async with Database(f"sqlite:///{path}") as store:
        yield store


async def test_what_was_imported_is_exported_as_the_same_bytes(database: Database, other: Database) -> None:
    await files.populated(other)
    exported = await files.bytes_of(other, ENDED)
    assert (await files.imported(database, exported)).imported == len(files.HOSTILE) + 2
    assert await files.bytes_of(database) == exported


async def test_both_databases_export_the_same_run_as_the_same_bytes(database: Database, other: Database) -> None:
    await files.populated(database)
    exported = await files.bytes_of(database, ENDED)
    await files.imported(other, exported)
    assert await files.bytes_of(other) == exported


async def test_a_line_is_the_json_of_its_record_with_sorted_names(database: Database) -> None:
    await files.populated(database)
    lines = (await files.bytes_of(database, documents=False, has_trailer=False)).splitlines(keepends=True)
    chunk = await database.read(
        run_chunks.read_chunk, grammar.EVERYTHING, index.Window(1, 100), run_chunks.Parts()
    )
    for line, record in zip(lines, chunk.records, strict=True):
        assert isinstance(record, run_chunks.Record)
        assert json.loads(line) == files.expected(record)
        assert line.decode() == formats.compact(json.loads(line)) + "\n"


async def test_a_second_import_changes_nothing(database: Database, other: Database) -> None:
    await files.populated(other)
    exported = await files.bytes_of(other, ENDED)
    first = await files.imported(database, exported)
    assert await files.imported(database, exported) == importing.Imported(same=first.imported)
    assert await files.bytes_of(database) == exported


async def test_a_stored_run_with_other_content_stays_as_it_is(database: Database, other: Database) -> None:
    await life.settled_run(other, upstream_id="run_1", prompt="Theirs.")
    ours = await life.settled_run(database, upstream_id="run_1", prompt="Ours.")
    exported = await files.bytes_of(other)
    assert await files.imported(database, exported) == importing.Imported(different=1)
    assert await life.get_run(database, ours.id) == ours


async def test_a_live_run_is_left_to_the_store_that_watches_it(database: Database, other: Database) -> None:
    await life.running(other)
    assert await files.imported(database, await files.bytes_of(other)) == importing.Imported(live=1)
    assert (await database.read(run_pages.page, run_pages.Query()))[0] == []


async def test_an_idempotency_key_that_names_another_run_here_is_reported(
    database: Database, other: Database
) -> None:
    await life.settled_run(other, idempotency_key="k")
    await life.accepted(database, idempotency_key="k")
    assert await files.imported(database, await files.bytes_of(other)) == importing.Imported(clashing=1)


async def test_an_imported_run_is_found_by_its_words_its_tools_and_its_upstream_id(
    database: Database, other: Database
) -> None:
    await life.settled_run(other, upstream_id="run_1", prompt="Force majeure.")
    await files.imported(database, await files.bytes_of(other))
    await life.indexed(database)
    wanted = grammar.parse('"force majeure" tool:search', life.NOW)
    ((found,), _) = await database.read(run_pages.page, run_pages.Query(wanted))
    assert await database.read(runs.resolve_id, "run_1") == found.id
    assert (await database.read(index.lag)).runs == 0


async def test_the_ledger_records_an_imported_run_without_its_texts(database: Database, other: Database) -> None:
    run = await life.settled_run(other, upstream_id="run_1", prompt="Secret words.")
    await files.imported(database, await files.bytes_of(other))
    (entry,) = await life.entries(database, run.id)
    body = json.loads(entry.body)
    assert (body["kind"], body["actor"], body["facts"]["status"]) == ("run.imported", "operator", "completed")
    assert {"prompt", "output", "document", "steps", "usage"} <= body["digests"].keys()
    assert "Secret" not in entry.body


async def test_no_job_is_enqueued_for_an_imported_run(database: Database, other: Database) -> None:
    run = await life.settled_run(other)
    await files.imported(database, await files.bytes_of(other))
    assert await life.open_jobs(database, run.id) == []


async def test_documents_come_back_byte_for_byte_in_all_their_versions(
    database: Database, other: Database
) -> None:
    await files.populated(other)
    await files.imported(database, await files.bytes_of(other, ENDED))
    run = await database.read(runs.find, "run_two")
    assert run is not None
    (record,) = await database.read(run_chunks.read, [run.seq], run_chunks.Parts(documents=True))
    assert [each.version for each in record.documents or ()] == [1, 2]
    last = await database.read(documents.find, run.id)
    assert last is not None
    assert (last.size, last.body_sha256) == (len(files.BROKEN), life.document(files.BROKEN).body_sha256)


async def test_what_was_pruned_comes_back_pruned(database: Database, other: Database) -> None:
    await files.populated(other)
    await files.imported(database, await files.bytes_of(other, ENDED))
    run = await database.read(runs.find, "run_failed")
    assert run is not None
    assert (run.pruned_at, run.prompt) == (life.at(100), None)


async def test_a_run_that_a_database_cannot_hold_is_named(served: Database, other: Database) -> None:
    run = await life.settled_run(other)
    (record,) = await other.read(run_chunks.read, [run.seq], run_chunks.Parts())
    unfit = replace(
        record, run=replace(run, agent_id="".join(random.Random(7).choices("0123456789abcdef", k=6400)))
    )
    with pytest.raises(errors.UnstorableValue, match=f"run {run.id}: cannot be stored here: index row"):
        await served.write(importing.import_runs, [unfit], "operator", life.NOW)
    lone = replace(record, run=replace(run, prompt="\ud800"))
    with pytest.raises(errors.UnstorableValue, match=run.id):
        await served.write(importing.import_runs, [lone], "operator", life.NOW)


async def test_a_tool_of_a_long_name_comes_into_either_database(database: Database, other: Database) -> None:
    """An earlier release kept the names of tools in full."""
    name = "".join(random.Random(7).choices("0123456789abcdef", k=6400))
    steps = [replace(life.steps(1)[0], tool_name=name)]
    run = await life.settled_run(other, result=life.result(steps=steps))
    assert (await files.imported(database, await files.bytes_of(other))).imported == 1
    held = await life.get_run(database, run.id)
    (step,) = await database.read(documents.read, held.seq, results.Step)
    assert step.tool_name == name
