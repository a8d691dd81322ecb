"""Whatever is sent, the answer is a 4xx of the documented form or a 200, never a 500."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest

from receiver.sandbox import messages
from receiver.sandbox.faults import Faults
from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox import documented
from tests.sandbox_server import Sandbox

BAD_BODIES: list[bytes] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"agentId": "a", "prompt": NaN}',
    b'{"agentId": "a", "prompt": 1e999}',
    b'{"agentId": "a"}',
    b'{"agentId": "a", "prompt": ""}',
    b'{"agentId": 1, "prompt": "p"}',
    b'{"agentId": "a", "prompt": ["p"]}',
    b'{"agentId": "a", "prompt": "p", "objectIds": "obj_1"}',
    b'{"agentId": "a", "prompt": "p", "objectIds": [1]}',
    b'{"agentId": "a", "prompt": "p", "guidance": 7}',
    b'{"agentId": "a", "prompt": "p", "callbackUrl": 7}',
    b'{"x": ' + b"9" * 5000 + b"}",
    b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 900 + b"]" * 900,
]
BAD_ADDRESSES = [
    "",
    "hook",
    "http://example.com/hook",
    "ftp://127.0.0.1/",
    "https://10.0.0.8/hook",
    "https://192.168.1.1/hook",
    "https://169.254.169.254/latest",
    "https://[fd00::1]/hook",
    "https://[::ffff:10.0.0.1]/",
    "https://0xa.1/hook",
    "https://167772161/hook",
    "https://intranet/hook",
    "https://db.internal/hook",
    "https://[::1",
    "https:///hook",
    "https://example.com/with space",
    "https://example.com/\u00e9",
    "https://example.com:99999/",
    "https://example.com/" + "a" * 3000,
]
ODD_TEXTS = ["\ud800", "\x00", "\u202e", "🎉" * 300, "<script>", "' OR 1=1 --", "a" * 100_000]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:40].decode("latin-1"))
def test_a_bad_body_is_400(api: httpx.Client, body: bytes) -> None:
    """Broken, missing, mistyped, too deep: 400 as documented."""
    response = api.post("/agent/v1/run", content=body)
    assert response.status_code == 400
    assert documented.faults_of("POST", "/agent/v1/run", 400, response.json()) == []


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={value}" for value in ("0", "251", "", "ten", "-1", "1.5", "%D9%A3")),
        "status=done",
        "status=",
        "cursor=",
        "cursor=run_x",
    ],
)
def test_a_bad_query_is_400(api: httpx.Client, query: str) -> None:
    """Limits outside 1 to 250, unknown states and unknown cursors are refused."""
    response = api.get(f"/agent/v1/run?{query}")
    assert response.status_code == 400
    assert documented.faults_of("GET", "/agent/v1/run", 400, response.json()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "n"},
        {"name": 1, "instructions": "i"},
        {"name": "n", "instructions": "i", "sandbox": []},
        {"name": "n", "instructions": "i", "sandbox": {"cpu": "2"}},
        {"name": "n", "instructions": "i", "sandbox": {"cpu": True}},
        {"name": "n", "instructions": "i", "vaultIds": {}},
        {"name": "n", "instructions": "i", "enabledTools": ["a"], "disabledTools": ["b"]},
    ],
)
def test_a_bad_agent_is_400(api: httpx.Client, body: dict[str, Any]) -> None:
    """Missing fields, wrong types, and two tool lists at once are refused."""
    assert api.post("/agent/v1/agents", json=body).status_code == 400


def test_an_update_of_nothing_is_400(api: httpx.Client) -> None:
    """A patch must name a field that there is."""
    agent = sandbox_server.new_agent(api)
    assert api.patch(f"/agent/v1/agents/{agent}", json={"colour": "red"}).status_code == 400


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_a_bad_callback_address_is_refused(url: str) -> None:
    """Not https, not public, or not an address at all."""
    with pytest.raises(messages.ApiError) as refusal:
        messages.target(url, public_only=False)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/a?b=c", "http://localhost/", "http://[::1]:1/", "https://127.1/"]
)
def test_loopback_is_for_tests_only(url: str) -> None:
    """Loopback is taken unless only public addresses are."""
    assert messages.target(url, public_only=False) == url
    with pytest.raises(messages.ApiError):
        messages.target(url, public_only=True)


def test_public_only_holds_for_every_route_that_takes_an_address() -> None:
    """Create, watch and endpoints refuse loopback; a public https address passes."""
    with (
        sandbox_server.running(faults=Faults(callback_drop_rate=1), public_only=True) as sandbox,
        sandbox.client() as api,
    ):
        run = sandbox_server.new_run(api, callbackUrl="https://example.com/hook")
        body = {"agentId": api.get("/agent/v1/agents").json()["agents"][0]["id"], "prompt": "p"}
        for path, fields in (
            ("/agent/v1/run", {**body, "callbackUrl": "http://127.0.0.1/"}),
            (f"/agent/v1/run/{run}/watch", {"callbackUrl": "http://localhost/"}),
            ("/webhooks/v1/endpoints", {"url": "http://127.0.0.1/", "eventTypeFilters": ["*"]}),
        ):
            assert api.post(path, json=fields).status_code == 400
        assert len(sandbox.runs()) == 1


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text)[:20])
def test_odd_texts_come_back_as_they_went(sandbox: Sandbox, api: httpx.Client, text: str) -> None:
    """Lone surrogates, NUL and the rest survive create, list, details, callbacks and the journal."""
    agent = sandbox_server.new_agent(api)
    api.patch(f"/agent/v1/agents/{agent}", content=json.dumps({"description": text})).raise_for_status()
    sandbox.faults(callback_body="rich", event_retries=0)
    body = {"agentId": agent, "prompt": text, "guidance": text, "model": text, "objectIds": [text]}
    body["callbackUrl"] = "http://127.0.0.1:9/closed"
    run = api.post("/agent/v1/run", content=json.dumps(body)).json()["id"]
    assert api.post(f"/agent/v1/run/{run}/exec").status_code == 200
    until(lambda: sandbox.sent("callback"))
    shown = api.get(f"/agent/v1/run/{run}/details").json()
    assert (shown["prompt"], shown["guidance"], shown["model"]) == (text, text, text)
    assert api.get("/agent/v1/run").json()["runs"][0]["prompt"] == text[:200]


@pytest.mark.parametrize("known", ["%00", "..%2f..", "%F0%9F%8E%89", "a" * 3000, "%ff", "run_1%0d%0aX: y"])
def test_odd_ids_are_404(api: httpx.Client, known: str) -> None:
    """An id is looked up and nothing else."""
    assert api.get(f"/agent/v1/run/{known}/details").status_code == 404


def test_a_body_beyond_all_measure_is_413(api: httpx.Client) -> None:
    """More than 16 MiB is read and refused."""
    assert api.post("/agent/v1/run", content=b" " * (17 * 1024 * 1024)).status_code == 413


@pytest.mark.parametrize("path", ["/agent/v1/nothing", "/agent/v1/run/", "/other"])
def test_paths_that_do_not_exist_are_404(api: httpx.Client, path: str) -> None:
    """In the service's own error form."""
    response = api.get(path)
    assert response.status_code == 404
    assert response.json()["statusMessage"] == "Not Found"


def test_a_method_that_does_not_exist_is_405(api: httpx.Client) -> None:
    """Also in the service's own error form."""
    assert api.put("/agent/v1/run").json()["statusCode"] == 405


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"nothing": 1}', b'{"script": [{"route": "x"}]}', b'{"latency": -1}']
)
def test_bad_switches_change_nothing(sandbox: Sandbox, body: bytes) -> None:
    """PUT /sandbox/faults answers 400 with a sentence, and the switches stay as they were."""
    before = sandbox.faults()
    response = httpx.put(sandbox.url + "/sandbox/faults", content=body)
    assert response.status_code == 400
    assert response.json()["message"]
    assert sandbox.faults() == before
