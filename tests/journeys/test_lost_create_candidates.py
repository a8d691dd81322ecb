"""What a sweep makes of a run that a lost call may have made: it is touched only where it is certain."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import httpx2 as httpx
import pytest

from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import jobs, runs, upstream_links
from storage.transitions import starting, submitting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

ASKED: dict[str, Any] = {"agent_id": None, "instructions": "You review leases.", "prompt": "Review the lease."}
SHOWN = {"id": "run_x", "agentId": "agent_x", "prompt": ASKED["prompt"], "createdAt": life.at(5).isoformat()}
AGENT = httpx.Response(200, json={"id": "agent_x", "instructions": ASKED["instructions"]})


async def called(database: Database) -> runs.Run:
    """A submission whose one call is under way."""
    run = await life.accepted(database, **ASKED)
    await database.write(starting.mark_call, await life.claimed(database, states.Kind.START, run.id), life.at(1))
    return run


async def given_up(database: Database) -> runs.Run:
    """A submission that was cancelled while its call was under way."""
    run = await called(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(2))
    return run


def showing(
    status: str, agent: httpx.Response, meanwhile: Callable[[], Coroutine[Any, Any, object]] | None = None
) -> Callable[[httpx.Request], upstreams.Later]:
    """An upstream with one run in that state; `meanwhile` happens before its list is shown."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/agent/v1/agents/"):
            return agent
        if request.url.path == "/agent/v1/run":
            if meanwhile is not None:
                await meanwhile()
            return httpx.Response(200, json={"runs": [{**SHOWN, "status": status}], "hasMore": False})
        return httpx.Response(200, json={**SHOWN, "status": status})

    return answer


async def known(database: Database, answer: Callable[[httpx.Request], upstreams.Later]) -> dict[str, str]:
    """Sweeps once; whose the run of the upstream is then."""
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
    async with upstreams.answering(database, answer, now=lambda: life.at(10)) as context:
        await registry.run(context, await life.claimed(database, states.Kind.SWEEP))
    return await database.read(upstream_links.linked_runs, ["run_x"])


async def test_what_the_lost_call_made_is_its_own(database: Database) -> None:
    run = await given_up(database)
    assert await known(database, showing("running", AGENT)) == {"run_x": run.id}
    assert "orphan" in await life.open_jobs(database, run.id)


async def test_the_run_of_an_equal_call_that_was_made_during_the_pass_is_left_alone(database: Database) -> None:
    await given_up(database)
    assert await known(database, showing("running", AGENT, lambda: called(database))) == {}


@pytest.mark.parametrize("agent", [httpx.Response(403), httpx.Response(404), httpx.Response(500)])
async def test_a_run_that_goes_on_and_whose_agent_cannot_be_asked_is_left_alone(
    database: Database, agent: httpx.Response
) -> None:
    await given_up(database)
    assert await known(database, showing("running", agent)) == {}


async def test_one_that_has_ended_is_known_by_its_prompt_once_its_agent_is_gone(database: Database) -> None:
    run = await given_up(database)
    assert await known(database, showing("completed", httpx.Response(404))) == {"run_x": run.id}
