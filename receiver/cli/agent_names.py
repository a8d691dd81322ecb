"""The names of agents, which people see in place of ids; programs get the ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from receiver.api import runs
from receiver.cli import api_calls, target
from receiver.schemas import management, notification, responses

M = TypeVar("M")


async def in_rows(store: target.Target, rows: Sequence[M], field: str = "agent_id") -> Sequence[M]:
    """Return rows with names in the field that has the ids of agents; other rows as they are."""
    shown: Sequence[Any] = rows
    if not all(isinstance(row, responses.RunLine | responses.StatsRow) for row in rows):
        return rows
    names = await _names(store) if rows else {}
    ids = [getattr(row, field) for row in shown]
    return [row.model_copy(update={field: names.get(each, each)}) for row, each in zip(shown, ids, strict=True)]


async def in_run(store: target.Target, run: notification.FullRun) -> notification.FullRun:
    """Return a run whose agent has its name before the id."""
    name = (await _names(store)).get(run.agent_id or "", run.agent_id)
    return run if name == run.agent_id else run.model_copy(update={"agent_id": f"{name} ({run.agent_id})"})


async def _names(store: target.Target) -> dict[str, str]:
    found = await api_calls.ask(store, runs.list_agents, management.Agents)
    return {each.id: each.name for each in found.agents}
