"""Output for programs: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from receiver import json_lines
from storage.engine import column_types


def model(value: BaseModel) -> None:
    """Print an object as the API gives it."""
    print(json_lines.one_line(value.model_dump_json(by_alias=True)))


def mapping(value: Mapping[str, Any]) -> None:
    """Print an object of plain JSON values."""
    print(json.dumps(value), flush=True)


def instant(at: datetime | None) -> str | None:
    """Return an instant as the API spells it."""
    return None if at is None else column_types.instant_text(at)
