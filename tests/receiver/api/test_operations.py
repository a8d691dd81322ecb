"""Every operation: the scope it needs, its methods, its description."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from schemathesis.specs.openapi import checks

from receiver.api import route_table
from receiver.crypto import tokens
from receiver.web import authentication, openapi, operations
from storage.transitions import api_key_changes
from tests import generated, life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

#: What the interface answers itself; the public endpoints are described here and answered in front of it.
SERVED = [each for each in route_table.OPERATIONS if each.handler is not None]
GUARDED = [each for each in route_table.OPERATIONS if each.scope is not None]
OPEN = [each for each in SERVED if each.scope is None]
PATHS = sorted({each.path for each in SERVED})


def _named(value: Any) -> str:
    return f"{value.method} {value.path}" if isinstance(value, operations.Operation) else str(value)


def _path(operation: operations.Operation) -> str:
    return re.sub(r"\{\w+\}", "run_1", operation.path)


@pytest.mark.anyio
async def test_without_a_key_nothing_is_answered(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for operation in GUARDED:
        with subtests.test(_named(operation)):
            response = await deployment.client.request(operation.method, _path(operation))
            assert problem(response, 401)["type"] == "urn:runledger:problem:not-authenticated"
            assert response.headers["www-authenticate"] == 'Bearer realm="runledger"'


@pytest.mark.anyio
async def test_a_key_permits_what_its_scope_names(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for operation in GUARDED:
        with subtests.test(_named(operation)):
            for scope in authentication.Scope:
                response = await deployment.ask(operation.method, _path(operation), scope)
                if scope in (operation.scope, authentication.Scope.ADMIN):
                    assert response.status_code in (200, 202, 400, 404, 409)
                    continue
                assert problem(response, 403)["scope"] == operation.scope
                assert f'scope="{operation.scope}"' in response.headers["www-authenticate"]


@pytest.mark.anyio
async def test_a_key_is_worth_nothing_once_it_is_revoked(deployment: Deployment) -> None:
    text = await deployment.new_key("leaver", "admin")
    headers = {"authorization": f"Bearer {text}"}
    assert (await deployment.client.get("/v1/runs", headers=headers)).status_code == 200
    await deployment.database.write(api_key_changes.revoke_key, text.split("_")[1], life.NOW)
    response = await deployment.client.get("/v1/runs", headers=headers)
    problem(response, 401)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.anyio
async def test_a_wrong_method_is_answered_with_the_right_ones(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for path in PATHS:
        with subtests.test(f"{path!r:.60}"):
            methods = {each.method for each in route_table.OPERATIONS if each.path == path}
            allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
            for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - allowed:
                response = await deployment.client.request(method, path.replace("{id}", "x"))
                assert response.status_code == 405
                assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.anyio
async def test_options_lists_the_methods_without_a_key(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for path in PATHS:
        with subtests.test(f"{path!r:.60}"):
            response = await deployment.client.options(path.replace("{id}", "x"))
            assert (response.status_code, response.content) == (204, b"")
            assert "OPTIONS" in response.headers["allow"]


@pytest.mark.anyio
async def test_head_is_get_without_its_body(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for path in ["/healthz", "/v1/runs", "/v1/changes", "/openapi.json"]:
        with subtests.test(f"{path!r:.60}"):
            got, head = await deployment.get(path), await deployment.ask("HEAD", path, "read")
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers == got.headers


@pytest.mark.anyio
async def test_a_path_that_leads_nowhere_is_a_problem_too(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for path in ["/", "/v1", "/v1/nothing", "/v1/runs/", "/V1/runs", "//v1/runs", "/v1/runs/a/b/c"]:
        with subtests.test(f"{path!r:.60}"):
            problem(await deployment.get(path), 404)


@pytest.mark.anyio
async def test_answers_are_not_kept_on_the_way(deployment: Deployment) -> None:
    for response in (await deployment.get("/v1/runs"), await deployment.get("/v1/runs/nothing")):
        assert response.headers["cache-control"] == "no-store"


def test_operations_have_names_of_their_own() -> None:
    names = [each.id for each in route_table.OPERATIONS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.anyio
async def test_anyone_can_read_the_description(deployment: Deployment) -> None:
    response = await deployment.client.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(each.method, each.path) for each in route_table.OPERATIONS}


def test_every_reference_of_the_description_leads_somewhere() -> None:
    document = openapi.openapi(route_table.OPERATIONS, "1")
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert used <= set(document["components"]["schemas"])


def test_every_field_of_an_answer_is_always_there() -> None:
    schemas = openapi.openapi(route_table.OPERATIONS, "1")["components"]["schemas"]
    answers = ("FoundRun", "FullRun", "Changes", "Stats", "Readiness", "Problem")
    absent = [name for name in answers if schemas[name]["properties"].keys() != set(schemas[name]["required"])]
    assert absent == [
        "Readiness",
        "Problem",
    ]  # a request without a key gets fewer fields; a problem has only those that apply


def test_the_description_names_the_scope_of_each_operation() -> None:
    paths = openapi.openapi(route_table.OPERATIONS, "1")["paths"]
    for each in GUARDED:
        described = paths[each.path][each.method.lower()]
        assert f"`{each.scope}`" in described["description"]
        assert {"401", "403", "503"} <= set(described["responses"])
    unasked = [each for each in OPEN if not each.identifies_caller]
    assert all("security" not in paths[each.path][each.method.lower()] for each in unasked)
    assert paths["/metrics"]["get"]["security"] == [{"key": []}]
    assert paths["/readyz"]["get"]["security"] == [{"key": []}, {}]


def test_the_description_of_a_callback_takes_the_tokens_that_are_given_out() -> None:
    token = tokens.Signer(["a key"]).token("01a20b99-595d-778c-953c-2bdde092ecbf")
    (described,) = openapi.openapi(route_table.OPERATIONS, "1")["paths"]["/callbacks/{token}"]["post"][
        "parameters"
    ]
    assert re.search(described["schema"]["pattern"], token)


#: Parameters whose values are right or wrong by what the description cannot say: what is there, what fits another
#: one, what is installed.
UNFIT = ("cursor", "q", "tag", "Prefer", "format", "documents", "bom")


def _generated() -> dict[str, Any]:
    """Return the description without keys, waits, and what no schema can express.

    Cursors are opaque, of questions the grammar decides (`tests/storage/query/test_run_pages.py`), and the word
    null is a value of a tag like any other.
    """
    document = openapi.openapi([replace(each, scope=None, identifies_caller=False) for each in SERVED], "1")
    for item in document["paths"].values():
        for operation in item.values():
            operation["parameters"] = [each for each in operation["parameters"] if each["name"] not in UNFIT]
    _drop_long_bounds(document)
    return document


def _drop_long_bounds(schema: Any) -> None:
    """Remove bounds of a million letters beside a pattern: each takes a second to compile.

    No text so long is generated anyway: see `test_bad_input.py`.
    """
    if isinstance(schema, dict):
        if "pattern" in schema and schema.get("maxLength", 0) > 5000:
            del schema["maxLength"]
        schema = list(schema.values())
    for each in schema if isinstance(schema, list) else ():
        _drop_long_bounds(each)


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
    """Yield a loop in a thread, since generated calls come from outside of one."""
    with start_blocking_portal("asyncio") as made:
        yield made


@pytest.fixture(scope="module")
def deployment_of_many(
    portal: BlockingPortal, tmp_path_factory: pytest.TempPathFactory, template: Any
) -> Iterator[Deployment]:
    """Yield one deployment for all generated calls, with runs in it."""
    file = tmp_path_factory.mktemp("generated") / "runledger.db"
    file.write_bytes(template.read_bytes())
    with portal.wrap_async_context_manager(app_fixture.inhabited(f"sqlite:///{file}")) as made:
        yield made


def test_generated_calls_are_answered_as_described(
    deployment_of_many: Deployment, portal: BlockingPortal, subtests: pytest.Subtests
) -> None:
    def attempt(case: generated.Case) -> None:
        sent = case.as_transport_kwargs(base_url="http://runledger.test")
        response = portal.call(_send, deployment_of_many, sent)
        case.validate_response(response, checks=CHECKS)

    generated.try_all(schemathesis.openapi.from_dict(_generated()), attempt, subtests, examples=12)


async def _send(deployment: Deployment, sent: dict[str, Any]) -> httpx.Response:
    """Send with our client what would go through requests; cookies mean nothing to the API."""
    options = {name: sent[name] for name in ("method", "url", "params", "json") if sent.get(name) is not None}
    if sent.get("data") is not None:
        options["content"] = sent["data"]
    return await deployment.client.request(headers={**sent["headers"], **deployment.bearer("admin")}, **options)
