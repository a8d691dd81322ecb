"""The values of a run's result: its measures, its steps, its usage entries. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Measures:
    """The columns of a run that an answer fills. Durations in milliseconds, costs in micro-dollars.

    `model` is the one that ran; it is stored where the submission named none.
    """

    model: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_calls: int | None = None
    cost_micros: int | None = None
    output: str | None = None
    summary: str | None = None
    failure_reason: str | None = None
    failure_source: str | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether result and usage were present."""
        return self.output is not None and self.cost_micros is not None

    @property
    def columns(self) -> dict[str, Any]:
        """Return the values by the names of their columns."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the trace. `salt` hides the step's digest in the ledger."""

    position: int
    upstream_id: str | None
    type: str | None
    content: str | None
    tool_name: str | None
    tool_input: Any
    tool_output: Any
    duration_ms: int | None
    timestamp: datetime | None
    salt: bytes


#: The types of steps that failed, and the states by which a tool says that it did.
FAILED_TYPES, FAILED_STATES = ("error", "tool_error"), ("error", "failed")


def is_failed(type: str | None, output: Any) -> bool:
    """Return whether a step failed: its type says so, or the object that its tool returned does.

    >>> is_failed("tool_error", None), is_failed("tool_result", {"error": "no access"})
    (True, True)
    >>> is_failed("tool_result", {"error": None, "isError": False, "status": "done"})
    False
    """
    if type in FAILED_TYPES:
        return True
    if not isinstance(output, dict):
        return False
    return bool(output.get("error")) or output.get("isError") is True or output.get("status") in FAILED_STATES


@dataclass(frozen=True, slots=True)
class Usage:
    """One usage entry. Costs are in micro-dollars."""

    position: int
    upstream_id: str | None
    kind: str | None
    service: str | None
    endpoint: str | None
    method: str | None
    status_code: int | None
    cost_micros: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    model: str | None
    timestamp: datetime | None
    metadata: Any
    salt: bytes
