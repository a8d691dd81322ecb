"""The typed endpoint, with operations made for these tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from receiver import errors, timeouts
from receiver.schemas import query_parameters
from receiver.web import openapi, operations, problems, request_parsing, routing
from storage.engine.database import Database
from tests import life
from tests.receiver.api.app_fixture import Metrics


class Name(BaseModel):
    """The parameter in the path."""

    name: str


class Search(query_parameters.Query):
    """The parameters of a search."""

    word: str | None = None


Call = operations.Call[Search, Name]


async def find_name(call: Call) -> operations.Answer:
    return operations.Answer(200, Name(name=call.query.word or call.ids["id"]), {"x-now": call.now.isoformat()})


async def put_name(call: Call) -> operations.Answer:
    return operations.Answer(200, call.body)


async def drop_name(call: Call) -> operations.Answer:
    return operations.Answer(204)


async def paint_name(call: Call) -> operations.Answer:
    return operations.Answer(200, b"<svg/>", media_type="image/svg+xml")


OPERATIONS = (
    operations.Operation("GET", "/names/{id}", "Find", find_name, {200: Name}, query=Search),
    operations.Operation("PUT", "/names/{id}", "Put", put_name, {200: Name}, body=Name),
    operations.Operation("DELETE", "/names/{id}", "Drop", drop_name, {204: None}),
    operations.Operation("GET", "/names/{id}/picture", "Paint", paint_name, {200: "image/svg+xml"}),
    operations.Operation("POST", "/elsewhere/{token}", "Taken by another application", None, {200: Name}),
)


async def _ask(database: Database, method: str, path: str, **options: Any) -> httpx.Response:
    context = operations.Context(database, timeouts.Timing(), lambda: life.NOW, Metrics(), version="1")
    app = routing.Api(OPERATIONS, context)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path, **options)


@pytest.mark.anyio
async def test_a_handler_is_given_checked_values_and_its_answer_is_dumped(database: Database) -> None:
    response = await _ask(database, "GET", "/names/n1?word=%C3%A9")
    assert (response.status_code, response.json()) == (200, {"name": "é"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-now"] == life.NOW.isoformat()


@pytest.mark.anyio
async def test_the_methods_of_a_path_share_one_application(database: Database) -> None:
    assert (await _ask(database, "PUT", "/names/n1", json={"name": "x"})).json() == {"name": "x"}
    response = await _ask(database, "PATCH", "/names/n1")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, PUT, DELETE, HEAD, OPTIONS"


@pytest.mark.anyio
async def test_an_answer_may_have_no_body(database: Database) -> None:
    response = await _ask(database, "DELETE", "/names/n1")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers


@pytest.mark.anyio
async def test_an_answer_may_be_bytes_of_any_type(database: Database) -> None:
    response = await _ask(database, "GET", "/names/n1/picture")
    assert (response.content, response.headers["content-type"]) == (b"<svg/>", "image/svg+xml")


@pytest.mark.anyio
async def test_what_another_application_serves_is_described_only(database: Database) -> None:
    assert "/elsewhere/{token}" in openapi.openapi(OPERATIONS, "1")["paths"]
    assert (await _ask(database, "POST", "/elsewhere/x")).status_code == 404


def test_each_operation_is_described_by_its_types() -> None:
    described = openapi.openapi(OPERATIONS, "1")["paths"]["/names/{id}"]
    assert [each["name"] for each in described["get"]["parameters"]] == ["id", "word"]
    reference = {"schema": {"$ref": "#/components/schemas/Name"}}
    assert described["get"]["responses"]["200"]["content"] == {"application/json": reference}
    assert described["put"]["requestBody"] == {"required": True, "content": {"application/json": reference}}
    assert {"400", "404", "408", "413", "415", "422", "503"} <= set(described["put"]["responses"])
    assert "content" not in described["delete"]["responses"]["204"]


def test_the_parameters_of_a_prefix_are_one_exploded_object() -> None:
    operation = operations.Operation("GET", "/x", "X", find_name, {200: Name}, query=query_parameters.RunFilter)
    parameters: Sequence[dict[str, Any]] = openapi.openapi([operation], "1")["paths"]["/x"]["get"]["parameters"]
    tag = next(each for each in parameters if each["name"] == "tag")
    assert (tag["style"], tag["explode"]) == ("form", True)
    assert list(tag["schema"]["patternProperties"]) == [r"^tag\.[A-Za-z0-9_.-]{1,64}$"]


@given(st.binary(max_size=200))
def test_any_query_string_is_read_or_refused(raw: bytes) -> None:
    try:
        request_parsing.query(query_parameters.RunQuery, request_parsing.parameters(raw))
    except errors.BadParameter as error:
        json.loads(bytes(problems.answer(error).body))


@given(st.text(max_size=140))
def test_any_part_of_a_path_is_an_id_or_not_found(text: str) -> None:
    try:
        found = request_parsing.ids({"id": text})
    except errors.NotFound:
        return
    assert found == {"id": text}
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def test_only_a_name_that_is_much_alike_is_suggested() -> None:
    with pytest.raises(errors.BadParameter) as far:
        request_parsing.query(query_parameters.RunQuery, [("page", "1")])
    with pytest.raises(errors.BadParameter) as near:
        request_parsing.query(query_parameters.RunQuery, [("agnet", "1")])
    assert (far.value.suggestion, near.value.suggestion) == (None, "agent")
