"""Trouble of the upstream's is never a run's fault: it is waited out, said aloud, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.journeys import harness
from tests.journeys.conftest import Deployments, Sites
from tests.journeys.judging import judge
from tests.patience import until

#: Seconds in which a call that was sent before an answer to another one arrives.
IN_FLIGHT = 0.5


def test_while_the_upstream_is_down_runs_are_accepted_at_once(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(down=True)
    first = deployment.submit(nonce)
    deployment.until_unready()
    for _ in range(4):
        assert deployment.submit(nonce)["status"] == "accepted"
    ends = time.monotonic() + 2
    while time.monotonic() < ends:
        assert deployment.ready()[0] == 503
        time.sleep(0.02)
    assert deployment.run(first)["status"] == "accepted"
    deployment.sandbox.faults(down=False)
    judge(deployment, nonce, records=5, execs=5, settled_by="watcher")
    until(lambda: deployment.ready() == (200, []))


@pytest.mark.parametrize(
    "switch", [{"unauthorized": True}, {"withdrawn": 404}, {"withdrawn": 405}, {"withdrawn": 410}]
)
def test_a_refusal_that_concerns_every_call_pauses_the_deployment(
    deployment: harness.Deployment, nonce: str, switch: dict[str, object]
) -> None:
    deployment.sandbox.faults(**switch)
    run = deployment.submit(nonce)
    # An earlier journey's reason may stand until the pause is renewed.
    deployment.until_unready(str(switch.get("withdrawn", 401)))
    asked = len(deployment.sandbox.calls("list"))
    until(lambda: len(deployment.sandbox.calls("list")) > asked + 3)
    assert deployment.run(run)["status"] == "accepted"
    deployment.sandbox.faults(unauthorized=False, withdrawn=0)
    judge(deployment, nonce)
    until(lambda: deployment.ready() == (200, []))


def test_the_end_of_a_pause_is_noticed_without_jobs(swept_deployment: harness.Deployment, nonce: str) -> None:
    swept_deployment.sandbox.faults(down=True)
    run = swept_deployment.submit(nonce)
    swept_deployment.until_unready()
    swept_deployment.cancel(run, 200)
    swept_deployment.sandbox.faults(down=False)
    judge(swept_deployment, nonce, status="cancelled", execs=0)
    until(lambda: swept_deployment.ready() == (200, []))


@pytest.mark.parametrize("retry_after", ["", "2", "date:3"])
def test_a_rate_limit_is_obeyed_by_all(deployment: harness.Deployment, nonce: str, retry_after: str) -> None:
    deployment.sandbox.faults(rate_limit=1, retry_after=retry_after)
    after = deployment.sandbox.journal()["requests"][-1]["seq"] if deployment.sandbox.journal()["requests"] else 0
    for _ in range(3):
        deployment.submit(nonce)
    deployment.until_unready()
    deployment.sandbox.faults(rate_limit=0)
    judge(deployment, nonce, records=3, execs=3)
    calls = deployment.sandbox.journal(after)["requests"]
    limited = [call["at"] for call in calls if call["status"] == 429]
    if retry_after:  # a call that was on its way when the last 429 came is no call of a worker that disobeys
        resumed = next(call["at"] for call in calls if call["at"] > limited[-1] + IN_FLIGHT)
        assert resumed - limited[-1] > 1.5
    until(lambda: deployment.ready() == (200, []))


def test_a_success_does_not_end_a_pause_that_was_requested(deployment: harness.Deployment, nonce: str) -> None:
    slow, limited, late = f"slow_{nonce}", f"limited_{nonce}", f"late_{nonce}"
    deployment.script(
        {"route": "exec", "prompt": slow, "times": 1, "action": "hold_answer"},
        {"route": "create", "prompt": limited, "times": 1, "action": "status:429"},
    )
    deployment.sandbox.faults(retry_after="2")
    started = deployment.submit(slow)
    deployment.until_held("exec", slow)
    deployment.submit(limited)
    until(lambda: deployment.server.rows("SELECT 1 FROM system_state WHERE pause_streak > 0"))
    deployment.release("exec")
    deployment.until_run(started, "running", "completed")
    deployment.submit(late)
    judge(deployment, late)
    assert deployment.calls("create", late)[0]["at"] - deployment.calls("create", limited)[0]["at"] > 1.5
    judge(deployment, limited)
    judge(deployment, slow)


def test_a_storm_of_404_loses_and_refuses_nothing(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(not_found=["*"])
    run = deployment.submit(nonce)
    until(lambda: len(deployment.calls("status", nonce)) >= 3)
    assert deployment.run(run)["status"] == "queued"
    deployment.judge_ready()
    deployment.sandbox.faults(not_found=[])
    judge(deployment, nonce)


@pytest.mark.parametrize(
    ("route", "action"),
    [
        ("create", "html:502"),
        ("create", "refuse_before"),
        ("create", "malformed"),
        ("list", "malformed"),
        ("list", "html:502"),
        ("exec", "truncated"),
        ("exec", "empty:500"),
        ("status", "malformed"),
        ("status", "refuse_before"),
        ("details", "truncated"),
        ("details", "html:502"),
        ("details", "refuse_before"),
    ],
)
def test_bad_answers_on_one_route_for_a_while_lose_nothing(
    swept_deployment: harness.Deployment, nonce: str, route: str, action: str
) -> None:
    swept_deployment.script({"route": route, "times": 4, "action": action})
    swept_deployment.submit(nonce)
    swept_deployment.submit(nonce)
    judge(swept_deployment, nonce, records=2, execs=2)
    until(lambda: swept_deployment.ready() == (200, []))


@pytest.mark.parametrize("shape", ["nested", "text", "flag", "empty"])
def test_a_storm_of_errors_in_any_form_loses_nothing(
    swept_deployment: harness.Deployment, nonce: str, shape: str
) -> None:
    routes = ("create", "list", "exec", "status", "details", "cancel", "watch")
    swept_deployment.sandbox.faults(error_rate=dict.fromkeys(routes, 0.4), error_status=500, error_shape=shape)
    for _ in range(3):
        swept_deployment.submit(nonce)
    judge(swept_deployment, nonce, records=3, execs=3)


def test_an_unknown_agent_is_refused_with_the_reason(deployment: harness.Deployment, nonce: str) -> None:
    deployment.submit(nonce, agentId="agent_of_nobody")
    refused = judge(deployment, nonce, status="refused", settled_by="request", execs=0)[0]
    assert "Agent not found" in refused["failure_reason"]
    assert deployment.named(nonce) == []


def test_a_create_that_is_refused_with_and_without_a_callback_is_refused(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "create", "prompt": nonce, "action": "status:400"})
    deployment.submit(nonce)
    judge(deployment, nonce, status="refused", settled_by="request", execs=0)
    assert ["callbackUrl" in call["body"] for call in deployment.calls("create", nonce)] == [True, False]


def test_an_agent_that_is_deleted_before_exec_refuses_the_run(deployment: harness.Deployment, nonce: str) -> None:
    made = deployment.upstream.post("/agent/v1/agents", json={"name": "Brief", "instructions": "Be brief."}).json()
    deployment.script({"route": "exec", "prompt": nonce, "times": 2, "action": "status:503"})
    run = deployment.submit(nonce, agentId=made["id"])
    deployment.until_run(run, "queued")
    deployment.upstream.delete(f"/agent/v1/agents/{made['id']}").raise_for_status()
    refused = judge(deployment, nonce, status="refused", execs=0)[0]
    assert "Agent not found" in refused["failure_reason"]
    assert deployment.named(nonce)[0]["status"] == "cancelled"
    assert len(deployment.calls("exec", nonce)) >= 5


def test_a_no_to_exec_that_ends_in_time_refuses_nothing(deployment: harness.Deployment, nonce: str) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "times": 2, "action": "status:400"})
    deployment.submit(nonce)
    judge(deployment, nonce)


@pytest.fixture(scope="module")
def deployments(sites: Sites) -> Iterator[Deployments]:
    """A server that gives a run up for lost within a second."""
    timing = {"lost": 0.8, "ask_lost": 0.2, "backoff_most": 0.3}
    make = lambda site: harness.opened(site, timing=timing, run_seconds=harness.NEVER)  # noqa: E731
    with harness.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def losing(deployments: Deployments, kind: str) -> harness.Deployment:
    return deployments(kind)


def test_a_run_that_is_long_unknown_is_lost_until_it_turns_up(losing: harness.Deployment, nonce: str) -> None:
    known, gone = f"known_{nonce}", f"gone_{nonce}"
    losing.submit(known)
    losing.sandbox.finish(losing.until_named(known, "running")["id"])
    judge(losing, known)
    run = losing.submit(gone)
    losing.until_run(run, "running")
    losing.sandbox.faults(not_found=[gone])
    losing.refresh(run)
    assert losing.until_run(run, "lost")["missingSince"]
    losing.sandbox.faults(not_found=[])
    assert losing.until_run(run, "running")["missingSince"] is None
    losing.sandbox.finish(losing.named(gone)[0]["id"])
    judge(losing, gone)
    assert losing.ledger_kinds(run).count("run.lost") == 1


def test_nothing_is_lost_while_no_other_run_is_known(losing: harness.Deployment, nonce: str) -> None:
    run = losing.submit(nonce)
    losing.until_run(run, "running")
    losing.sandbox.faults(not_found=["*"])
    losing.refresh(run)
    missing = until(lambda: losing.run(run)["missingSince"])
    until(lambda: len(losing.calls("details", nonce)) > 8)
    assert losing.run(run)["status"] == "running"
    assert losing.run(run)["missingSince"] == missing
    losing.sandbox.faults(not_found=[])
    losing.sandbox.finish(losing.named(nonce)[0]["id"])
    judge(losing, nonce)


def test_a_lost_create_that_cannot_be_fetched_does_not_stop_the_sweep(
    swept_deployment: harness.Deployment, nonce: str
) -> None:
    swept_deployment.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"},
        {"route": "list", "times": 3, "action": "status:500"},
        {"route": "details", "prompt": nonce, "action": "status:500"},
    )
    run = swept_deployment.submit(nonce)
    swept_deployment.until_named(nonce)
    swept_deployment.cancel(run, 200)
    until(lambda: len(swept_deployment.calls("details", nonce)) > 3)
    assert swept_deployment.server.rows("SELECT last_error FROM jobs WHERE kind = 'sweep'") == [
        {"last_error": None}
    ]
    swept_deployment.script()
    judge(swept_deployment, nonce, status="cancelled", execs=0)
