"""What came back for a run: rows with salts, and the document byte for byte."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select

from storage.engine.database import Database
from storage.repositories import documents
from storage.results import Step, Usage
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_TOOLS
from tests import life

pytestmark = pytest.mark.anyio


async def store(database: Database, steps: list[Step], seq: int = 1) -> Sequence[Step]:
    def store(connection: Connection) -> Sequence[Step]:
        return documents.store(connection, seq, f"id{seq}", steps, Step)

    return await database.write(store)


async def test_steps_come_back_as_they_went(database: Database) -> None:
    steps = life.steps(5)
    await store(database, steps)
    assert await database.read(documents.read, 1, Step) == steps


@pytest.mark.parametrize(
    ("size", "statements"), [(documents.INSERTED, 1), (2 * documents.INSERTED, 3), (1 << 40, 5)]
)
async def test_large_steps_are_sent_to_a_server_a_few_at_a_time(
    server_url: str, size: int, statements: int
) -> None:
    def store(connection: Connection) -> list[str]:
        sent: list[str] = []

        def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            sent.append(statement)

        event.listen(connection, "before_cursor_execute", record)
        documents.store(connection, 1, "id1", steps, Step, is_first=True, size=size)
        event.remove(connection, "before_cursor_execute", record)
        return sent

    steps = life.steps(5)
    async with Database(server_url) as database:
        assert len(await database.write(store)) == statements
        assert await database.read(documents.read, 1, Step) == steps


async def test_usage_is_read_as_it_was_written(database: Database) -> None:
    usage = life.usage(5)
    await database.write(lambda connection: documents.store(connection, 1, "id1", usage, Usage))
    assert await database.read(documents.read, 1, Usage) == usage


async def test_steps_of_neighbours_are_not_mixed_up(database: Database) -> None:
    first, last = life.steps(1), [replace(life.steps(1)[0], position=ROWS_PER_RUN - 1)]
    await store(database, last, seq=1)
    await store(database, first, seq=2)
    assert [await database.read(documents.read, seq, Step) for seq in (1, 2, 3)] == [last, first, []]


async def test_steps_are_read_a_page_at_a_time(database: Database) -> None:
    await store(database, life.steps(9))
    page = await database.read(documents.read, 1, Step, after=3, limit=3)
    assert [step.position for step in page] == [4, 5, 6]


@pytest.mark.parametrize("letter", ["0123456789abcdef", "\N{GRINNING FACE}"])
async def test_a_tool_of_any_name_is_stored_and_found_by_its_first_200_characters(
    database: Database, letter: str
) -> None:
    run = await life.settled_run(database)
    name = "".join(random.Random(7).choices(letter, k=6400))
    steps = [replace(life.steps(1)[0], tool_name=name)]
    for _ in range(2):  # what is stored again is forgotten first
        await database.write(documents.store_steps, run.seq, run.id, steps)
    assert [each.tool_name for each in await database.read(documents.read, run.seq, Step)] == [name]
    assert await database.read(tools) == [name[:200]]
    await database.write(documents.delete_tools, run.seq)
    assert await database.read(tools) == []


def tools(connection: Connection) -> list[str]:
    return list(connection.execute(select(RUN_TOOLS.c.name)).scalars())


async def test_a_second_answer_replaces_the_first(database: Database) -> None:
    await store(database, life.steps(5))
    await store(database, life.steps(2, "Something else."))
    assert [step.content for step in await database.read(documents.read, 1, Step)] == ["Something else."] * 2


async def test_unchanged_rows_keep_their_salts(database: Database) -> None:
    steps = life.steps(3)
    await store(database, steps)
    changed = [*life.steps(2), replace(life.steps(3)[2], content="Changed.")]
    kept = await store(database, changed)
    assert [row.salt for row in kept] == [steps[0].salt, steps[1].salt, changed[2].salt]


async def test_what_is_answered_is_what_is_stored(database: Database) -> None:
    await store(database, life.steps(3))
    kept = await store(database, life.steps(4))
    assert await database.read(documents.read, 1, Step) == kept


@given(st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.lists(st.integers(0, 2**53 - 1)))
def test_the_bytes_of_a_row_are_canonical_and_leave_the_salt_out(content: str, output: Any) -> None:
    step = replace(life.steps(1)[0], content=content, tool_output=output, timestamp=None)
    values: dict[str, Any] = {
        "position": 0,
        "upstream_id": "step_0",
        "type": "tool_call",
        "content": content,
        "tool_name": "search",
        "tool_input": {"q": "lease"},
        "duration_ms": 20,
    }
    values |= {} if output is None else {"tool_output": output}
    assert documents.row_bytes(step) == rfc8785.dumps(values)


async def test_the_bytes_of_a_row_survive_the_database(database: Database) -> None:
    rows = [*life.steps(2), replace(life.steps(1)[0], position=2, tool_input=False, tool_output="", content="")]
    await store(database, rows)
    found = await database.read(documents.read, 1, Step)
    assert [documents.row_bytes(row) for row in found] == [documents.row_bytes(row) for row in rows]


async def test_a_document_comes_back_byte_for_byte(database: Database) -> None:
    body = bytes(range(256)) * 50
    await database.write(documents.add, "id1", life.document(body))
    found = await database.read(documents.find, "id1")
    assert found is not None
    assert zstandard.ZstdDecompressor().decompress(found.body) == body


async def test_a_document_that_differs_is_a_further_version(database: Database) -> None:
    versions = [await database.write(documents.add, "id1", life.document(body)) for body in (b"1", b"2", b"1")]
    assert versions == [1, 2, 3]


async def test_the_same_document_is_kept_once(database: Database) -> None:
    await database.write(documents.add, "id1", life.document(b"1"))
    assert await database.write(documents.add, "id1", life.document(b"1")) is None


async def test_any_version_can_be_requested_and_the_last_is_meant_otherwise(database: Database) -> None:
    for body in (b"1", b"22"):
        await database.write(documents.add, "id1", life.document(body))
    found = [await database.read(documents.find, "id1", version) for version in (1, 2, None, 3)]
    assert [document and document.size for document in found] == [1, 2, 2, None]


async def test_more_rows_than_a_run_has_room_for_are_refused_rather_than_anothers(database: Database) -> None:
    run = await life.accepted(database)
    beyond = [replace(life.steps(1)[0], position=ROWS_PER_RUN)]
    with pytest.raises(ValueError, match="more than 65536"):
        await database.write(documents.store, run.seq, run.id, beyond, Step)
