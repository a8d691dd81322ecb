"""What leaves one store comes into another, and out of it again, byte for byte."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage import documents, errors, export, filters, lists, runs, search, transitions
from storage.database import Database
from tests import life
from tests.receiver.exporting import files

pytestmark = pytest.mark.anyio

ENDED = "-status:running"


@pytest.fixture
async def other(tmp_path: Path, template: Path) -> AsyncIterator[Database]:
    """An empty store elsewhere."""
    path = shutil.copy(template, tmp_path / "other.db")
    async with Database(f"sqlite:///{path}") as store:
        yield store


async def test_what_was_imported_is_exported_as_the_same_bytes(database: Database, other: Database) -> None:
    await files.populated(other)
    told = await files.bytes_of(other, ENDED)
    assert (await files.imported(database, told)).imported == len(files.HOSTILE) + 2
    assert await files.bytes_of(database) == told


async def test_both_databases_tell_the_same_run_in_the_same_bytes(database: Database, other: Database) -> None:
    await files.populated(database)
    told = await files.bytes_of(database, ENDED)
    await files.imported(other, told)
    assert await files.bytes_of(other) == told


async def test_a_second_import_changes_nothing(database: Database, other: Database) -> None:
    await files.populated(other)
    told = await files.bytes_of(other, ENDED)
    first = await files.imported(database, told)
    assert await files.imported(database, told) == transitions.Imported(same=first.imported)
    assert await files.bytes_of(database) == told


async def test_a_run_that_is_here_otherwise_stays_as_it_is(database: Database, other: Database) -> None:
    await life.settled_run(other, upstream_id="run_1", prompt="Theirs.")
    ours = await life.settled_run(database, upstream_id="run_1", prompt="Ours.")
    told = await files.bytes_of(other)
    assert await files.imported(database, told) == transitions.Imported(different=1)
    assert await life.found(database, ours.id) == ours


async def test_a_live_run_is_left_to_the_store_that_watches_it(database: Database, other: Database) -> None:
    await life.running(other)
    assert await files.imported(database, await files.bytes_of(other)) == transitions.Imported(live=1)
    assert (await database.read(lists.page, lists.Query()))[0] == []


async def test_an_idempotency_key_that_stands_for_another_run_here_is_told(
    database: Database, other: Database
) -> None:
    await life.settled_run(other, idempotency_key="k")
    await life.accepted(database, idempotency_key="k")
    assert await files.imported(database, await files.bytes_of(other)) == transitions.Imported(clashing=1)


async def test_an_imported_run_is_found_by_its_words_its_tools_and_its_upstream_id(
    database: Database, other: Database
) -> None:
    await life.settled_run(other, upstream_id="run_1", prompt="Force majeure.")
    await files.imported(database, await files.bytes_of(other))
    await life.indexed(database)
    wanted = filters.parse('"force majeure" tool:search', life.NOW)
    ((found,), _) = await database.read(lists.page, lists.Query(wanted))
    assert await database.read(runs.own_id, "run_1") == found.id
    assert (await database.read(search.lag)).runs == 0


async def test_the_ledger_says_of_an_imported_run_what_it_was_and_hides_its_words(
    database: Database, other: Database
) -> None:
    run = await life.settled_run(other, upstream_id="run_1", prompt="Secret words.")
    await files.imported(database, await files.bytes_of(other))
    (entry,) = await life.entries(database, run.id)
    told = json.loads(entry.body)
    assert (told["kind"], told["actor"], told["facts"]["status"]) == ("run.imported", "operator", "completed")
    assert {"prompt", "output", "document", "steps", "usage"} <= told["digests"].keys()
    assert "Secret" not in entry.body


async def test_no_job_is_wished_for_an_imported_run(database: Database, other: Database) -> None:
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
    (record,) = await database.read(export.read, [run.seq], export.Parts(documents=True))
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
    (record,) = await other.read(export.read, [run.seq], export.Parts())
    unfit = replace(
        record, run=replace(run, agent_id="".join(random.Random(7).choices("0123456789abcdef", k=6400)))
    )
    with pytest.raises(errors.Unstorable, match=f"run {run.id}: cannot be stored here: index row"):
        await served.write(transitions.take, [unfit], "operator", life.NOW)
    lone = replace(record, run=replace(run, prompt="\ud800"))
    with pytest.raises(errors.Unstorable, match=run.id):
        await served.write(transitions.take, [lone], "operator", life.NOW)


async def test_a_tool_of_a_long_name_comes_into_either_database(database: Database, other: Database) -> None:
    """An earlier release kept the names of tools in full."""
    name = "".join(random.Random(7).choices("0123456789abcdef", k=6400))
    steps = [replace(life.steps(1)[0], tool_name=name)]
    run = await life.settled_run(other, result=life.result(steps=steps))
    assert (await files.imported(database, await files.bytes_of(other))).imported == 1
    held = await life.found(database, run.id)
    (step,) = await database.read(documents.read, held.seq, documents.Step)
    assert step.tool_name == name
