"""The history of what was delivered, and sending it again."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
import standardwebhooks

from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox.catcher import Catcher
from tests.sandbox_server import Sandbox

DELIVERIES = "/webhooks/v1/deliveries"


@pytest.fixture
def endpoint(api: httpx.Client, receiver: Catcher) -> dict[str, Any]:
    """Return an endpoint that gets the events of agent runs."""
    body = {"url": receiver.url, "eventTypeFilters": ["agent.run.*"]}
    made: dict[str, Any] = api.post("/webhooks/v1/endpoints", json=body).raise_for_status().json()
    return made


def _listed(api: httpx.Client, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(DELIVERIES + query).raise_for_status().json()["deliveries"]
    return found


def _ended(sandbox: Sandbox, api: httpx.Client) -> dict[str, Any]:
    """End a run and return the delivery of its event, when it is no longer pending."""
    sandbox.finish(sandbox_server.new_run(api))
    return _settled(api)


def _settled(api: httpx.Client) -> dict[str, Any]:
    """Return the newest delivery, when it is no longer pending."""
    until(lambda: _listed(api, "?limit=1")[0]["status"] != "pending")
    return _listed(api, "?limit=1")[0]


def test_a_delivery_shows_what_was_sent_and_its_outcome(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """The event's own id, type and time, the attempts, and the last answer."""
    receiver.statuses = [503, 204]
    sandbox.faults(retry_backoff=0.01)
    found = _ended(sandbox, api)
    event = receiver.caught[0].json
    assert found == {
        "id": receiver.caught[0].headers["case-webhook-id"],
        "endpointId": endpoint["id"],
        "eventId": event["id"],
        "eventType": "agent.run.completed",
        "status": "delivered",
        "attempts": 2,
        "responseStatus": 204,
        "occurredAt": event["occurred_at"],
        "createdAt": found["createdAt"],
        "lastAttemptAt": found["lastAttemptAt"],
        "isReplay": False,
    }
    assert api.get(f"{DELIVERIES}/{found['id']}").json() == found
    shown = api.get(f"/webhooks/v1/endpoints/{endpoint['id']}").json()
    assert shown["lastDeliveryAt"] == found["lastAttemptAt"]


def test_a_delivery_is_pending_until_its_last_attempt(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """Between two attempts; and it is delivered or failed when none follows."""
    sandbox.faults(script=[{"route": "event", "times": 1, "action": "hold"}])
    sandbox.finish(sandbox_server.new_run(api))
    (pending,) = _listed(api, "?status=pending")
    assert (pending["attempts"], pending["responseStatus"], pending["lastAttemptAt"]) == (0, None, None)
    sandbox.release()
    until(lambda: _listed(api, "?status=delivered"))
    receiver.statuses = [410]
    assert _ended(sandbox, api)["status"] == "failed"


def test_the_list_is_newest_first_and_narrowed(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """By endpoint, by status, to a number."""
    receiver.statuses = [400, 204]
    first, second = _ended(sandbox, api), _ended(sandbox, api)
    assert _listed(api) == [second, first]
    assert _listed(api, "?limit=1") == [second]
    assert _listed(api, "?status=failed") == [first]
    assert _listed(api, f"?endpoint_id={endpoint['id']}&status=delivered") == [second]
    assert _listed(api, "?endpoint_id=whe_x") == []
    for query in ("?limit=0", "?limit=101", "?status=lost"):
        assert api.get(DELIVERIES + query).status_code == 400


def test_each_copy_of_an_event_is_a_delivery(
    sandbox: Sandbox, api: httpx.Client, endpoint: dict[str, Any]
) -> None:
    """One event id, as many deliveries as there were copies."""
    sandbox.faults(event_duplicates=2)
    sandbox.finish(sandbox_server.new_run(api))
    found = until(lambda: _listed(api, "?status=delivered") if len(_listed(api)) == 3 else [])
    assert len({each["eventId"] for each in found}) == 1


def test_a_replay_sends_the_same_event_again(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """The same bytes under a new delivery id, marked, and signed with the secret of now alone."""
    earlier = _ended(sandbox, api)
    rotated = api.post(f"/webhooks/v1/endpoints/{endpoint['id']}/rotate_secret").json()
    answer = api.post(f"{DELIVERIES}/{earlier['id']}/replay").raise_for_status().json()
    until(lambda: len(receiver.caught) == 2)
    first, again = receiver.caught
    assert again.body == first.body
    assert again.headers["case-webhook-id"] == answer["id"] != earlier["id"]
    assert (again.headers["case-webhook-replay"], first.headers.get("case-webhook-replay")) == ("true", None)
    standard = {
        f"webhook-{part}": again.headers[f"case-webhook-{part}"] for part in ("id", "timestamp", "signature")
    }
    standardwebhooks.Webhook(rotated["signingSecret"]).verify(again.body, standard)
    assert " " not in standard["webhook-signature"]
    found = _settled(api)
    same = ("eventId", "eventType", "occurredAt", "endpointId")
    assert {name: found[name] for name in same} == {name: earlier[name] for name in same}
    assert (found["isReplay"], found["status"]) == (True, "delivered")


def test_a_replay_may_carry_other_data(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """The envelope stays."""
    earlier = _ended(sandbox, api)
    api.post(f"{DELIVERIES}/{earlier['id']}/replay", json={"payload": {"runId": "run_x"}}).raise_for_status()
    until(lambda: len(receiver.caught) == 2)
    assert receiver.caught[1].json == {**receiver.caught[0].json, "data": {"runId": "run_x"}}


def test_events_that_a_disabled_endpoint_missed_can_be_replayed(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """It is kept as failed without an attempt; a replay is a 409 until the endpoint is active again."""
    address = f"/webhooks/v1/endpoints/{endpoint['id']}"
    api.patch(address, json={"status": "disabled"})
    missed = _ended(sandbox, api)
    assert (missed["status"], missed["attempts"], receiver.caught) == ("failed", 0, [])
    assert api.post(f"{DELIVERIES}/{missed['id']}/replay").status_code == 409
    api.patch(address, json={"status": "active"})
    api.post(f"{DELIVERIES}/{missed['id']}/replay").raise_for_status()
    until(lambda: receiver.caught)
    assert receiver.caught[0].json["id"] == missed["eventId"]


def test_missed_events_may_leave_no_record(sandbox: Sandbox, api: httpx.Client, endpoint: dict[str, Any]) -> None:
    """The switch for a service that forgets what it could not send."""
    sandbox.faults(event_missed_recorded=False)
    api.patch(f"/webhooks/v1/endpoints/{endpoint['id']}", json={"status": "disabled"})
    sandbox.finish(sandbox_server.new_run(api))
    assert _listed(api) == []


def test_nothing_is_tried_again_once_the_endpoint_is_disabled(
    sandbox: Sandbox, api: httpx.Client, receiver: Catcher, endpoint: dict[str, Any]
) -> None:
    """A delivery that waits then fails without an attempt."""
    sandbox.faults(script=[{"route": "event", "action": "hold"}])
    sandbox.finish(sandbox_server.new_run(api))
    api.patch(f"/webhooks/v1/endpoints/{endpoint['id']}", json={"status": "disabled"})
    sandbox.release()
    (found,) = until(lambda: _listed(api, "?status=failed"))
    assert (found["attempts"], receiver.caught) == (0, [])


def test_a_dropped_event_is_in_no_history(sandbox: Sandbox, api: httpx.Client, endpoint: dict[str, Any]) -> None:
    """It was lost before it became a delivery; a replay that is dropped has failed."""
    delivered = _ended(sandbox, api)
    sandbox.faults(script=[{"route": "event", "action": "drop"}])
    sandbox.finish(sandbox_server.new_run(api))
    assert _listed(api) == [delivered]
    answer = api.post(f"{DELIVERIES}/{delivered['id']}/replay").json()
    assert (answer["status"], answer["attempts"]) == ("failed", 0)


def test_what_never_was_is_404(api: httpx.Client) -> None:
    """Unknown deliveries, and replays of them."""
    assert api.get(f"{DELIVERIES}/dlv_x").status_code == 404
    assert api.post(f"{DELIVERIES}/dlv_x/replay").status_code == 404
