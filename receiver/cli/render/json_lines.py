"""Output for programs: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from receiver import json_lines
from storage.engine import column_types


def model(value: BaseModel) -> None:
    """Print an object as the API gives it."""
    print(json_lines.one_line(value.model_dump_json(by_alias=True)))


def mapping(value: Mapping[str, Any]) -> None:
    """Print an object of JSON values and instants."""
    print(json.dumps(value, default=column_types.instant_text), flush=True)


def fields(value: object, *names: str) -> dict[str, Any]:
    """Return attributes of a value, by their names as the API spells them."""
    return {to_camel(name): getattr(value, name) for name in names}
