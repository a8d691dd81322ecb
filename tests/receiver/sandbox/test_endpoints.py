"""Webhook endpoints: made, changed, rotated, tested, disabled and deleted, and how their events are signed."""

from __future__ import annotations

import functools
from typing import Any

import httpx2 as httpx
import pytest
import standardwebhooks

from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox import catcher
from tests.sandbox_server import Sandbox

ENDPOINTS = "/webhooks/v1/endpoints"
ADDRESS = "https://example.com/hook"


def _made(api: httpx.Client, url: str = ADDRESS, **fields: Any) -> dict[str, Any]:
    body = {"url": url, "eventTypeFilters": ["agent.run.*"], **fields}
    made: dict[str, Any] = api.post(ENDPOINTS, json=body).raise_for_status().json()
    return made


def _ended(sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher, count: int = 1) -> catcher.Caught:
    """End a run and return its event, the `count`th that the receiver got."""
    sandbox.finish(sandbox_server.new_run(api))
    return until(lambda: receiver.caught[:] if len(receiver.caught) >= count else [])[-1]


def _verified_by(secret: str, caught: catcher.Caught) -> bool:
    """Return the verdict of the scheme's reference implementation."""
    headers = {
        f"webhook-{part}": caught.headers[f"case-webhook-{part}"] for part in ("id", "timestamp", "signature")
    }
    try:
        standardwebhooks.Webhook(secret).verify(caught.body, headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def _has_caught(receiver: catcher.Catcher, count: int) -> bool:
    return len(receiver.caught) >= count


def _has_failed(api: httpx.Client, address: str, times: int) -> bool:
    return bool(api.get(address).json()["consecutiveFailures"] == times)


def test_an_endpoint_is_shown_as_it_was_made(api: httpx.Client) -> None:
    """All its fields, never the secret."""
    scopes = {"vaultIds": ["vault_1"]}
    made = _made(api, description="ours", resourceScopes=scopes)
    made.pop("signingSecret")
    shown = api.get(f"{ENDPOINTS}/{made['id']}").json()
    assert shown == made
    expected = {
        "url": ADDRESS,
        "description": "ours",
        "eventTypeFilters": ["agent.run.*"],
        "resourceScopes": scopes,
        "status": "active",
        "consecutiveFailures": 0,
        "lastDeliveryAt": None,
        "secretRotatedAt": None,
        "previousSecretExpiresAt": None,
    }
    assert {name: shown[name] for name in expected} == expected
    assert set(shown) == {*expected, "id", "createdAt", "updatedAt"}


def test_a_change_leaves_what_it_does_not_name(api: httpx.Client) -> None:
    """Each field by itself; null where that is documented."""
    made = _made(api, description="ours", resourceScopes={"vaultIds": ["vault_1"]})
    changes: list[dict[str, Any]] = [
        {"url": "https://example.com/other"},
        {"description": None},
        {"eventTypeFilters": ["*"]},
        {"resourceScopes": None},
        {"status": "disabled"},
        {},
    ]
    shown = api.get(f"{ENDPOINTS}/{made['id']}").json()
    for change in changes:
        changed = api.patch(f"{ENDPOINTS}/{made['id']}", json=change).raise_for_status().json()
        assert {**changed, "updatedAt": None} == {**shown, **change, "updatedAt": None}
        shown = changed


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://example.com/"},
        {"url": None},
        {"eventTypeFilters": []},
        {"eventTypeFilters": [""]},
        {"resourceScopes": []},
        {"resourceScopes": {"vaultIds": "vault_1"}},
        {"description": 1},
        {"status": "auto_disabled"},
        [],
    ],
    ids=str,
)
def test_a_bad_change_changes_nothing(api: httpx.Client, change: object) -> None:
    """400, and the endpoint is as before."""
    made = _made(api)
    response = api.patch(f"{ENDPOINTS}/{made['id']}", json=change)
    assert (response.status_code, response.json()["statusMessage"]) == (400, "Bad Request")
    assert api.get(f"{ENDPOINTS}/{made['id']}").json().items() <= made.items()


def test_the_list_is_newest_first_and_by_status(api: httpx.Client) -> None:
    """Within the limit; all states where none is asked for."""
    first, second, third = (_made(api)["id"] for _ in range(3))
    api.patch(f"{ENDPOINTS}/{second}", json={"status": "disabled"})

    def listed(query: str) -> list[str]:
        return [shown["id"] for shown in api.get(ENDPOINTS + query).raise_for_status().json()["endpoints"]]

    assert listed("") == [third, second, first]
    assert listed("?limit=2") == [third, second]
    assert listed("?status=active") == [third, first]
    assert listed("?status=disabled&limit=100") == [second]
    assert listed("?status=auto_disabled") == []
    for query in ("?limit=0", "?limit=101", "?status=deleted", "?status="):
        assert api.get(ENDPOINTS + query).status_code == 400


def test_a_deleted_endpoint_is_gone_but_for_its_history(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """204, then 404 everywhere; nothing more is sent to it."""
    made = _made(api, receiver.url)
    _ended(sandbox, api, receiver)
    response = api.delete(f"{ENDPOINTS}/{made['id']}")
    assert (response.status_code, response.content) == (204, b"")
    sandbox.finish(sandbox_server.new_run(api))
    assert api.get(ENDPOINTS).json()["endpoints"] == []
    assert api.get(f"{ENDPOINTS}/{made['id']}").status_code == 404
    assert api.delete(f"{ENDPOINTS}/{made['id']}").status_code == 404
    assert len(api.get(f"/webhooks/v1/deliveries?endpoint_id={made['id']}").json()["deliveries"]) == 1
    assert len(sandbox.sent("event")) == 1


def test_both_secrets_sign_while_one_is_being_replaced(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """The reference implementation accepts the event with either; the newest signature comes first."""
    made = _made(api, receiver.url)
    rotated = api.post(f"{ENDPOINTS}/{made['id']}/rotate_secret").json()
    assert rotated["signingSecret"] != made["signingSecret"]
    assert rotated["previousSecretExpiresAt"] > rotated["secretRotatedAt"]
    caught = _ended(sandbox, api, receiver)
    assert _verified_by(made["signingSecret"], caught)
    assert _verified_by(rotated["signingSecret"], caught)
    newest, _ = caught.headers["case-webhook-signature"].split()
    caught.headers["case-webhook-signature"] = newest
    assert _verified_by(rotated["signingSecret"], caught)


def test_without_grace_the_old_secret_is_dead_at_once(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """previousSecretExpiresInSec of 0 leaves one signature, of the new secret."""
    made = _made(api, receiver.url)
    body = {"previousSecretExpiresInSec": 0}
    rotated = api.post(f"{ENDPOINTS}/{made['id']}/rotate_secret", json=body).json()
    assert rotated["previousSecretExpiresAt"] is None
    caught = _ended(sandbox, api, receiver)
    assert _verified_by(rotated["signingSecret"], caught)
    assert not _verified_by(made["signingSecret"], caught)


@pytest.mark.parametrize("grace", [-1, 2_592_001, 1.5, "60", True, None])
def test_a_grace_beyond_thirty_days_is_refused(api: httpx.Client, grace: object) -> None:
    """0 to 2,592,000 whole seconds; a refused rotation leaves the secret."""
    made = _made(api)
    response = api.post(f"{ENDPOINTS}/{made['id']}/rotate_secret", json={"previousSecretExpiresInSec": grace})
    assert response.status_code == 400
    assert api.get(f"{ENDPOINTS}/{made['id']}").json()["secretRotatedAt"] is None


def test_a_test_event_is_delivered_before_the_answer(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """Signed as any, shown in the answer, and kept in no history."""
    made = _made(api, receiver.url)
    shown = api.post(f"{ENDPOINTS}/{made['id']}/test").json()
    assert (shown["delivered"], shown["responseStatus"], shown["error"]) == (True, 204, None)
    assert shown["durationMs"] >= 0
    (caught,) = receiver.caught
    assert caught.json["type"] == "webhook.test"
    assert _verified_by(made["signingSecret"], caught)
    assert api.get("/webhooks/v1/deliveries").json() == {"deliveries": []}
    assert [sent["status"] for sent in sandbox.sent("test")] == [204]


def test_a_test_event_may_be_of_any_kind(api: httpx.Client, receiver: catcher.Catcher) -> None:
    """Its type and its data are the caller's."""
    made = _made(api, receiver.url)
    body = {"eventType": "ocr.job.completed", "payload": {"jobId": "ocr_1"}}
    api.post(f"{ENDPOINTS}/{made['id']}/test", json=body).raise_for_status()
    (caught,) = receiver.caught
    assert (caught.json["type"], caught.json["data"]) == ("ocr.job.completed", {"jobId": "ocr_1"})


def test_a_test_event_that_fails_is_not_repeated(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """The answer gives the status, or why there is none; the endpoint's failures are not counted."""
    receiver.statuses = [503]
    made, dead = _made(api, receiver.url), _made(api, "http://127.0.0.1:9/nobody")
    refused = api.post(f"{ENDPOINTS}/{made['id']}/test").json()
    unheard = api.post(f"{ENDPOINTS}/{dead['id']}/test").json()
    assert (refused["delivered"], refused["responseStatus"], refused["error"]) == (False, 503, None)
    assert (unheard["delivered"], unheard["responseStatus"], unheard["error"]) == (False, None, "ConnectError")
    assert len(sandbox.sent("test")) == 2
    assert api.get(f"{ENDPOINTS}/{made['id']}").json()["consecutiveFailures"] == 0


def test_an_endpoint_that_keeps_failing_is_disabled(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """After as many failed deliveries in a row as the switch names, until it is made active again."""
    receiver.statuses = [400, 204, 400, 400, 204]
    sandbox.faults(auto_disable_after=2)
    made = f"{ENDPOINTS}/{_made(api, receiver.url)['id']}"
    for failures in (1, 0, 1, 2):
        sandbox.finish(sandbox_server.new_run(api))
        until(functools.partial(_has_failed, api, made, failures))
    assert api.get(made).json()["status"] == "auto_disabled"
    assert api.get(f"{ENDPOINTS}?status=auto_disabled").json()["endpoints"] == [api.get(made).json()]
    sandbox.finish(sandbox_server.new_run(api))
    assert len(sandbox.sent("event")) == 4
    woken = api.patch(made, json={"status": "active"}).json()
    assert (woken["status"], woken["consecutiveFailures"]) == ("active", 0)
    _ended(sandbox, api, receiver, 5)


def test_a_scope_lets_through_what_is_within_it(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """Runs of agents that are bound to one of the vaults; none where a matter is demanded."""
    _made(api, receiver.url, resourceScopes={"vaultIds": ["vault_1"]})
    _made(api, receiver.url, resourceScopes={"matterIds": ["matter_1"]})
    sandbox.finish(sandbox_server.new_run(api))
    bound = sandbox_server.new_agent(api, vaultIds=["vault_1", "vault_2"])
    within = sandbox_server.new_run(api, agentId=bound)
    sandbox.finish(within)
    until(lambda: receiver.caught)
    assert [sent["run"] for sent in sandbox.sent("event")] == [within]


def test_events_may_come_in_the_wrong_order(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """Each one waits until the next has overtaken it."""
    _made(api, receiver.url)
    sandbox.faults(event_disorder=600)
    runs = [sandbox_server.new_run(api) for _ in range(4)]
    for count, run in enumerate(runs, 1):
        sandbox.finish(run)
        until(functools.partial(_has_caught, receiver, count - count % 2))
    first, second, third, fourth = runs
    assert [caught.json["data"]["runId"] for caught in receiver.caught] == [second, first, fourth, third]


def test_an_event_that_nothing_overtakes_comes_late(
    sandbox: Sandbox, api: httpx.Client, receiver: catcher.Catcher
) -> None:
    """When its longest wait has ended."""
    _made(api, receiver.url)
    sandbox.faults(event_disorder=0.05)
    _ended(sandbox, api, receiver)


def test_the_catalogue_names_what_can_be_subscribed_to(api: httpx.Client) -> None:
    """Each type with the scope that a key needs, and how stable it is."""
    found = api.get("/webhooks/v1/event_types").json()["eventTypes"]
    assert {"agent.run.completed", "agent.run.failed", "agent.run.cancelled"} <= {each["type"] for each in found}
    assert all(set(each) == {"type", "scope", "stability", "description"} for each in found)
