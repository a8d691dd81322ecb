"""What holds for every operation: who may ask, which methods there are, what the description says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import hypothesis
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck
from schemathesis.specs.openapi import checks

from receiver import access, api, endpoint, tokens
from storage import transitions
from tests import life
from tests.receiver.api import house as houses
from tests.receiver.api.house import House, problem

#: What the interface answers itself; the public endpoints are described here and answered in front of it.
SERVED = [each for each in api.OPERATIONS if each.handler is not None]
GUARDED = [each for each in api.OPERATIONS if each.scope is not None]
OPEN = [each for each in SERVED if each.scope is None]
PATHS = sorted({each.path for each in SERVED})


def _named(value: Any) -> str:
    return f"{value.method} {value.path}" if isinstance(value, endpoint.Operation) else str(value)


def _path(operation: endpoint.Operation) -> str:
    return re.sub(r"\{\w+\}", "run_1", operation.path)


@pytest.mark.anyio
@pytest.mark.parametrize("operation", GUARDED, ids=_named)
async def test_without_a_key_nothing_is_answered(house: House, operation: endpoint.Operation) -> None:
    response = await house.client.request(operation.method, _path(operation))
    assert problem(response, 401)["type"] == "urn:runledger:problem:not-authenticated"
    assert response.headers["www-authenticate"] == 'Bearer realm="runledger"'


@pytest.mark.anyio
@pytest.mark.parametrize("operation", GUARDED, ids=_named)
async def test_a_key_opens_what_its_scope_says(house: House, operation: endpoint.Operation) -> None:
    for scope in access.Scope:
        response = await house.ask(operation.method, _path(operation), scope)
        if scope in (operation.scope, access.Scope.ADMIN):
            assert response.status_code in (200, 202, 400, 404)
            continue
        assert problem(response, 403)["scope"] == operation.scope
        assert f'scope="{operation.scope}"' in response.headers["www-authenticate"]


@pytest.mark.anyio
async def test_a_key_is_worth_nothing_once_it_is_revoked(house: House) -> None:
    text = await house.new_key("leaver", "admin")
    headers = {"authorization": f"Bearer {text}"}
    assert (await house.client.get("/v1/runs", headers=headers)).status_code == 200
    await house.database.write(transitions.revoke_key, text.split("_")[1], life.NOW)
    response = await house.client.get("/v1/runs", headers=headers)
    problem(response, 401)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_method_is_told_the_right_ones(house: House, path: str) -> None:
    methods = {each.method for each in api.OPERATIONS if each.path == path}
    allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
        response = await house.client.request(method, path.replace("{id}", "x"))
        assert response.status_code == 405
        assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.anyio
@pytest.mark.parametrize("path", PATHS)
async def test_options_tell_the_methods_to_anyone(house: House, path: str) -> None:
    response = await house.client.options(path.replace("{id}", "x"))
    assert (response.status_code, response.content) == (204, b"")
    assert "OPTIONS" in response.headers["allow"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/healthz", "/v1/runs", "/v1/changes", "/openapi.json"])
async def test_head_is_get_without_its_body(house: House, path: str) -> None:
    got, head = await house.get(path), await house.ask("HEAD", path, "read")
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers == got.headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nothing", "/v1/runs/", "/V1/runs", "//v1/runs", "/v1/runs/a/b/c"]
)
async def test_a_path_that_leads_nowhere_is_a_problem_too(house: House, path: str) -> None:
    problem(await house.get(path), 404)


@pytest.mark.anyio
async def test_answers_are_not_kept_on_the_way(house: House) -> None:
    for response in (await house.get("/v1/runs"), await house.get("/v1/runs/nothing")):
        assert response.headers["cache-control"] == "no-store"


def test_operations_have_names_of_their_own() -> None:
    names = [each.id for each in api.OPERATIONS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.anyio
async def test_anyone_can_read_the_description(house: House) -> None:
    response = await house.client.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(each.method, each.path) for each in api.OPERATIONS}


def test_every_reference_of_the_description_leads_somewhere() -> None:
    document = endpoint.openapi(api.OPERATIONS, "1")
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert used <= set(document["components"]["schemas"])


def test_every_field_of_an_answer_is_always_there() -> None:
    schemas = endpoint.openapi(api.OPERATIONS, "1")["components"]["schemas"]
    answers = ("FoundRun", "FullRun", "Changes", "Stats", "Readiness", "Problem")
    absent = [name for name in answers if schemas[name]["properties"].keys() != set(schemas[name]["required"])]
    assert absent == ["Readiness", "Problem"]  # who has no key is told less; what does not apply is left out


def test_the_description_says_which_scope_is_needed() -> None:
    paths = endpoint.openapi(api.OPERATIONS, "1")["paths"]
    for each in GUARDED:
        described = paths[each.path][each.method.lower()]
        assert f"`{each.scope}`" in described["description"]
        assert {"401", "403", "503"} <= set(described["responses"])
    unasked = [each for each in OPEN if not each.asks_who]
    assert all("security" not in paths[each.path][each.method.lower()] for each in unasked)
    assert paths["/metrics"]["get"]["security"] == [{"key": []}]
    assert paths["/readyz"]["get"]["security"] == [{"key": []}, {}]


def test_the_description_of_a_callback_takes_the_tokens_that_are_given_out() -> None:
    token = tokens.Signer(["a key"]).token("01a20b99-595d-778c-953c-2bdde092ecbf")
    (described,) = endpoint.openapi(api.OPERATIONS, "1")["paths"]["/callbacks/{token}"]["post"]["parameters"]
    assert re.search(described["schema"]["pattern"], token)


#: Parameters whose values are right or wrong by what the description cannot say: what is there, what fits another
#: one, what is installed.
UNFIT = ("cursor", "q", "Prefer", "format", "documents", "bom")


def _generated() -> dict[str, Any]:
    """The description without keys, which every call has here, waits, and what no schema can tell.

    Cursors are opaque, and of questions the grammar decides: see `tests/storage/test_lists.py`.
    """
    document = endpoint.openapi([replace(each, scope=None, asks_who=False) for each in SERVED], "1")
    for item in document["paths"].values():
        for operation in item.values():
            operation["parameters"] = [each for each in operation["parameters"] if each["name"] not in UNFIT]
    return document


SCHEMA = schemathesis.openapi.from_dict(_generated())
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    checks.unsupported_method,
]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """A loop in a thread, since generated calls come from outside of one."""
    with start_blocking_portal("asyncio") as made:
        yield made


@pytest.fixture(scope="module")
def house_of_many(
    portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory, template: Any
) -> Iterator[House]:
    """One house for all generated calls, with runs in it."""
    file = tmp_path_factory.mktemp("generated") / "runledger.db"
    file.write_bytes(template.read_bytes())
    with portal.wrap_async_context_manager(houses.inhabited(f"sqlite:///{file}")) as made:
        yield made


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=12, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None
)
def test_generated_calls_are_answered_as_described(
    case: schemathesis.Case[Any], house_of_many: House, portal: BlockingPortal
) -> None:
    sent = case.as_transport_kwargs(base_url="http://runledger.test")
    response = portal.call(_send, house_of_many, sent)
    case.validate_response(response, checks=CHECKS)


async def _send(house: House, sent: dict[str, Any]) -> httpx.Response:
    """What would go through requests, through our client; cookies mean nothing to the API."""
    options = {name: sent[name] for name in ("method", "url", "params", "json") if sent.get(name) is not None}
    if sent.get("data") is not None:
        options["content"] = sent["data"]
    return await house.client.request(headers={**sent["headers"], **house.bearer("admin")}, **options)
