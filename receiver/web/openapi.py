"""The OpenAPI 3.1 description, made from the types that check the requests."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from receiver.schemas import query_parameters, responses, text_types
from receiver.web.operations import Operation
from receiver.web.streaming import TYPE as STREAM

JsonObject = dict[str, Any]

_REF = "#/components/schemas/{model}"
_PART = re.compile(r"\{(\w+)\}")
#: A callback token: our id, a dot, the signature in base64url.
TOKEN = r"^[A-Za-z0-9_-]{1,128}\.[A-Za-z0-9_-]{43}$"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _REF.format(model=responses.Problem.__name__)}}}
#: Names for what pydantic names by its module: two enums are called `Kind`.
_NAMES = {
    "storage__states__Kind": "JobKind",
    "Kind-Output": "JobKind",
    "storage__ledger__entries__Kind": "EntryKind",
}
_ABOUT = (
    "Submits agent runs, registers a watcher for each, receives callbacks and events, and stores the results. Ids "
    "in paths are Runledger's or the upstream's. Errors are problem details (RFC 9457)."
)


class _Schema(GenerateJsonSchema):
    """A generator of JSON schemas without field titles, which would only repeat the names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def openapi(operations: Sequence[Operation], version: str) -> JsonObject:
    """Return the whole document as plain JSON values."""
    queries = {each.query for each in operations if each.query}
    schemas = _schemas(operations)
    parameters = {query: _parameters(query, schemas[query.__name__]) for query in queries}
    names = {query.__name__ for query in queries}
    paths: JsonObject = {}
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


def _schemas(operations: Sequence[Operation]) -> JsonObject:
    """Return the schema of every model that occurs, by the model's name."""
    models: dict[type[BaseModel], JsonSchemaMode] = {responses.Problem: "serialization"}
    for each in operations:
        models |= {model: "validation" for model in (each.query, each.body) if model}
        models |= {shape: "serialization" for shape in each.answers.values() if isinstance(shape, type)}
    return _defined(tuple(sorted(models.items(), key=lambda item: item[0].__name__)))


@functools.cache
def _defined(models: tuple[tuple[type[BaseModel], JsonSchemaMode], ...]) -> JsonObject:
    """Return the schemas of `models`. They never change and take longest to make, so they are cached."""
    _, defined = models_json_schema(models, ref_template=_REF, schema_generator=_Schema)
    text = json.dumps(defined["$defs"])
    for made, name in _NAMES.items():
        text = text.replace(f'"{_REF.format(model=made)}"', f'"{_REF.format(model=name)}"')
    named = {_NAMES.get(made, made): schema for made, schema in json.loads(text).items()}
    for name, schema in named.items():
        schema["title"] = name  # from which generators of clients make names
        if "oneOf" in schema:  # its alternatives say which fields are absent
            continue
        for each in schema.get("properties", {}).values():
            if each.get("default", ...) is None:  # for some a field with a default is always present
                del each["default"]
    return named


def _operation(each: Operation, parameters: dict[type[query_parameters.Query], list[JsonObject]]) -> JsonObject:
    described: JsonObject = {
        "operationId": each.id,
        "summary": each.summary,
        "tags": [each.tag],
        "parameters": [
            *(
                _named(name, "path", TOKEN if name == "token" else text_types.ID)
                for name in _PART.findall(each.path)
            ),
            *(parameters[each.query] if each.query else ()),
            *(_named(head.name, "header", head.pattern, description=head.description) for head in each.headers),
        ],
        "responses": {
            **{str(status): _answer(status, shape, each) for status, shape in each.answers.items()},
            **{
                str(status): {"description": HTTPStatus(status).phrase, "content": _PROBLEM}
                for status in _problems(each)
            },
        },
    }
    if each.body:
        described["requestBody"] = {"required": True, "content": _json(each.body)}
    if each.scope or each.identifies_caller:
        described["security"] = [{"key": []}] if each.scope or 401 in each.problems else [{"key": []}, {}]
    if each.scope:
        described["description"] = f"Needs the scope `{each.scope}`."
    return described


def _problems(each: Operation) -> list[int]:
    """Return the statuses of the problems that an operation can answer with."""
    statuses = {400, 503, *each.problems}
    if each.scope:
        statuses |= {401, 403, 429}
    if _PART.search(each.path):
        statuses |= {404, 500}
    if each.body:
        statuses |= {408, 413, 415, 422}
    return sorted(statuses - set(each.answers))


def _answer(status: int, shape: type[BaseModel] | str | None, operation: Operation) -> JsonObject:
    answer: JsonObject = {"description": HTTPStatus(status).phrase}
    if isinstance(shape, str):
        answer["content"] = {shape: {"schema": {}}}
    elif shape is not None:
        answer["content"] = _json(shape) | ({STREAM: {"schema": {}}} if operation.is_streamed else {})
    return answer


def _json(shape: type[BaseModel]) -> JsonObject:
    return {"application/json": {"schema": {"$ref": _REF.format(model=shape.__name__)}}}


def _named(name: str, place: str, pattern: str, **about: str) -> JsonObject:
    """Return a parameter that is a text, in the path or in a header."""
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": place, "required": place == "path", **about, "schema": schema}


def _parameters(query: type[query_parameters.Query], schema: JsonObject) -> list[JsonObject]:
    """Return the fields of a query model as OpenAPI parameters."""
    collected = {field: prefix for prefix, field in query.PREFIXES.items()}
    return [
        _collected(collected[name], field) if name in collected else _parameter(name, field)
        for name, field in schema.get("properties", {}).items()
    ]


def _parameter(name: str, field: JsonObject) -> JsonObject:
    schema = _present(field)
    parameter: JsonObject = {"name": name, "in": "query", "required": False, "schema": schema}
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter


def _present(field: JsonObject) -> JsonObject:
    """Return the schema of a parameter that is given: a parameter is absent, never null."""
    kept = {name: value for name, value in field.items() if name != "default" or value is not None}
    choices = [each for each in kept.pop("anyOf", ()) if each.get("type") != "null"]
    return {**kept, **(choices[0] if choices else {})}


def _collected(prefix: str, field: JsonObject) -> JsonObject:
    """Describe the parameters that share a prefix as one exploded object, whose members are query parameters."""
    (pattern, value), *_ = field["patternProperties"].items()
    named = f"^{re.escape(prefix)}{pattern.removeprefix('^')}"
    schema = {"type": "object", "patternProperties": {named: value}, "additionalProperties": False}
    about = {"description": field["description"], "style": "form", "explode": True, "schema": schema}
    return {"name": prefix.rstrip("."), "in": "query", "required": False, **about}
