"""Runs of an agent that is made for them, by one call: never made twice, and looked up if its answer is lost."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import system_state
from tests import life, sandbox_server, server
from tests.journeys import harness, upstreams
from tests.journeys.judging import judge
from tests.journeys.test_equal_submissions import both
from tests.patience import until
from tests.server import Site

#: What makes a submission one that one call creates and starts.
AD_HOC: dict[str, Any] = {"agentId": None, "instructions": "You review leases."}


def lost(nonce: str, times: int = 1, action: str = "lose_answer") -> harness.Rule:
    return {"route": "execute", "prompt": nonce, "times": times, "action": action}


def test_one_call_creates_and_starts_and_its_watcher_tells_of_the_end(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce, **AD_HOC, guidance="Briefly.", objectIds=["obj_1"])
    assert (run["execution"], run["instructions"]) == ("atMostOnce", AD_HOC["instructions"])
    slow_deployment.until_shown(run, lambda shown: shown["watched"])
    slow_deployment.sandbox.finish(slow_deployment.run(run)["upstreamId"])
    settled = judge(slow_deployment, nonce, settled_by="watcher")[0]
    assert settled["agent_id"] == slow_deployment.named(nonce)[0]["agentId"] != slow_deployment.agent
    assert slow_deployment.ledger_kinds(run)[:3] == ["run.accepted", "run.created", "run.started"]
    assert len(slow_deployment.calls("execute", nonce)) == 1
    assert not slow_deployment.calls("exec", nonce)


@pytest.mark.parametrize("action", ["lose_answer", "malformed", "truncated", "hold_answer"])
def test_a_run_whose_answer_was_lost_is_looked_up(
    swept_deployment: harness.Deployment, nonce: str, action: str
) -> None:
    swept_deployment.script(lost(nonce, action=action))
    swept_deployment.submit(nonce, **AD_HOC)
    judge(swept_deployment, nonce)
    assert len(swept_deployment.calls("execute", nonce)) == 1


def test_one_that_still_runs_is_watched_once_it_is_found(slow_deployment: harness.Deployment, nonce: str) -> None:
    slow_deployment.script(lost(nonce))
    run = slow_deployment.submit(nonce, **AD_HOC)
    slow_deployment.until_shown(run, lambda shown: shown["watched"])
    slow_deployment.sandbox.finish(slow_deployment.run(run)["upstreamId"])
    judge(slow_deployment, nonce, settled_by="watcher")


@pytest.mark.parametrize("action", ["refuse_before", "status:500", "html:502", "empty:503"])
def test_a_call_that_may_have_done_its_work_is_not_made_again(
    deployment: harness.Deployment, nonce: str, action: str
) -> None:
    deployment.script(lost(nonce, action=action))
    run = deployment.submit(nonce, **AD_HOC)
    refused = deployment.until_run(run, "refused")
    assert refused["failureSource"] == "runledger"
    assert "submit it again" in refused["failureReason"]
    judge(deployment, nonce, status="refused", execs=0)
    assert len(deployment.calls("execute", nonce)) == 1


@pytest.mark.parametrize("action", ["status:429", "status:401", "status:403"])
def test_a_call_that_was_turned_away_is_made_again(
    swept_deployment: harness.Deployment, nonce: str, action: str
) -> None:
    swept_deployment.script(lost(nonce, times=2, action=action))
    swept_deployment.submit(nonce, **AD_HOC)
    judge(swept_deployment, nonce)
    assert len(swept_deployment.calls("execute", nonce)) == 3


def test_a_call_that_is_refused_while_others_are_answered_ends_the_run(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script(lost(nonce, action="status:400"))
    refused = deployment.until_run(deployment.submit(nonce, **AD_HOC), "refused")
    assert refused["failureSource"] == "upstream"
    judge(deployment, nonce, status="refused", execs=0)


def test_while_nobody_listens_upstream_nothing_was_sent(site: Site, nonce: str) -> None:
    port = server.free_port()
    with server.running(site, f"http://127.0.0.1:{port}", public_url="") as away:
        body = {"instructions": "You review leases.", "prompt": nonce}
        with away.client() as api:
            run = api.post("/v1/runs", json=body).json()
            until(
                lambda: away.rows("SELECT 1 FROM system_state WHERE pause_streak > 0"),
                why="nobody saw the trouble",
            )
            with sandbox_server.running(port=port) as sandbox:
                until(lambda: api.get(f"/v1/runs/{run['id']}").json()["status"] == "completed")
                assert [each["execCount"] for each in sandbox.runs()] == [1]


@pytest.mark.anyio
async def test_during_a_pause_one_call_is_tried(database: Database) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(503)

    run = await life.accepted(database, agent_id=None, instructions="You review leases.")
    await database.write(system_state.pause, life.at(1), "503", life.NOW)
    async with upstreams.answering(database, answer, now=lambda: life.at(2)) as context:
        with pytest.raises(errors.UpstreamStatusError):
            await registry.run(context, await life.claimed(database, states.Kind.START, run.id))
    assert asked == ["/agent/v1/run"]
    assert (await life.get_run(database, run.id)).lost_create_since is None


def test_an_unknown_run_of_the_same_prompt_is_not_adopted(slow_deployment: harness.Deployment, nonce: str) -> None:
    slow_deployment.script(lost(nonce, action="refuse_before"))
    unknown = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(unknown)
    slow_deployment.until_run(slow_deployment.submit(nonce, **AD_HOC), "refused")
    assert slow_deployment.sandbox.run(unknown)["status"] == "running"
    assert not slow_deployment.server.rows("SELECT 1 FROM upstream_links WHERE upstream_id = ?", unknown)
    slow_deployment.sandbox.finish(unknown)


def test_equal_submissions_whose_answers_are_lost_find_one_run_each(
    swept_deployment: harness.Deployment, nonce: str
) -> None:
    swept_deployment.script(lost(nonce, times=2))
    both(swept_deployment, nonce, AD_HOC, AD_HOC)
    judge(swept_deployment, nonce, records=2, execs=2)
    assert len(swept_deployment.calls("execute", nonce)) == 2


def test_agents_distinguish_two_submissions_while_their_runs_are_live(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    slow_deployment.script(lost(nonce, times=2))
    runs = both(slow_deployment, nonce, {**AD_HOC, "instructions": "one"}, {**AD_HOC, "instructions": "two"})
    for run in runs:
        found = slow_deployment.until_run(run, "running")
        agent = slow_deployment.upstream.get(f"/agent/v1/agents/{found['agentId']}").json()
        assert agent["instructions"] == run["instructions"]
    for run in runs:
        slow_deployment.until_shown(run, lambda shown: shown["watched"])
        slow_deployment.sandbox.finish(slow_deployment.run(run)["upstreamId"])
    judge(slow_deployment, nonce, records=2, execs=2)


def test_submissions_that_cannot_be_distinguished_are_given_no_run(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script(lost(nonce, times=2))
    both(deployment, nonce, {**AD_HOC, "objectIds": ["obj_1"]}, {**AD_HOC, "objectIds": ["obj_2"]})
    judge(deployment, nonce, status="refused", records=2, execs=2)
    assert len(deployment.calls("execute", nonce)) == 2


def test_a_cancel_while_the_call_is_under_way_cancels_what_it_started(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    slow_deployment.script(lost(nonce, action="hold_answer"))
    run = slow_deployment.submit(nonce, **AD_HOC)
    slow_deployment.until_held("execute", nonce)
    assert slow_deployment.cancel(run, 200)["status"] == "cancelled"
    slow_deployment.release("execute")
    until(lambda: "run.orphan" in slow_deployment.ledger_kinds(run))
    judge(slow_deployment, nonce, status="cancelled", settled_by="request")
    assert slow_deployment.named(nonce)[0]["status"] == "cancelled"


def test_a_lost_call_of_a_cancelled_run_is_swept_up(swept_deployment: harness.Deployment, nonce: str) -> None:
    swept_deployment.script(lost(nonce, action="hold_answer"))
    run = swept_deployment.submit(nonce, **AD_HOC)
    swept_deployment.until_named(nonce)
    assert swept_deployment.cancel(run, 200)["status"] == "cancelled"
    until(lambda: "run.orphan" in swept_deployment.ledger_kinds(run))
    judge(swept_deployment, nonce, status="cancelled", settled_by="request")


def test_a_run_that_was_cancelled_before_its_call_has_no_lost_create(
    swept_deployment: harness.Deployment, nonce: str
) -> None:
    swept_deployment.script({"action": "status:429"})
    run = swept_deployment.submit(nonce, **AD_HOC)
    swept_deployment.until_unready()
    assert swept_deployment.cancel(run, 200)["status"] == "cancelled"
    swept_deployment.script()
    judge(swept_deployment, nonce, status="cancelled", settled_by="request", execs=0)
    kept = "SELECT lost_create_since FROM runs WHERE id = ? AND lost_create_since IS NOT NULL"
    assert not swept_deployment.server.rows(kept, run["id"])
    assert not swept_deployment.named(nonce)
