"""A backfill next to a running server: the command walks the list, the server fetches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import backfill
from storage import states
from storage.engine.database import Database
from storage.repositories import backfills, upstream_links
from storage.transitions import starting
from tests import life
from tests.journeys import harness, upstreams
from tests.journeys.judging import judge
from tests.receiver.cli import terminal


def test_the_server_fetches_what_a_backfill_finds(
    deployment: harness.Deployment, nonce: str, tmp_path: Path
) -> None:
    agent = deployment.upstream.post("/agent/v1/agents", json={"name": "Past", "instructions": "Work."}).json()[
        "id"
    ]
    past = deployment.sandbox.past(3, agentId=agent, prompt=nonce)
    ours = deployment.server.site.environment
    theirs = {"CASEDEV_BASE_URL": deployment.sandbox.url, "CASEDEV_API_KEY": "sk_case_test"}
    shown = terminal.process("backfill", "--agent", agent, "--json", folder=tmp_path, **ours, **theirs)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["stored"] == 3
    found = judge(deployment, nonce, settled_by="sweep", records=3, execs=3)
    assert {run["upstream_id"] for run in found} == set(past)
    assert len(deployment.calls("details", nonce)) == 3


@pytest.mark.anyio
async def test_what_a_lost_call_may_have_made_is_left_to_it(database: Database) -> None:
    line = {"agentId": "agent_x", "prompt": "Review the lease.", "status": "completed"}
    listed = [
        {**line, "id": "run_mine", "createdAt": life.at(5).isoformat()},
        {**line, "id": "run_old", "createdAt": life.at(-9000).isoformat()},
        {**line, "id": "run_other", "createdAt": life.at(5).isoformat(), "prompt": "Review the will."},
    ]
    run = await life.accepted(database, agent_id=None, instructions="x", prompt="Review the lease.")
    await database.write(starting.mark_call, await life.claimed(database, states.Kind.START, run.id), life.at(1))
    asked = backfills.Walk("w", None, None, None, None, 0, 0, life.at(10), None)
    page = httpx.Response(200, json={"runs": listed, "hasMore": False})
    async with upstreams.answering(database, lambda _: page, now=lambda: life.at(10)) as context:
        begun = await database.write(backfills.begin, asked, restart=False)
        walked = [each async for each in backfill.walk(context, begun)]
    assert [(each.seen, each.taken) for each in walked] == [(2, 2)]
    assert set(await database.read(upstream_links.linked_runs, [each["id"] for each in listed])) == {
        "run_old",
        "run_other",
    }


def pages(kind: str, cursor: str | None) -> dict[str, object]:
    """A list that leads nowhere: what it shows behind a cursor."""
    at = {None: 0, "run_a": 1, "run_b": 2}.get(cursor, 3)
    runs = [{"id": f"run_{'abcd'[at]}", "status": "completed"}]
    behind: dict[str, dict[str | None, str | None]] = {
        "circle": {None: "run_a", "run_a": "run_b", "run_b": "run_a"},
        "itself": {None: "run_a", "run_a": "run_a"},
        "no cursor": {None: "run_a", "run_a": None},
    }
    if kind == "the same page":
        return {"runs": [{"id": "run_a", "status": "completed"}], "hasMore": True, "nextCursor": f"{cursor}x"}
    if kind == "nothing":
        return {"runs": [], "hasMore": True, "nextCursor": f"{cursor}x"}
    return {"runs": runs, "hasMore": True, "nextCursor": behind[kind][cursor]}


async def _to_its_end(walks: AsyncIterator[backfills.Walk]) -> None:
    async for _ in walks:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "calls", "taken"),
    [("circle", 3, 3), ("itself", 2, 2), ("no cursor", 2, 2), ("the same page", 2, 1), ("nothing", 20, 0)],
)
async def test_a_list_that_leads_nowhere_ends_the_walk_with_the_place(
    database: Database, kind: str, calls: int, taken: int
) -> None:
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor"))
        assert len(asked) < 100, "it walks for ever"
        return httpx.Response(200, json=pages(kind, asked[-1]))

    begun = backfills.Walk("w", None, None, None, None, 0, 0, life.NOW, None)
    async with upstreams.answering(database, answer, now=lambda: life.NOW) as context:
        walk = await database.write(backfills.begin, begun, restart=False)
        walks = backfill.walk(context, walk)
        with pytest.raises(errors.InvalidPaging, match="the list"):
            await _to_its_end(walks)
    left = await database.read(backfills.find, "w")
    assert left is not None
    assert (len(asked), left.taken, left.finished_at, left.cursor) == (calls, taken, None, asked[-1])
