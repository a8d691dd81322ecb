"""Runs with a trace, as the tests of pages need them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from storage import merkle, results
from storage.repositories import runs
from tests import life
from tests.receiver.pages.browsing import Browser

MARKUP = "<img src=x onerror=alert(1)>"


def step(position: int, type: str, content: str | None = None, **changes: Any) -> results.Step:
    """Return a step; `changes` are its other columns."""
    empty = results.Step(
        position, None, type, content, None, None, None, None, life.at(3 + position), merkle.salt()
    )
    return replace(empty, **changes)


def turn(at: int, **output: Any) -> list[results.Step]:
    """Return three steps: a thought, a call, and its result."""
    tool: dict[str, Any] = {"tool_name": "search_vault", "tool_input": {"query": "force majeure"}}
    return [
        step(at, "thinking", f"Thought {at}"),
        step(at + 1, "tool_call", **tool),
        step(at + 2, "tool_result", tool_output=output or {"total": 3}, duration_ms=1000, **tool),
    ]


async def settled(browser: Browser, steps: list[results.Step], **measures: Any) -> runs.Run:
    """Settle a run with these steps."""
    result = life.result(steps=steps, measures=life.measures(**measures))
    return await life.settled_run(browser.database, result=result, prompt=f"Does it excuse? {MARKUP}")
