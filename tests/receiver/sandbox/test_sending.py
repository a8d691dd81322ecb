"""What the sandbox sends by itself: watcher callbacks and signed platform events."""

from __future__ import annotations

import base64
import threading
from typing import Any

import httpx2 as httpx
import pytest
import standardwebhooks

from receiver.sandbox import endpoints
from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox.catcher import Catcher, Caught
from tests.sandbox_server import Sandbox


def _started(api: httpx.Client, receiver: Catcher | None = None, **fields: Any) -> str:
    """Start a run that the receiver watches."""
    if receiver is not None:
        fields["callbackUrl"] = f"{receiver.url}?token=a%20b&x=1"
    run = sandbox_server.new_run(api, **fields)
    api.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    return run


def _endpoint(api: httpx.Client, receiver: Catcher, *filters: str) -> str:
    body = {"url": receiver.url, "eventTypeFilters": list(filters) or ["agent.run.*"]}
    secret: str = api.post("/webhooks/v1/endpoints", json=body).raise_for_status().json()["signingSecret"]
    return secret


def _caught(receiver: Catcher, count: int = 1) -> list[Caught]:
    return until(lambda: receiver.caught[:] if len(receiver.caught) >= count else [])


def _standard(caught: Caught) -> dict[str, str]:
    """Return the headers under the names of the standard."""
    return {f"webhook-{part}": caught.headers[f"case-webhook-{part}"] for part in ("id", "timestamp", "signature")}


def test_a_watcher_is_called_when_the_run_ends(api: httpx.Client, receiver: Catcher) -> None:
    """A JSON POST with the run's id, to the very address that was given."""
    run = _started(api, receiver)
    (caught,) = _caught(receiver)
    assert caught.path == "/hook?token=a%20b&x=1"
    assert caught.headers["content-type"] == "application/json"
    assert caught.json == {"runId": run}


def test_every_watcher_is_called(api: httpx.Client, receiver: Catcher) -> None:
    """The one of create and those of watch."""
    run = sandbox_server.new_run(api, callbackUrl=receiver.url + "?n=0")
    for number in (1, 2):
        api.post(f"/agent/v1/run/{run}/watch", json={"callbackUrl": f"{receiver.url}?n={number}"})
    api.post(f"/agent/v1/run/{run}/exec")
    assert {caught.path for caught in _caught(receiver, 3)} == {f"/hook?n={number}" for number in range(3)}


def test_a_cancelled_run_calls_back_too(api: httpx.Client, sandbox: Sandbox, receiver: Catcher) -> None:
    """Also one that was never started; a second cancel sends nothing."""
    run = sandbox_server.new_run(api, callbackUrl=receiver.url)
    for _ in range(2):
        assert api.post(f"/agent/v1/run/{run}/cancel").json()["status"] == "cancelled"
    _caught(receiver)
    assert len(sandbox.sent("callback")) == 1


def test_the_states_that_call_back_are_a_switch(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """Failed runs send nothing where only completed ones are switched on."""
    sandbox.faults(callback_states=["completed"], fail_prompts=["doomed"])
    silent = _started(api, receiver, prompt="doomed")
    until(lambda: sandbox.run(silent)["status"] == "failed")
    reported = _started(api, receiver)
    assert [caught.json["runId"] for caught in _caught(receiver)] == [reported]


@pytest.mark.parametrize("form", ["id", "run.id", "data.runId", "run_id", "rich"])
def test_callbacks_come_in_several_forms(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, form: str
) -> None:
    """The run's id is where the form has it; the rich one carries the result too."""
    sandbox.faults(callback_body=form)
    run = _started(api, receiver)
    (caught,) = _caught(receiver)
    found = caught.json
    for name in ("runId" if form == "rich" else form).split("."):
        found = found[name]
    assert found == run
    assert form != "rich" or caught.json["result"]["output"]


def test_callbacks_may_name_another_run(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """An unknown one where there is no other, else another that exists."""
    sandbox.faults(callback_wrong_run_id=True)
    first = _started(api, receiver)
    (caught,) = _caught(receiver)
    assert caught.json["runId"] not in (first, None)
    _started(api, receiver)
    assert _caught(receiver, 2)[1].json["runId"] == first


def test_callbacks_may_come_more_than_once(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """Two extra copies make three."""
    sandbox.faults(callback_duplicates=2)
    _started(api, receiver)
    assert len({caught.body for caught in _caught(receiver, 3)}) == 1


def test_callbacks_may_be_lost(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """None arrives; the journal has it as dropped."""
    sandbox.faults(callback_drop_rate=1)
    _started(api, receiver)
    (sent,) = until(lambda: sandbox.sent("callback"))
    assert (sent["error"], sent["attempt"], receiver.caught) == ("dropped", 0, [])


def test_a_script_drops_the_callbacks_of_one_run(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """By a piece of its prompt, whatever the number of copies."""
    sandbox.faults(script=[{"route": "callback", "prompt": "lost", "action": "drop"}], callback_duplicates=1)
    lost = _started(api, receiver, prompt="a lost one")
    until(lambda: len(sandbox.sent("callback")) == 2)
    reported = _started(api, receiver)
    assert {caught.json["runId"] for caught in _caught(receiver, 2)} == {reported} != {lost}


def test_callbacks_may_be_late(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """The run has ended and nothing has come; later it comes."""
    sandbox.faults(callback_delay=0.4)
    run = _started(api, receiver)
    until(lambda: sandbox.run(run)["status"] == "completed")
    assert receiver.caught == []
    _caught(receiver)


def test_callbacks_are_sent_once_unless_retries_are_set(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher
) -> None:
    """A 503 ends it by default; with retries the next attempt arrives."""
    receiver.statuses = [503, 503, 204]
    first = _started(api, receiver)
    _caught(receiver)
    sandbox.faults(callback_retries=3, retry_backoff=0.01)
    second = _started(api, receiver)
    until(lambda: 204 in [sent["status"] for sent in sandbox.sent("callback")])
    attempts = [(sent["run"], sent["attempt"], sent["status"]) for sent in sandbox.sent("callback")]
    assert attempts == [(first, 1, 503), (second, 1, 503), (second, 2, 204)]


def test_a_dead_receiver_is_an_error_in_the_journal(sandbox: Sandbox, api: httpx.Client) -> None:
    """And no trouble for the run."""
    run = _started(api, callbackUrl="http://127.0.0.1:9/nobody")
    until(lambda: [sent for sent in sandbox.sent("callback") if sent["error"] == "ConnectError"])
    assert sandbox.run(run)["status"] == "completed"


def test_the_callback_may_come_before_the_exec_answer(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher
) -> None:
    """However long the run would take: when exec answers, the callback has been received."""
    sandbox.faults(callback_before_exec_answer=True)
    run = sandbox_server.new_run(api, callbackUrl=receiver.url)
    assert api.post(f"/agent/v1/run/{run}/exec").json()["status"] == "running"
    assert [caught.json["runId"] for caught in receiver.caught] == [run]
    assert sandbox.run(run)["status"] == "completed"


def test_events_verify_with_the_standard_library_of_the_scheme(api: httpx.Client, receiver: Catcher) -> None:
    """The reference implementation accepts them with the secret of the endpoint."""
    secret = _endpoint(api, receiver)
    run = _started(api)
    (caught,) = _caught(receiver)
    event: Any = standardwebhooks.Webhook(secret).verify(caught.body, _standard(caught))
    assert event["type"] == "agent.run.completed"
    assert event["id"].startswith("evt_")
    assert event["data"]["runId"] == run
    assert set(event["data"]) == {"runId", "agentId", "status"}
    assert set(event) == {"id", "type", "occurred_at", "data"}


def test_the_signature_agrees_with_a_known_one() -> None:
    """A vector of the scheme that was not made here."""
    key = base64.b64decode("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    body = (
        b'{"id":"evt_sim_0001","type":"agent.run.completed","occurred_at":"2026-11-23T12:00:00.000Z",'
        b'"data":{"runId":"run_sim_0001","agentId":"agent_sim_0001","status":"completed"}}'
    )
    found = endpoints.signature(key, "dlv_sim_0001", "1795435200", body)
    assert found == "v1,vKdPy4I9bv8T2F9qgW85S7ZRBwlXUZlfo0Qo5EwoA7c="


@pytest.mark.parametrize("encoding", ["hex", "raw"])
def test_secrets_may_hold_the_key_otherwise(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, encoding: str
) -> None:
    """In hex, or as the very text after the prefix."""
    sandbox.faults(event_key_encoding=encoding)
    held = _endpoint(api, receiver).removeprefix("whsec_")
    key = bytes.fromhex(held) if encoding == "hex" else held.encode()
    _started(api)
    (caught,) = _caught(receiver)
    standardwebhooks.Webhook(base64.b64encode(key).decode()).verify(caught.body, _standard(caught))


def test_forged_events_do_not_verify(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """Everything but the key is right."""
    secret = _endpoint(api, receiver)
    sandbox.faults(event_forged=True)
    _started(api)
    (caught,) = _caught(receiver)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(caught.body, _standard(caught))


def test_filters_choose_the_events(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """An endpoint for failures gets failures only."""
    _endpoint(api, receiver, "agent.run.failed", "vault.*")
    sandbox.faults(fail_prompts=["doomed"])
    completed = _started(api)
    until(lambda: sandbox.run(completed)["status"] == "completed")
    doomed = _started(api, prompt="doomed")
    assert [caught.json["data"]["runId"] for caught in _caught(receiver)] == [doomed]


def test_the_start_makes_an_event_where_that_is_on(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """agent.run.started, then the end."""
    _endpoint(api, receiver)
    sandbox.faults(event_started=True)
    _started(api)
    types = {caught.json["type"] for caught in _caught(receiver, 2)}
    assert types == {"agent.run.started", "agent.run.completed"}


def test_event_states_are_a_switch(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """Only cancelled runs make events."""
    _endpoint(api, receiver)
    sandbox.faults(event_states="cancelled")
    sandbox.finish(sandbox_server.new_run(api))
    run = sandbox_server.new_run(api)
    api.post(f"/agent/v1/run/{run}/cancel")
    assert [caught.json["type"] for caught in _caught(receiver)] == ["agent.run.cancelled"]


def test_a_doubled_event_keeps_its_id(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """One event, two delivery ids."""
    _endpoint(api, receiver)
    sandbox.faults(event_duplicates=1)
    _started(api)
    both = _caught(receiver, 2)
    assert len({caught.json["id"] for caught in both}) == 1
    assert len({caught.headers["case-webhook-id"] for caught in both}) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_events_are_retried(sandbox: Sandbox, api: httpx.Client, receiver: Catcher, status: int) -> None:
    """After 408, 429 and 5xx the same delivery comes again."""
    _endpoint(api, receiver)
    sandbox.faults(retry_backoff=0.01)
    receiver.statuses = [status, 204]
    _started(api)
    first, second = _caught(receiver, 2)
    assert first.body == second.body
    assert first.headers["case-webhook-id"] == second.headers["case-webhook-id"]


def test_another_4xx_loses_the_event(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """One attempt, and no more."""
    _endpoint(api, receiver)
    sandbox.faults(retry_backoff=0)
    receiver.statuses = [401, 204]
    _started(api)
    _caught(receiver)
    other = _started(api)
    _caught(receiver, 2)
    until(lambda: [sent["status"] for sent in sandbox.sent("event")] == [401, 204])
    assert [sent["run"] for sent in sandbox.sent("event")][1] == other


def test_events_may_be_late_or_lost(sandbox: Sandbox, api: httpx.Client, receiver: Catcher) -> None:
    """The delay and the drop rate of events are their own."""
    _endpoint(api, receiver)
    sandbox.faults(event_drop_rate=1)
    _started(api)
    until(lambda: [sent["error"] for sent in sandbox.sent("event")] == ["dropped"])
    sandbox.faults(event_drop_rate=0, event_delay=0.3)
    late = _started(api)
    assert receiver.caught == []
    assert [caught.json["data"]["runId"] for caught in _caught(receiver)] == [late]


def test_many_runs_end_side_by_side(sandbox: Sandbox, receiver: Catcher) -> None:
    """Forty runs of four clients: each is called back once."""

    def work() -> None:
        with sandbox.client() as client:
            agent = sandbox_server.new_agent(client)
            for _ in range(10):
                _started(client, receiver, agentId=agent)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({caught.json["runId"] for caught in _caught(receiver, 40)}) == len(receiver.caught) == 40
