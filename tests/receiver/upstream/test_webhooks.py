"""The upstream's webhook routes, in whichever form they answer."""

from __future__ import annotations

import json

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.upstream import client, webhooks

pytestmark = pytest.mark.anyio

SECRET = "whsec_cGxhbnRlZA=="
URL = "https://ledger.test/webhooks/case"
DOCUMENTED = {
    "id": "whe_1",
    "url": URL,
    "eventTypeFilters": ["agent.run.*"],
    "status": "auto_disabled",
    "consecutiveFailures": 7,
    "secretRotatedAt": "2026-11-23T12:00:00Z",
    "previousSecretExpiresAt": "2026-11-24T12:00:00Z",
    "lastDeliveryAt": None,
}


class Upstream:
    """An upstream that answers each request alike and records them."""

    def __init__(self, status: int, body: object) -> None:
        self.answer = httpx.Response(
            status, content=body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        self.requests: list[httpx.Request] = []

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer

    @property
    def webhooks(self) -> webhooks.Webhooks:
        transport = httpx.MockTransport(self._handle)
        return client.Client("https://upstream.test", "sk_case_1", transport).webhooks

    @property
    def asked(self) -> tuple[str, str, object]:
        """Return the method, path with query, and body of the one request."""
        (request,) = self.requests
        sent = json.loads(request.content) if request.content else None
        return request.method, request.url.raw_path.decode(), sent


async def test_creating_an_endpoint_returns_its_secret() -> None:
    upstream = Upstream(201, DOCUMENTED | {"status": "active", "signingSecret": SECRET})
    made = await upstream.webhooks.create(URL, ["agent.run.*"], "Runledger")
    wanted = {"url": URL, "eventTypeFilters": ["agent.run.*"], "description": "Runledger"}
    assert upstream.asked == ("POST", "/webhooks/v1/endpoints", wanted)
    assert (made.endpoint.id, made.endpoint.status, made.secret) == ("whe_1", "active", SECRET)
    assert SECRET not in repr(made)


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "whe_1", "secret": SECRET},
        {"endpointId": "whe_1", "signing_secret": SECRET},
        {"endpoint": {"id": "whe_1"}, "signingSecret": SECRET},
        {"data": {"endpoint_id": "whe_1", "secret": SECRET}},
    ],
)
async def test_id_and_secret_are_found_in_whatever_form(answer: object) -> None:
    made = await Upstream(201, answer).webhooks.create(URL, [], "")
    assert (made.endpoint.id, made.secret) == ("whe_1", SECRET)


async def test_an_answer_without_a_secret_returns_none() -> None:
    assert (await Upstream(200, {"id": "whe_1"}).webhooks.rotate("whe_1", 60)).secret is None


@pytest.mark.parametrize(
    "body", [f'{{"signingSecret": "{SECRET}"'.encode(), json.dumps({"secret": SECRET}).encode()]
)
async def test_an_unreadable_answer_with_a_secret_in_it_becomes_no_part_of_the_error(body: bytes) -> None:
    with pytest.raises(errors.InvalidResponse) as caught:
        await Upstream(201, body).webhooks.create(URL, [], "")
    assert (caught.value.body, SECRET in str(caught.value), caught.value.__cause__) == (b"", False, None)


async def test_a_rotation_returns_the_end_of_the_old_secret() -> None:
    upstream = Upstream(200, DOCUMENTED | {"signingSecret": SECRET})
    made = await upstream.webhooks.rotate("whe_1", 3600)
    path = "/webhooks/v1/endpoints/whe_1/rotate_secret"
    assert upstream.asked == ("POST", path, {"previousSecretExpiresInSec": 3600})
    assert made.endpoint.previous_ends_at is not None


async def test_an_endpoint_is_shown_with_what_is_known_of_it() -> None:
    shown = await Upstream(200, DOCUMENTED).webhooks.get("whe_1")
    assert shown is not None
    assert (shown.status, shown.failures, shown.filters) == ("auto_disabled", 7, ("agent.run.*",))
    assert (shown.rotated_at is None, shown.delivered_at) == (False, None)
    assert (shown.receives("agent.run.failed"), shown.receives("ocr.job.completed")) == (True, False)


async def test_an_endpoint_that_is_not_there_is_none() -> None:
    assert await Upstream(404, {"message": "Endpoint not found"}).webhooks.get("whe_1") is None


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_another_no_to_a_look_is_an_error(status: int) -> None:
    with pytest.raises(errors.UpstreamStatusError):
        await Upstream(status, {}).webhooks.get("whe_1")


async def test_the_list_leaves_out_what_cannot_be_named() -> None:
    upstream = Upstream(200, {"endpoints": [DOCUMENTED, {"id": "../x"}, "junk", {"id": "whe_2", "url": 7}]})
    found = await upstream.webhooks.list()
    assert [(each.id, each.url) for each in found] == [("whe_1", URL), ("whe_2", None)]
    assert upstream.asked == ("GET", "/webhooks/v1/endpoints?limit=100", None)


@pytest.mark.parametrize("answer", [{}, {"endpoints": "none"}, []])
async def test_a_list_that_is_none_is_unreadable(answer: object) -> None:
    with pytest.raises(errors.InvalidResponse):
        await Upstream(200, answer).webhooks.list()


async def test_only_what_changes_is_sent() -> None:
    upstream = Upstream(200, DOCUMENTED)
    await upstream.webhooks.update("whe_1", status="active")
    assert upstream.asked == ("PATCH", "/webhooks/v1/endpoints/whe_1", {"status": "active"})


@pytest.mark.parametrize("status", [204, 404])
async def test_what_is_deleted_already_is_as_good(status: int) -> None:
    upstream = Upstream(status, b"")
    await upstream.webhooks.delete("whe_1")
    assert upstream.asked == ("DELETE", "/webhooks/v1/endpoints/whe_1", None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"delivered": True, "responseStatus": 200, "durationMs": 42}, (True, 200, None)),
        ({"delivered": False, "responseStatus": 401, "error": "HTTP 401"}, (False, 401, "HTTP 401")),
        ({"delivered": False, "responseStatus": None, "error": "timeout"}, (False, None, "timeout")),
        ({"success": True, "response_status": 204}, (True, 204, None)),
        ({}, (False, None, None)),
    ],
)
async def test_a_test_delivery_reports_its_outcome(answer: object, expected: tuple[object, ...]) -> None:
    found = await Upstream(200, answer).webhooks.test("whe_1")
    assert (found.delivered, found.status, found.error) == expected


async def test_failed_deliveries_are_requested_by_endpoint() -> None:
    upstream = Upstream(
        200, {"deliveries": [{"id": "dlv_1", "eventId": "evt_1", "status": "failed"}, {"id": "d/2"}]}
    )
    found = await upstream.webhooks.failed("whe_1")
    assert [(each.id, each.event_id) for each in found] == [("dlv_1", "evt_1")]
    assert upstream.asked[1] == "/webhooks/v1/deliveries?endpoint_id=whe_1&status=failed&limit=100"


async def test_a_replay_names_its_delivery() -> None:
    upstream = Upstream(200, {})
    await upstream.webhooks.replay("dlv_1")
    assert upstream.asked == ("POST", "/webhooks/v1/deliveries/dlv_1/replay", None)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_an_instant_of_an_endpoint_that_cannot_be_is_none(text: str) -> None:
    names = ("secretRotatedAt", "previousSecretExpiresAt", "lastDeliveryAt")
    (shown,) = await Upstream(200, {"endpoints": [DOCUMENTED | dict.fromkeys(names, text)]}).webhooks.list()
    assert (shown.rotated_at, shown.previous_ends_at, shown.delivered_at) == (None, None, None)
