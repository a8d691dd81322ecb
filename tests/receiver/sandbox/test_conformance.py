"""Generated calls against the published interface: every allowed request is answered as described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
import schemathesis
from schemathesis.specs.openapi import checks

from tests import generated, sandbox_server
from tests.receiver.sandbox import documented
from tests.sandbox_server import Sandbox

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
CONFIG = schemathesis.Config.from_dict({"generation": {"mode": "positive"}})
# The stream of a run that has not ended does not end either.
SCHEMA = schemathesis.openapi.from_dict(documented.interface(), config=CONFIG).exclude(path_regex="/events$")


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Sandbox, httpx.Client]]:
    """Yield one sandbox for all generated calls, which sends nothing to the addresses in them."""
    with sandbox_server.running(run_seconds=0) as sandbox, sandbox.client() as api:
        sandbox.faults(event_states=[], event_retries=0, callback_drop_rate=1)
        yield sandbox, api


def _known(sandbox: Sandbox, api: httpx.Client, path: str) -> str:
    """Create something of the kind that a path is about, and return its id."""
    if path.startswith("/agent/v1/agents"):
        return sandbox_server.new_agent(api)
    run = sandbox_server.new_run(api)
    if path.startswith("/agent/v1/run"):
        return run
    for endpoint in api.get("/webhooks/v1/endpoints").json()["endpoints"]:
        api.delete(f"/webhooks/v1/endpoints/{endpoint['id']}")
    body = {"url": "http://127.0.0.1:9/nobody", "eventTypeFilters": ["*"]}
    made: dict[str, str] = api.post("/webhooks/v1/endpoints", json=body).raise_for_status().json()
    if path.startswith("/webhooks/v1/endpoints"):
        return made["id"]
    sandbox.faults(event_states=["completed"])
    sandbox.finish(run)
    sandbox.faults(event_states=[])
    (delivery,) = api.get(f"/webhooks/v1/deliveries?endpoint_id={made['id']}").json()["deliveries"]
    return str(delivery["id"])


def test_a_call_that_the_interface_allows_is_answered_as_described(
    busy: tuple[Sandbox, httpx.Client], subtests: pytest.Subtests
) -> None:
    """A documented status, in the documented form, about things that exist."""
    sandbox, api = busy

    def attempt(case: generated.Case) -> None:
        if case.path_parameters:
            case.path_parameters["id"] = _known(sandbox, api, case.path)
        if isinstance(case.body, dict) and "agentId" in case.body:
            case.body["agentId"] = sandbox_server.new_agent(api)
        response = _send(api, case.as_transport_kwargs(base_url=sandbox.url))
        assert response.status_code != 404
        case.validate_response(response, checks=CHECKS)

    generated.try_all(SCHEMA, attempt, subtests, examples=10)


def _send(api: httpx.Client, sent: dict[str, Any]) -> httpx.Response:
    """Send with our client and its key what would go through requests."""
    options = {name: sent[name] for name in ("method", "url", "params", "json") if sent.get(name) is not None}
    headers = {name: value for name, value in sent["headers"].items() if name.lower() != "authorization"}
    return api.request(headers=headers, **options)
