"""Describe the form of the upstream's answers, whatever they contain: error bodies, streams, fields. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping


def error_form(body: bytes) -> str:
    """Return the form of an error body, written as a pattern."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        if not body.strip():
            return "empty"
        return "HTML" if body.lstrip()[:1] == b"<" else "no JSON"
    if not isinstance(parsed, dict):
        return "JSON, but no object"
    inner = parsed.get("error")
    shown = {"message", "type", "code"} & inner.keys() if isinstance(inner, dict) else ()
    if shown:
        return '{"error": {' + ", ".join(each for each in ("message", "type", "code") if each in shown) + "}}"
    forms = {str: '{"error": "text"}', bool: '{"error": true, …}'}
    if type(inner) in forms:
        return forms[type(inner)]
    return "{" + ", ".join(str(name) for name in list(parsed)[:8]) + "}"


def event_names(stream: bytes) -> list[str]:
    """Return the names of the events of an SSE stream, in order; `message` where none is given.

    The format is that of the HTML standard, 9.2.6.
    """
    names = []
    for block in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        lines = [line.partition(b":") for line in block.split(b"\n")]
        if any(name in (b"data", b"event") for name, _, _ in lines):
            given = [value.strip().decode("utf-8", "replace") for name, _, value in lines if name == b"event"]
            names.append(given[-1] if given else "message")
    return names


#: The documented fields of a run's details, by the object that contains them; `[]` is a member of a list.
_FIELDS = {
    "": "id agentId status prompt guidance model workflowId modalSandboxId provider runtimeId runtimeState "
    "createdAt startedAt completedAt result usage steps",
    "result": "output outputObjectIds finalResponse logs",
    "result.finalResponse": "summary createdObjectIds issues",
    "result.logs": "runtime opencode runner",
    "usage": "model inputTokens outputTokens toolCalls durationMs summary entries",
    "usage.summary": "costMicros totalInputTokens totalOutputTokens totalTokens",
    "usage.entries[]": "id kind service endpoint method statusCode costMicros promptTokens completionTokens "
    "totalTokens model timestamp metadata",
    "steps[]": "id type content toolName toolInput toolOutput durationMs timestamp",
}
DOCUMENTED = frozenset(
    f"{parent}.{name}".removeprefix(".") for parent, names in _FIELDS.items() for name in names.split()
)


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """The differences between a document and its documentation: fields that are missing, null, or undocumented."""

    missing: tuple[str, ...]
    null: tuple[str, ...]
    unknown: tuple[str, ...]


def fields(body: bytes) -> Fields | None:
    """Return the fields of a run's details; None where they are no JSON object.

    Fields inside an unknown field are not named.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    found: dict[str, bool] = {}
    parents = {""}
    _walk(parsed, "", found, parents)
    expected = [name for name in sorted(DOCUMENTED) if name.rpartition(".")[0] in parents]
    return Fields(
        tuple(name for name in expected if name not in found),
        tuple(name for name in expected if found.get(name) is False),
        tuple(sorted(found.keys() - DOCUMENTED)),
    )


def _walk(value: Mapping[str, object], path: str, found: dict[str, bool], parents: set[str]) -> None:
    """Note for each field below `path` whether it has a value anywhere, and which objects exist."""
    for name, inner in value.items():
        place = f"{path}.{name}" if path else name
        found[place] = found.get(place, False) or inner is not None
        if place not in DOCUMENTED:
            continue
        members = inner if isinstance(inner, list) else [inner]
        below = place + "[]" * isinstance(inner, list)
        for member in members:
            if isinstance(member, dict) and below in _FIELDS:
                parents.add(below)
                _walk(member, below, found, parents)
