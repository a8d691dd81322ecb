"""Every way in which an API call can go wrong, seen by a real client."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import httpx2 as httpx
import pytest

from receiver.sandbox.faults import Faults
from tests import sandbox_server
from tests.patience import until
from tests.sandbox_server import Sandbox


def _script(sandbox: Sandbox, **rule: Any) -> None:
    sandbox.faults(script=[rule])


def test_a_lost_answer_is_a_cut_after_the_work(sandbox: Sandbox, api: httpx.Client) -> None:
    """The client sees a broken connection, the run exists, and the next call is answered."""
    agent = sandbox_server.new_agent(api)
    sandbox.faults(lose_answer={"create": 1})
    with pytest.raises(httpx.TransportError):
        sandbox_server.new_run(api, prompt="lost", agentId=agent)
    assert [run["prompt"] for run in sandbox.runs()] == ["lost"]
    sandbox_server.new_run(api, agentId=agent)
    assert [(call["status"], call["fault"]) for call in sandbox.calls("create")] == [
        (None, "lose_answer"),
        (200, None),
    ]


def test_a_lost_exec_has_started_the_run(sandbox: Sandbox, api: httpx.Client) -> None:
    """After the cut, exec answers 409 and the run ends by itself."""
    run = sandbox_server.new_run(api)
    _script(sandbox, route="exec", run=run, times=1, action="lose_answer")
    with pytest.raises(httpx.TransportError):
        api.post(f"/agent/v1/run/{run}/exec")
    assert api.post(f"/agent/v1/run/{run}/exec").status_code == 409
    until(lambda: sandbox.run(run)["status"] == "completed")
    assert sandbox.journal()["execs"] == {run: 1}


def test_a_refused_connection_does_no_work(sandbox: Sandbox, api: httpx.Client) -> None:
    """The client sees a broken connection, and there is no run."""
    agent = sandbox_server.new_agent(api)
    _script(sandbox, route="create", times=1, action="refuse_before")
    with pytest.raises(httpx.TransportError):
        sandbox_server.new_run(api, agentId=agent)
    assert sandbox.runs() == []


def test_cut_connections_leave_no_output(capfd: pytest.CaptureFixture[str]) -> None:
    """The server has nothing to complain of, and answers again when it is up."""
    with sandbox_server.running(faults=Faults(down=True)) as sandbox, sandbox.client() as api:
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                api.get("/agent/v1/run")
        sandbox.faults(down=False)
        assert api.get("/agent/v1/run").status_code == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("status", {"statusCode": 404, "statusMessage": "Not Found", "message": "Run not found"}),
        ("nested", {"error": {"message": "Run not found", "type": "not_found_error", "code": "404"}}),
        ("text", {"error": "Run not found"}),
        ("flag", {"error": True, "statusCode": 404, "statusMessage": "Not Found", "message": "Run not found"}),
    ],
)
def test_errors_come_in_every_known_shape(
    sandbox: Sandbox, api: httpx.Client, shape: str, expected: object
) -> None:
    """The status stays, the body's form is the switch's."""
    sandbox.faults(error_shape=shape)
    response = api.get("/agent/v1/run/run_x/status")
    assert (response.status_code, response.json()) == (404, expected)


def test_errors_come_as_pages_and_as_nothing(sandbox: Sandbox, api: httpx.Client) -> None:
    """HTML and empty bodies, as switches for all errors and as rules for single calls."""
    sandbox.faults(error_shape="html")
    assert api.get("/agent/v1/run/run_x/status").text.startswith("<html>")
    sandbox.faults(error_shape="empty")
    assert api.get("/agent/v1/run/run_x/status").content == b""
    _script(sandbox, route="list", times=1, action="html")
    assert api.get("/agent/v1/run").status_code == 502
    _script(sandbox, route="list", times=1, action="empty:200")
    assert (api.get("/agent/v1/run").content, api.get("/agent/v1/run").status_code) == (b"", 200)


def test_an_error_rate_strikes_its_route_only(sandbox: Sandbox, api: httpx.Client) -> None:
    """With rate 1 every exec fails with the chosen status, and starts nothing."""
    run = sandbox_server.new_run(api)
    sandbox.faults(error_rate={"exec": 1}, error_status=503, retry_after="7")
    response = api.post(f"/agent/v1/run/{run}/exec")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert api.get(f"/agent/v1/run/{run}/status").json()["status"] == "queued"


def test_the_rate_limit_sends_retry_after_or_not(sandbox: Sandbox, api: httpx.Client) -> None:
    """429 without Retry-After, with seconds, and with a date."""
    sandbox.faults(rate_limit=1)
    assert "retry-after" not in api.get("/agent/v1/run").headers
    sandbox.faults(retry_after="3")
    response = api.get("/agent/v1/run")
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
    assert response.headers["x-ratelimit-remaining"] == "0"
    sandbox.faults(retry_after="date:60")
    at = email.utils.parsedate_to_datetime(api.get("/agent/v1/run").headers["retry-after"])
    assert 50 < at.timestamp() - time.time() < 70


def test_the_reported_number_of_calls_a_minute_is_a_switch(sandbox: Sandbox, api: httpx.Client) -> None:
    """The count goes down to none and stays there; nothing is refused."""
    sandbox.faults(calls_per_minute=1)
    response = api.get("/agent/v1/run")
    assert (response.status_code, response.headers["x-ratelimit-limit"]) == (200, "1")
    assert response.headers["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize("switch", ["malformed", "truncated"])
def test_a_malformed_answer_is_a_200_that_is_not_json(sandbox: Sandbox, api: httpx.Client, switch: str) -> None:
    """The work is done, the body cannot be read."""
    run = sandbox_server.new_run(api)
    sandbox.faults(**{switch: {"exec": 1}})
    response = api.post(f"/agent/v1/run/{run}/exec")
    assert response.status_code == 200
    with pytest.raises(ValueError):
        response.json()
    assert sandbox.run(run)["execCount"] == 1


def test_latency_is_added_to_every_call(sandbox: Sandbox, api: httpx.Client) -> None:
    """A tenth of a second takes at least a tenth of a second."""
    sandbox.faults(latency=0.1)
    begun = time.monotonic()
    api.get("/agent/v1/run")
    assert time.monotonic() - begun >= 0.1


def test_a_held_answer_outlasts_the_client(sandbox: Sandbox, api: httpx.Client) -> None:
    """The work is done at once; the client gives up; the sandbox does not wait for the rest."""
    agent = sandbox_server.new_agent(api)
    _script(sandbox, route="create", times=1, action="hang:600")
    with pytest.raises(httpx.ReadTimeout), sandbox.client(timeout=0.2) as hasty:
        sandbox_server.new_run(hasty, agentId=agent)
    assert len(sandbox.runs()) == 1


def test_a_delayed_call_does_its_work_later(sandbox: Sandbox, api: httpx.Client) -> None:
    """The client is gone when the run comes into being."""
    agent = sandbox_server.new_agent(api)
    _script(sandbox, route="create", times=1, action="delay:3")
    with pytest.raises(httpx.ReadTimeout), sandbox.client(timeout=0.1) as hasty:
        sandbox_server.new_run(hasty, agentId=agent)
    assert sandbox.runs() == []
    until(sandbox.runs)


def test_details_may_be_incomplete_for_a_number_of_fetches(sandbox: Sandbox, api: httpx.Client) -> None:
    """Terminal, with neither result nor usage, twice; then both."""
    sandbox.faults(incomplete_fetches=2)
    run = sandbox_server.new_run(api)
    sandbox.finish(run)
    fetched = [api.get(f"/agent/v1/run/{run}/details").json() for _ in range(3)]
    assert [shown["status"] for shown in fetched] == ["completed"] * 3
    assert [shown["usage"] is None for shown in fetched] == [True, True, False]
    assert [shown["result"] is None for shown in fetched] == [True, True, False]


def test_details_may_be_incomplete_for_a_time(sandbox: Sandbox, api: httpx.Client) -> None:
    """Null at first, there when the time has passed."""
    sandbox.faults(incomplete_seconds=3600)
    run = sandbox_server.new_run(api)
    sandbox.finish(run)
    assert api.get(f"/agent/v1/run/{run}/details").json()["usage"] is None
    sandbox.faults(incomplete_seconds=0.05)
    until(lambda: api.get(f"/agent/v1/run/{run}/details").json()["usage"])


def test_a_broken_run_is_listed_beside_healthy_ones(sandbox: Sandbox, api: httpx.Client) -> None:
    """Its details answer 500, by id or by a piece of the prompt; its status and other runs answer 200."""
    broken, marked, healthy = (
        sandbox_server.new_run(api, prompt=text) for text in ("one", "a fail_details run", "three")
    )
    sandbox.faults(broken_runs=[broken, "fail_details"])
    answered = [api.get(f"/agent/v1/run/{run}/details").status_code for run in (broken, marked, healthy)]
    assert answered == [500, 500, 200]
    assert api.get(f"/agent/v1/run/{broken}/status").status_code == 200


def test_a_storm_of_404_spares_the_list(sandbox: Sandbox, api: httpx.Client) -> None:
    """Every run route answers 404 for the runs named, or for all; the list shows them still."""
    run, other = sandbox_server.new_run(api), sandbox_server.new_run(api)
    sandbox.faults(not_found=[run])
    assert api.get(f"/agent/v1/run/{run}/details").status_code == 404
    assert api.get(f"/agent/v1/run/{other}/details").status_code == 200
    sandbox.faults(not_found=["*"])
    assert api.post(f"/agent/v1/run/{other}/exec").status_code == 404
    assert len(api.get("/agent/v1/run").json()["runs"]) == 2
    sandbox.faults(not_found=[])
    assert api.get(f"/agent/v1/run/{run}/details").status_code == 200


def test_the_key_may_be_wrong_for_a_while(sandbox: Sandbox, api: httpx.Client) -> None:
    """All calls answer 401 until the switch is off again."""
    sandbox.faults(unauthorized=True)
    assert api.get("/agent/v1/run").status_code == 401
    assert api.get("/webhooks/v1/endpoints").status_code == 401
    sandbox.faults(unauthorized=False)
    assert api.get("/agent/v1/run").status_code == 200


@pytest.mark.parametrize("status", [404, 405, 410])
def test_the_api_may_be_withdrawn(sandbox: Sandbox, api: httpx.Client, status: int) -> None:
    """Every agent route answers with the fault; the webhook routes do not."""
    sandbox.faults(withdrawn=status)
    assert api.get("/agent/v1/run").status_code == status
    assert api.post("/agent/v1/run", json={}).status_code == status
    assert api.get("/webhooks/v1/endpoints").status_code == 200


def test_a_rule_may_name_a_piece_of_the_prompt_at_create(sandbox: Sandbox, api: httpx.Client) -> None:
    """Only the submission whose prompt has it is hit, as often as the rule allows."""
    agent = sandbox_server.new_agent(api)
    _script(sandbox, route="create", prompt="nonce-7", times=1, action="status:500")
    sandbox_server.new_run(api, prompt="nonce-6", agentId=agent)
    body = {"agentId": agent, "prompt": "nonce-7"}
    assert [api.post("/agent/v1/run", json=body).status_code for _ in range(2)] == [500, 200]


def test_runs_fail_at_the_rate_that_is_set(api: httpx.Client, sandbox: Sandbox) -> None:
    """About a half of many, all of them for a marked prompt, none by default."""
    sandbox.faults(fail_rate=0.5, fail_prompts=["doomed"])
    agent = sandbox_server.new_agent(api)
    runs = [sandbox_server.new_run(api, agentId=agent) for _ in range(30)]
    doomed = sandbox_server.new_run(api, prompt="a doomed run", agentId=agent)
    ended = [sandbox.finish(run)["status"] for run in runs]
    assert 5 <= ended.count("failed") <= 25
    assert sandbox.finish(doomed)["status"] == "failed"


def test_the_journal_lists_every_request(sandbox: Sandbox, api: httpx.Client) -> None:
    """Route, run, body and status, in order; the sandbox's own routes and older entries left out."""
    run = sandbox_server.new_run(api, prompt="p")
    seen = sandbox.journal()["requests"][-1]["seq"]
    api.post(f"/agent/v1/run/{run}/exec?x=1")
    api.get("/nowhere", headers={"authorization": ""})
    entries = sandbox.journal(after=seen)["requests"]
    shown = [(entry["method"], entry["route"], entry["run"], entry["query"], entry["status"]) for entry in entries]
    assert shown == [("POST", "exec", run, "x=1", 200), ("GET", None, None, "", 401)]
    assert sandbox.calls("create")[0]["body"]["prompt"] == "p"


def test_switches_are_set_at_the_start_too() -> None:
    """What create_app is given is in force from the first call."""
    with sandbox_server.running(faults=Faults(unauthorized=True)) as sandbox, sandbox.client() as api:
        assert api.get("/agent/v1/run").status_code == 401


def test_a_run_is_ended_by_hand_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """In the state that is asked for; then it has ended."""
    run = sandbox_server.new_run(api)
    assert sandbox.finish(run, "failed")["status"] == "failed"
    assert httpx.post(f"{sandbox.url}/sandbox/runs/{run}/finish").status_code == 409
    assert httpx.post(f"{sandbox.url}/sandbox/runs/{run}/finish", json={"status": "queued"}).status_code == 400


def test_the_same_seed_makes_the_same_ids() -> None:
    """Two sandboxes that get the same calls mint the same ids."""

    def story() -> list[str]:
        with sandbox_server.running(seed=9) as sandbox, sandbox.client() as api:
            agent = sandbox_server.new_agent(api)
            return [agent, *(sandbox_server.new_run(api, agentId=agent) for _ in range(3))]

    assert story() == story()


def test_it_stops_at_once_with_runs_and_callbacks_under_way() -> None:
    """Timers, waiting callbacks and held answers do not keep it alive."""
    begun = time.monotonic()
    switches = Faults(callback_delay=600)
    with sandbox_server.running(run_seconds=600, faults=switches) as sandbox, sandbox.client() as api:
        for _ in range(2):
            run = sandbox_server.new_run(api, callbackUrl="http://127.0.0.1:9/")
            api.post(f"/agent/v1/run/{run}/exec")
        sandbox.finish(run)
    assert time.monotonic() - begun < 60


def test_a_call_whose_answer_is_lost_counts_towards_the_limit(sandbox: Sandbox, api: httpx.Client) -> None:
    """The service did its work, so one call fewer remains."""
    sandbox.faults(calls_per_minute=1_000_000, lose_answer={"agents.list": 3})
    before = api.get("/agent/v1/run").headers
    for _ in range(3):
        with pytest.raises(httpx.TransportError):
            api.get("/agent/v1/agents")
    after = api.get("/agent/v1/run").headers
    is_same_minute = before["x-ratelimit-reset"] == after["x-ratelimit-reset"]
    used = int(before["x-ratelimit-remaining"]) - int(after["x-ratelimit-remaining"])
    assert used == 4 or not is_same_minute
