"""A strict reading of the published interface: every documented field present, of its documented type."""

from __future__ import annotations

import datetime
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

_FILE = pathlib.Path(__file__).parents[2] / "data" / "openapi.json"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


@functools.cache
def interface() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text())
    return found


def operations(prefix: str) -> set[tuple[str, str]]:
    """Return (METHOD, path template) of everything documented under a prefix."""
    paths = interface()["paths"]
    return {(method.upper(), path) for path in paths if path.startswith(prefix) for method in paths[path]}


def faults_of(method: str, path: str, status: int, value: object) -> list[str]:
    """Return the faults of an answer's JSON, a sentence each; none where it is as documented, or nothing is."""
    answer = interface()["paths"][path][method.lower()]["responses"][str(status)]
    if "content" not in answer:
        return []
    return list(_faults(value, answer["content"]["application/json"]["schema"], "$"))


def _faults(value: Any, schema: dict[str, Any], at: str) -> Iterator[str]:
    if value is None:
        if not schema.get("nullable"):
            yield f"{at} is null"
        return
    kind = schema.get("type")
    if kind is None:
        return
    fits = isinstance(value, _TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))
    if not fits:
        yield f"{at} is {value!r}, not {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}, not one of {schema['enum']}"
    if schema.get("format") == "date-time":
        assert datetime.datetime.fromisoformat(value).utcoffset() == datetime.timedelta(0), at
    for name, inner in schema.get("properties", {}).items():
        if name in value:
            yield from _faults(value[name], inner, f"{at}.{name}")
        else:
            yield f"{at}.{name} is missing"
    for place, item in enumerate(value if kind == "array" else []):
        yield from _faults(item, schema["items"], f"{at}[{place}]")
