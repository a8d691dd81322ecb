"""The contents of a run in outline and in pieces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.engine.database import Database
from storage.query import run_contents
from storage.tables.runs import RUN_STEPS
from tests import life

pytestmark = pytest.mark.anyio


async def stored(database: Database, *outputs: Any) -> int:
    """Store a run whose steps have these outputs; return its key."""
    steps = [
        replace(step, tool_output=output) for step, output in zip(life.steps(len(outputs)), outputs, strict=True)
    ]
    run = await life.settled_run(database, result=life.result(steps=steps))
    return run.seq


FAILED: list[Any] = [{"error": "no"}, {"error": {"code": 1}}, {"isError": True}, {"status": "failed"}]
EMPTY: list[Any] = [None, "", False, {}]
FINE: list[Any] = [
    *({"error": each} for each in EMPTY),
    *(["error", "failed"], "failed", {"text": '"error"'}, {"status": "done", "isError": False}, None, 7),
]


async def test_a_step_failed_where_its_tool_says_so(database: Database) -> None:
    seq = await stored(database, *FAILED, *FINE)
    outlines = await database.read(run_contents.outlines, seq)
    assert [each.is_failed for each in outlines] == [True] * len(FAILED) + [False] * len(FINE)


async def test_the_output_of_a_step_is_read_only_where_it_is_not_stored_whether_it_failed(
    database: Database,
) -> None:
    seq = await stored(database, *FAILED, *FINE, {"error": "no"})
    of_last = RUN_STEPS.c.position == len(FAILED) + len(FINE)
    await database.write(
        lambda connection: (
            connection.execute(RUN_STEPS.update().values(is_failed=None).where(~of_last)),
            connection.execute(RUN_STEPS.update().values(is_failed=False).where(of_last)),
        )
    )
    outlines = await database.read(run_contents.outlines, seq)
    assert [each.is_failed for each in outlines] == [True] * len(FAILED) + [False] * (len(FINE) + 1)


async def test_an_outline_has_the_beginnings_and_the_sizes_of_the_values(database: Database) -> None:
    seq = await stored(database, {"text": "ß" * 5000}, None)
    heads = await database.read(run_contents.heads, seq, [0, 1])
    assert heads[0].output is not None
    assert len(heads[0].output) == run_contents.HEAD
    assert (heads[0].size("output") or 0) > 10_000
    assert (heads[1].output, heads[1].size("output")) == (None, None)


async def test_a_value_is_read_in_pieces(database: Database) -> None:
    seq = await stored(database, {"a": "ßx" * 100})

    async def read(start: int, count: int) -> str:
        return await database.read(run_contents.piece, seq, 0, "output", start, count) or ""

    whole = await read(0, 1000)
    pieces = [await read(at, 50) for at in range(0, len(whole), 50)]
    assert "".join(pieces) == whole != ""
    assert await database.read(run_contents.piece, seq, 9, "output", 0, 10) is None


async def test_a_text_is_found_in_any_value_and_means_itself(database: Database) -> None:
    seq = await stored(database, {"a": "50% OFF"}, {"a": "500 off"}, None)
    assert await database.read(run_contents.containing, seq, "50% off") == {0}
    assert await database.read(run_contents.containing, seq, "SEARCH") == {0, 1, 2}


async def test_usage_is_summed_by_service(database: Database) -> None:
    seq = await stored(database, None)
    (group,) = await database.read(run_contents.usage, seq)
    assert (group.service, group.calls, group.failed, group.cost_micros) == ("openai", 2, 0, 2000)


async def test_the_versions_of_a_document_are_listed_without_their_bytes(database: Database) -> None:
    run = await life.settled_run(database)
    (version,) = await database.read(run_contents.document_versions, run.id)
    assert (version.version, version.size) == (1, len(b'{"status":"completed"}'))
