"""The form of what the upstream answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.upstream import answer_forms

DATA = Path(__file__).parents[2] / "data"


def _names(schema: dict[str, Any], path: str = "") -> set[str]:
    found = set()
    for name, inner in schema.get("properties", {}).items():
        place = f"{path}.{name}" if path else name
        found |= {place} | _names(inner, place)
        if inner.get("type") == "array":
            found |= _names(inner["items"], f"{place}[]")
    return found


def test_the_documented_fields_are_those_of_the_interface() -> None:
    interface = json.loads((DATA / "openapi.json").read_text())
    answer = interface["paths"]["/agent/v1/run/{id}/details"]["get"]["responses"]["200"]
    assert _names(answer["content"]["application/json"]["schema"]) == answer_forms.DOCUMENTED


def test_fields_that_are_missing_null_or_new_are_named() -> None:
    whole = json.loads((DATA / "details-completed.json").read_text())
    del whole["result"]["finalResponse"]["summary"]
    whole["usage"]["surcharge"] = {"inner": 1}
    whole["provider"] = None
    found = answer_forms.fields(json.dumps(whole).encode())
    assert found is not None
    assert "result.finalResponse.summary" in found.missing
    assert "provider" in found.null
    assert found.unknown == ("usage.surcharge",)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b'{"statusCode":404,"statusMessage":"Not Found","message":"no"}', "{statusCode, statusMessage, message}"),
        (b'{"error":{"message":"no","type":"t","code":"404"}}', '{"error": {message, type, code}}'),
        (b'{"error":"no"}', '{"error": "text"}'),
        (b'{"error":true,"message":"no"}', '{"error": true, …}'),
        (b"<html>no</html>", "HTML"),
        (b"no", "no JSON"),
        (b"[]", "JSON, but no object"),
        (b" ", "empty"),
    ],
)
def test_the_forms_of_an_error_are_distinguished(body: bytes, form: str) -> None:
    assert answer_forms.error_form(body) == form


@given(st.binary())
def test_no_bytes_are_too_odd_to_have_a_form(body: bytes) -> None:
    assert answer_forms.error_form(body)
    answer_forms.fields(body)
    answer_forms.event_names(body)


def test_events_are_named_in_order_and_comments_are_none() -> None:
    stream = (
        b": hello\n\nid: 1\nevent: tool.started\ndata: {}\n\nid: 3\r\ndata: {}\r\n\r\nevent: close\ndata: {}\n\n"
    )
    assert answer_forms.event_names(stream) == ["tool.started", "message", "close"]
