"""Finding the upstream run of a lost create: it must match the submission in everything."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import find_lost_create
from storage.engine import column_types
from storage.engine.database import Database
from storage.repositories import runs
from storage.states import Kind
from storage.transitions import starting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

ASKED: dict[str, Any] = {"prompt": "Review the lease.", "guidance": "Be brief.", "model": "m-1"}
SKEW = 600.0


def at(second: float) -> str:
    return column_types.instant_text(life.at(second))


def made(upstream_id: str = "run_1", **changes: Any) -> dict[str, Any]:
    """Return the details of an upstream run that matches the submission."""
    details = {"id": upstream_id, "agentId": "agent_1", "status": "queued", "createdAt": at(1), **ASKED}
    return details | changes


async def looked(database: Database, run: runs.Run, *details: dict[str, Any]) -> str | None:
    """Return the upstream id that is found for a submission. The list shows only ids and states."""
    by_id = {each["id"]: each for each in details}
    lines = [{"id": each["id"], "status": each["status"]} for each in details]

    def answer(request: httpx.Request) -> httpx.Response:
        *_, upstream_id, route = request.url.path.split("/")
        shown = by_id[upstream_id] if route == "details" else {"runs": lines, "hasMore": False}
        return httpx.Response(200, json=shown)

    async with upstreams.answering(database, answer) as context:
        found = await find_lost_create.find(context, run)
    return None if found is None else found.upstream_id


@pytest.mark.parametrize("changes", [{}, {"createdAt": at(-SKEW)}, {"status": "cancelled"}])
async def test_a_run_that_matches_in_everything_is_found(database: Database, changes: dict[str, Any]) -> None:
    assert await looked(database, await life.accepted(database, **ASKED), made(**changes)) == "run_1"


@pytest.mark.parametrize(
    "changes",
    [
        {"agentId": "agent_2"}, {"prompt": "Review the lease"}, {"guidance": "Be long."}, {"guidance": None},
        {"model": "m-2"}, {"model": None}, {"createdAt": None}, {"createdAt": at(-SKEW - 1)},
        {"status": "running"}, {"status": "completed"},
    ],
)  # fmt: skip
async def test_a_run_that_differs_in_anything_is_not_taken(database: Database, changes: dict[str, Any]) -> None:
    assert await looked(database, await life.accepted(database, **ASKED), made(**changes)) is None


async def test_a_submission_without_a_model_matches_any(database: Database) -> None:
    run = await life.accepted(database, **ASKED | {"model": None, "guidance": None})
    assert await looked(database, run, made(guidance="", model="m-9")) == "run_1"


async def test_the_oldest_queued_match_is_taken_before_a_cancelled_one(database: Database) -> None:
    run = await life.accepted(database, **ASKED)
    dead, late, early = (
        made("run_1", status="cancelled"), made("run_2", createdAt=at(9)), made("run_3", createdAt=at(5))
    )  # fmt: skip
    assert await looked(database, run, dead, late, early) == "run_3"


async def test_a_run_that_is_linked_is_not_taken(database: Database) -> None:
    await life.running(database, "run_1", **ASKED)
    assert await looked(database, await life.accepted(database, **ASKED), made("run_1"), made("run_2")) == "run_2"


@pytest.mark.parametrize(("objects", "found"), [(None, "run_1"), (["obj_2"], None)])
async def test_nothing_is_taken_that_an_equal_submission_with_other_objects_may_have_created(
    database: Database, objects: list[str] | None, found: str | None
) -> None:
    run = await life.accepted(database, **ASKED)
    await life.accepted(database, **ASKED, object_ids=objects)
    assert await looked(database, run, made()) == found


@pytest.mark.parametrize(("age", "found"), [(SKEW, None), (SKEW + 1, "run_2")])
async def test_an_equal_submission_before_the_window_cannot_have_created_it(
    database: Database, age: float, found: str | None
) -> None:
    await life.running(database, "run_1", **ASKED, object_ids=["obj_2"], accepted_at=life.at(-age))
    run = await life.accepted(database, **ASKED)
    assert await looked(database, run, made("run_2")) == found


async def test_an_equal_submission_with_a_lost_create_may_have_created_it_at_any_age(database: Database) -> None:
    old = await life.accepted(database, **ASKED, object_ids=["obj_2"], accepted_at=life.at(-5000))
    await life.claimed(database, Kind.START, old.id)
    later = await life.claimed(database, Kind.START, old.id, life.at(60))
    await database.write(
        starting.record_created, later, starting.CreatedRun("run_1", None, watched=True), life.at(61)
    )
    assert await looked(database, await life.accepted(database, **ASKED), made("run_2")) is None


async def test_an_equal_submission_that_waits_for_its_create_may_have_created_it_at_any_age(
    database: Database,
) -> None:
    await life.accepted(database, **ASKED, object_ids=["obj_2"], accepted_at=life.at(-SKEW - 1))
    assert await looked(database, await life.accepted(database, **ASKED), made()) is None


async def test_an_agent_with_too_many_runs_is_an_error_and_no_reason_to_create(database: Database) -> None:
    run, cursors = await life.accepted(database, **ASKED), list[str | None]()

    def answer(request: httpx.Request) -> httpx.Response:
        cursors.append(request.url.params.get("cursor"))
        last = f"run_{len(cursors)}"
        line = {"id": last, "status": "completed", "createdAt": at(60)}
        return httpx.Response(200, json={"runs": [line], "hasMore": True, "nextCursor": last})

    async with upstreams.answering(database, answer) as context:
        with pytest.raises(errors.InvalidResponse, match="too many"):
            await find_lost_create.find(context, run)
    assert cursors == [None, *(f"run_{number}" for number in range(1, find_lost_create.PAGES))]


@pytest.mark.parametrize(("status", "is_known"), [(404, True), (503, False)])
async def test_a_candidate_without_details_is_none_and_one_that_fails_is_an_error(
    database: Database, status: int, is_known: bool
) -> None:
    run = await life.accepted(database, **ASKED)
    lines = {"runs": [{"id": "run_1", "status": "queued"}], "hasMore": False}

    def answer(request: httpx.Request) -> httpx.Response:
        is_details = request.url.path.endswith("/details")
        return httpx.Response(status if is_details else 200, json=lines)

    async with upstreams.answering(database, answer) as context:
        if is_known:
            assert await find_lost_create.find(context, run) is None
        else:
            with pytest.raises(errors.UpstreamStatusError):
                await find_lost_create.find(context, run)
