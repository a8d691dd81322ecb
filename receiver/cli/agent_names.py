"""The names of agents, which people see in place of ids; programs get the ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from receiver.schemas import notification, responses
from storage.engine import database
from storage.query import agents

M = TypeVar("M")


async def in_rows(store: database.Database, rows: Sequence[M], field: str = "agent_id") -> Sequence[M]:
    """Return rows with names in the field that has the ids of agents; other rows as they are."""
    shown: Sequence[Any] = rows
    if not all(isinstance(row, responses.RunLine | responses.StatsRow) for row in rows):
        return rows
    names = await store.read(agents.names) if rows else {}
    ids = [getattr(row, field) for row in shown]
    return [row.model_copy(update={field: names.get(each, each)}) for row, each in zip(shown, ids, strict=True)]


async def in_run(store: database.Database, run: notification.FullRun) -> notification.FullRun:
    """Return a run whose agent has its name before the id."""
    name = (await store.read(agents.names)).get(run.agent_id or "", run.agent_id)
    return run if name == run.agent_id else run.model_copy(update={"agent_id": f"{name} ({run.agent_id})"})
