"""Bulk actions over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from storage import states
from storage.actions import bulk, bulk_parts
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def start(deployment: Deployment, **body: Any) -> dict[str, Any]:
    response = await deployment.post("/v1/bulk", "admin", json=body)
    assert response.status_code in (200, 202), response.text
    made: dict[str, Any] = response.json()
    return made


async def test_an_action_is_accepted_with_the_address_of_its_progress(deployment: Deployment) -> None:
    await life.accepted(deployment.database)
    response = await deployment.post("/v1/bulk", "admin", json={"action": "cancel", "q": ""})
    made = response.json()
    assert (response.status_code, made["state"], made["total"], made["isExact"]) == (202, "running", 1, True)
    assert (await deployment.get(response.headers["location"])).json() == made
    assert await life.open_jobs(deployment.database, "") == ["bulk"]


async def test_a_dry_run_counts_and_stores_nothing(deployment: Deployment) -> None:
    await life.accepted(deployment.database, tags={"m": "1"})
    made = await start(deployment, action="again", q="tag.m:1", dryRun=True)
    assert (made["id"], made["state"], made["total"]) == (None, "planned", 1)
    assert await life.open_jobs(deployment.database, "") == []


async def test_progress_and_failures_are_shown(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    made = await start(deployment, action="refresh", runIds=[run.id])
    claim = await life.claimed(deployment.database, states.Kind.BULK)
    while (action := await deployment.database.read(bulk.next_open)) is not None:
        seqs = await deployment.database.read(bulk.next_seqs, action, 10)
        await deployment.database.write(bulk_parts.handle_part, claim, action, seqs, life.at(1), life.at(9))
    shown = (await deployment.get(f"/v1/bulk/{made['id']}")).json()
    assert (shown["state"], shown["done"], shown["failed"], shown["errors"][0]["runId"]) == (
        "finished", 0, 1, run.id,
    )  # fmt: skip


async def test_an_action_can_be_stopped(deployment: Deployment) -> None:
    made = await start(deployment, action="cancel", q="")
    stopped = await deployment.post(f"/v1/bulk/{made['id']}/stop")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    problem(await deployment.post("/v1/bulk/nothing/stop"), 404)


async def test_a_question_needs_the_scope_to_read_as_well(deployment: Deployment) -> None:
    body = {"action": "cancel", "q": "status:running", "dryRun": True}
    assert problem(await deployment.post("/v1/bulk", json=body), 403)["scope"] == "read"


async def test_what_cannot_be_done_is_refused(deployment: Deployment, subtests: pytest.Subtests) -> None:
    run = await life.accepted(deployment.database)
    wrong: list[tuple[int, dict[str, Any]]] = [
        (422, {"action": "cancel"}),
        (422, {"action": "cancel", "q": "", "runIds": [run.id]}),
        (422, {"action": "delete", "q": ""}),
        (422, {"action": "tag", "q": ""}),
        (422, {"action": "cancel", "q": "", "tags": {"a": "1"}}),
        (422, {"action": "cancel", "runIds": []}),
        (422, {"action": "cancel", "runIds": [run.id] * 1001}),
        (400, {"action": "cancel", "q": "statuz:failed"}),
        (404, {"action": "cancel", "runIds": [run.id, "run_unknown"]}),
    ]
    for status, body in wrong:
        with subtests.test(str(body)[:60]):
            problem(await deployment.post("/v1/bulk", "admin", json=body), status)


async def test_one_idempotency_key_makes_one_action(deployment: Deployment) -> None:
    once, body = {"idempotency-key": "once"}, {"action": "cancel", "q": "status:queued"}
    first = await deployment.post("/v1/bulk", "admin", json=body, headers=once)
    same = await deployment.post("/v1/bulk", "admin", json=body, headers=once)
    assert (first.status_code, same.status_code, same.json()) == (202, 200, first.json())
    problem(await deployment.post("/v1/bulk", "admin", json={**body, "q": ""}, headers=once), 409)


async def test_actions_are_listed_newest_first(deployment: Deployment) -> None:
    made = []
    for status in ("queued", "running"):
        made.append(await start(deployment, action="cancel", q=f"status:{status}"))
        deployment.clock.tick(1)
    first = (await deployment.get("/v1/bulk?limit=1")).json()
    then = (await deployment.get(f"/v1/bulk?limit=1&cursor={first['nextCursor']}")).json()
    assert (first["actions"], first["hasMore"]) == ([made[1]], True)
    assert (then["actions"], then["nextCursor"], then["unreadable"]) == ([made[0]], None, [])
    assert problem(await deployment.get("/v1/bulk?cursor=nothing"), 400)["parameter"] == "cursor"
