"""The sandbox against the published interface, over a real socket."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox import documented
from tests.sandbox_server import Sandbox

# What it answers is no JSON; test_streams reads it.
STREAM = {("GET", "/agent/v1/run/{id}/events")}
AGENT = {"name": "Researcher", "instructions": "Research.", "vaultIds": ["vault_1"], "sandbox": {"cpu": 2}}


def _walk(api: httpx.Client, sandbox: Sandbox) -> dict[tuple[str, str], list[httpx.Response]]:
    """Call every documented agent route in each state that changes its answer."""
    walked: dict[tuple[str, str], list[httpx.Response]] = {}

    def call(method: str, path: str, known: str = "", query: str = "", **options: Any) -> httpx.Response:
        response = api.request(method, path.replace("{id}", known) + query, **options)
        walked.setdefault((method, path), []).append(response)
        return response

    sandbox.faults(fail_prompts=["doomed"])
    agent = call("POST", "/agent/v1/agents", json=AGENT).json()["id"]
    call("GET", "/agent/v1/agents")
    call("GET", "/agent/v1/agents/{id}", agent)
    call("PATCH", "/agent/v1/agents/{id}", agent, json={"description": None, "vaultGroups": ["group_1"]})
    call("POST", "/agent/v1/execute", json={"prompt": "Say hello."})
    for prompt in ("Review the lease.", "This one is doomed.", "To be cancelled.", "Never started."):
        body = {"agentId": agent, "prompt": prompt, "objectIds": ["obj_1"], "guidance": "Be brief."}
        run = call("POST", "/agent/v1/run", json=body).json()["id"]
        call("POST", "/agent/v1/run/{id}/watch", run, json={"callbackUrl": "https://example.com/hook?a=1"})
        _look(call, run)
        if prompt == "Never started.":
            continue
        call("POST", "/agent/v1/run/{id}/exec", run)
        _look(call, run)
        if prompt == "To be cancelled.":
            call("POST", "/agent/v1/run/{id}/cancel", run)
        _await_end(sandbox, run)
        _look(call, run)
        call("POST", "/agent/v1/run/{id}/cancel", run)
    call("GET", "/agent/v1/run")
    call("GET", "/agent/v1/run", query="?limit=1")
    call("DELETE", "/agent/v1/agents/{id}", agent)
    return walked


def _await_end(sandbox: Sandbox, run: str) -> None:
    until(lambda: sandbox.run(run)["completedAt"])


def _look(call: Any, run: str) -> None:
    call("GET", "/agent/v1/run/{id}/status", run)
    call("GET", "/agent/v1/run/{id}/details", run)


def test_every_documented_field_is_there_with_its_type(sandbox: Sandbox, api: httpx.Client) -> None:
    """Every agent route, in every state of a run, answers 200 with all that the interface documents."""
    sandbox.faults(callback_states=[])
    walked = _walk(api, sandbox)
    assert set(walked) == documented.operations("/agent/v1") - STREAM
    wrong = [
        (method, path, fault)
        for (method, path), responses in walked.items()
        for response in responses
        for fault in documented.faults_of(method, path, 200, response.raise_for_status().json())
    ]
    assert wrong == []


def test_a_key_of_another_kind_is_refused(api: httpx.Client, subtests: pytest.Subtests) -> None:
    """Without a key that begins with sk_case_, every route answers 401 as documented."""
    for method, path in sorted(documented.operations("/")):
        with subtests.test(f"{method} {path}"):
            for headers in (
                {"authorization": "Bearer sk_other_1"},
                {"authorization": "sk_case_1"},
                {"authorization": ""},
            ):
                response = api.request(method, path, headers=headers, json={})
                assert response.status_code == response.json()["statusCode"] == 401
                assert documented.faults_of(method, path, 401, response.json()) == []


def _with_404() -> list[tuple[str, str]]:
    paths = documented.interface()["paths"]
    return [
        (method, path)
        for method, path in sorted(documented.operations("/"))
        if "404" in paths[path][method.lower()]["responses"]
    ]


def test_what_does_not_exist_is_404(api: httpx.Client, subtests: pytest.Subtests) -> None:
    """An unknown agent, run, endpoint or delivery answers 404 as documented."""
    for method, path in _with_404():
        with subtests.test(f"{method} {path}"):
            body = {"agentId": "agent_x", "prompt": "p", "name": "n", "callbackUrl": "https://example.com/"}
            response = api.request(method, path.replace("{id}", "nothing_like_it"), json=body)
            assert response.status_code == response.json()["statusCode"] == 404
            assert documented.faults_of(method, path, 404, response.json()) == []


def test_exec_works_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """A second exec answers 409 as documented, and one exec is counted."""
    run = sandbox_server.new_run(api)
    assert api.post(f"/agent/v1/run/{run}/exec").status_code == 200
    again = api.post(f"/agent/v1/run/{run}/exec")
    assert again.status_code == 409
    assert documented.faults_of("POST", "/agent/v1/run/{id}/exec", 409, again.json()) == []
    assert sandbox.run(run)["execCount"] == 1


def test_exec_of_a_cancelled_run_is_409(api: httpx.Client) -> None:
    """409 means only that the run is no longer queued."""
    run = sandbox_server.new_run(api)
    assert api.post(f"/agent/v1/run/{run}/cancel").json()["status"] == "cancelled"
    assert api.post(f"/agent/v1/run/{run}/exec").status_code == 409


def test_exec_without_the_agent_is_404(api: httpx.Client) -> None:
    """A run whose agent was deleted after create can be seen and not executed."""
    agent = sandbox_server.new_agent(api)
    run = sandbox_server.new_run(api, agentId=agent)
    assert api.delete(f"/agent/v1/agents/{agent}").json() == {"ok": True}
    assert api.post(f"/agent/v1/run/{run}/exec").status_code == 404
    assert api.get(f"/agent/v1/run/{run}/status").json()["status"] == "queued"
    assert api.get("/agent/v1/agents").json()["agents"] == []


def test_the_address_without_a_suffix_shows_the_details(api: httpx.Client) -> None:
    """The guide's GET answers as /details does."""
    run = sandbox_server.new_run(api)
    assert api.get(f"/agent/v1/run/{run}").json() == api.get(f"/agent/v1/run/{run}/details").json()


def test_the_list_is_newest_first_in_pages(api: httpx.Client) -> None:
    """Following nextCursor shows every run once, the newest first."""
    agent = sandbox_server.new_agent(api)
    made = [sandbox_server.new_run(api, agentId=agent) for _ in range(5)]
    seen, query = [], "?limit=2"
    while query:
        page = api.get("/agent/v1/run" + query).json()
        seen += [run["id"] for run in page["runs"]]
        assert page["hasMore"] == (page["nextCursor"] is not None)
        query = f"?limit=2&cursor={page['nextCursor']}" if page["hasMore"] else ""
    assert seen == made[::-1]


def test_the_list_filters_by_agent_and_status(api: httpx.Client) -> None:
    """agentId and status narrow the list, together too."""
    one, other = sandbox_server.new_agent(api), sandbox_server.new_agent(api)
    first, second = (sandbox_server.new_run(api, agentId=one) for _ in range(2))
    sandbox_server.new_run(api, agentId=other)
    api.post(f"/agent/v1/run/{first}/cancel")
    page = api.get(f"/agent/v1/run?agentId={one}&status=queued").json()
    assert [run["id"] for run in page["runs"]] == [second]


def test_the_list_cuts_the_prompt_and_the_details_do_not(api: httpx.Client) -> None:
    """200 characters in the list, all of them in the details."""
    prompt = "é" * 500
    run = sandbox_server.new_run(api, prompt=prompt)
    assert api.get("/agent/v1/run").json()["runs"][0]["prompt"] == prompt[:200]
    assert api.get(f"/agent/v1/run/{run}/details").json()["prompt"] == prompt


def test_an_ephemeral_agent_goes_with_its_run(sandbox: Sandbox, api: httpx.Client) -> None:
    """/execute makes an agent that is never listed and is gone when the run has ended."""
    made = api.post("/agent/v1/execute", json={"prompt": "Say hello."}).json()
    assert api.get("/agent/v1/agents").json()["agents"] == []
    until(lambda: sandbox.run(made["runId"])["status"] == "completed")
    assert api.get(f"/agent/v1/agents/{made['agentId']}").status_code == 404


def test_an_endpoint_shows_its_secret_once(api: httpx.Client) -> None:
    """201 with the secret at creation; the list has everything else."""
    body = {"url": "https://example.com/hook", "eventTypeFilters": ["agent.run.*"]}
    made = api.post("/webhooks/v1/endpoints", json=body)
    assert made.status_code == 201
    shown = made.json()
    assert shown.pop("signingSecret").startswith("whsec_")
    assert api.get("/webhooks/v1/endpoints").json()["endpoints"] == [shown]
