"""The OpenAPI 3.1 description, made from the very types that check the requests."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from receiver import shapes
from receiver.endpoint.operations import Operation
from receiver.endpoint.streaming import TYPE as STREAM

_REF = "#/components/schemas/{model}"
_PART = re.compile(r"\{(\w+)\}")
#: A callback token: our id, a dot, the signature in base64url.
TOKEN = r"^[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{43}$"
_PROBLEM = "application/problem+json"
_ABOUT = (
    "Submits agent runs, registers a watcher for each, receives what comes back, and keeps it. Ids in paths are "
    "ours or the upstream's. Errors are problem details (RFC 9457)."
)


class _Schema(GenerateJsonSchema):
    """Without a title for each field, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The whole document, as plain JSON values."""
    queries = {each.query for each in operations if each.query}
    schemas = _schemas(operations)
    parameters = {query: _parameters(query, schemas[query.__name__]) for query in queries}
    names = {query.__name__ for query in queries}
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, parameters)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Runledger", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in names},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`rl_<id>_<secret>`"}},
        },
    }


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    """Every shape that occurs, by name."""
    wanted: dict[type[BaseModel], JsonSchemaMode] = {shapes.Problem: "serialization"}
    for each in operations:
        wanted |= {model: "validation" for model in (each.query, each.body) if model}
        wanted |= {shape: "serialization" for shape in each.answers.values() if isinstance(shape, type)}
    return _defined(tuple(sorted(wanted.items(), key=lambda item: item[0].__name__)))


@functools.cache
def _defined(wanted: tuple[tuple[type[BaseModel], JsonSchemaMode], ...]) -> dict[str, Any]:
    """The schemas of shapes, which never change and take longest to make."""
    _, defined = models_json_schema(wanted, ref_template=_REF, schema_generator=_Schema)
    found: dict[str, Any] = defined["$defs"]
    return found


def _operation(each: Operation, parameters: dict[type[shapes.Query], list[dict[str, Any]]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": each.id,
        "summary": each.summary,
        "tags": [each.tag],
        "parameters": [
            *(_path_parameter(name) for name in _PART.findall(each.path)),
            *(parameters[each.query] if each.query else ()),
            *(_header(header.name, header.description, header.pattern) for header in each.headers),
        ],
        "responses": {
            **{str(status): _answer(status, shape, each) for status, shape in each.answers.items()},
            **{str(status): _problem(status) for status in _problems(each)},
        },
    }
    if each.body:
        described["requestBody"] = {"required": True, "content": _json(each.body)}
    if each.scope or each.asks_who:
        described["security"] = [{"key": []}] if each.scope or 401 in each.problems else [{"key": []}, {}]
    if each.scope:
        described["description"] = f"Needs the scope `{each.scope}`."
    return described


def _problems(each: Operation) -> list[int]:
    """The statuses of the problems that an operation can answer."""
    found = {400, 503, *each.problems}
    if each.scope:
        found |= {401, 403, 429}
    if _PART.search(each.path):
        found |= {404, 500}
    if each.body:
        found |= {408, 413, 415, 422}
    return sorted(found - set(each.answers))


def _answer(status: int, shape: type[BaseModel] | str | None, operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(shape, str):
        answer["content"] = {shape: {"schema": {}}}
    elif shape is not None:
        answer["content"] = _json(shape) | ({STREAM: {"schema": {}}} if operation.is_streamed else {})
    return answer


def _problem(status: int) -> dict[str, Any]:
    content = {_PROBLEM: {"schema": {"$ref": _REF.format(model=shapes.Problem.__name__)}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _json(shape: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=shape.__name__)}}}


def _path_parameter(name: str) -> dict[str, Any]:
    pattern = TOKEN if name == "token" else shapes.ID
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def _header(name: str, description: str, pattern: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _parameters(query: type[shapes.Query], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a query model as parameters."""
    collected = {field: prefix for prefix, field in query.PREFIXES.items()}
    return [
        _collected(collected[name], field) if name in collected else _parameter(name, field)
        for name, field in schema.get("properties", {}).items()
    ]


def _parameter(name: str, field: dict[str, Any]) -> dict[str, Any]:
    schema = _present(field)
    made: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": schema}
    if "description" in schema:
        made["description"] = schema.pop("description")
    if schema.get("type") == "array":
        made |= {"style": "form", "explode": False}
    return made


def _present(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that is given: one that is absent is no null."""
    kept = {name: value for name, value in field.items() if name != "default" or value is not None}
    choices = [each for each in kept.pop("anyOf", ()) if each.get("type") != "null"]
    return {**kept, **(choices[0] if choices else {})}


def _collected(prefix: str, field: dict[str, Any]) -> dict[str, Any]:
    """Parameters that share a prefix: an exploded object, whose members stand in the query as they are named."""
    (pattern, value), *_ = field["patternProperties"].items()
    named = f"^{re.escape(prefix)}{pattern.removeprefix('^')}"
    schema = {"type": "object", "patternProperties": {named: value}, "additionalProperties": False}
    about = {"description": field["description"], "style": "form", "explode": True, "schema": schema}
    return {"name": prefix.rstrip("."), "in": "query", "required": False, **about}
