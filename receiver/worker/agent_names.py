"""Store the names of the upstream's agents, which people see in place of ids.

Every worker checks now and then whether the list is old or a run has a new agent. No run depends on a name: a
failed list call is repeated later, causes no pause and is not counted.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from receiver import errors, poll_loop, timeouts
from receiver.worker.context import Context
from storage.engine.database import Snapshot
from storage.query import agents
from storage.repositories import system_state

#: Pages that one list reads.
MAX_PAGES = 20


async def run(context: Context) -> None:
    """Keep the names until cancelled; after failures in a row, wait longer each time."""
    listed_at: datetime | None = None
    wait, failures = context.timing.new_agents, 0
    while True:
        found = await poll_loop.outcome_of(refresh(context, listed_at))
        if isinstance(found, Exception):
            failures += 1
            reason = found.summary if isinstance(found, errors.UpstreamError) else poll_loop.log_reason(found)
            context.telemetry.log.warning("agents_not_listed", reason=reason, failures=failures)
        else:
            listed_at, failures = found, 0
        late = timeouts.delay(failures, wait, context.timing.agents).total_seconds() if failures else wait
        await asyncio.sleep(max(wait, late))


async def refresh(context: Context, listed_at: datetime | None = None) -> datetime | None:
    """Store the names where that is due; return when this process did so last, `listed_at` where it is not due.

    Raises UpstreamError, StorageError.
    """
    now = context.clock()
    oldest = now - timedelta(seconds=context.timing.agents)
    if not await context.database.read(lambda connection: _is_due(Snapshot(connection), listed_at, oldest, now)):
        return listed_at
    await context.database.write(agents.keep, await _listed(context), now)
    return now


def _is_due(store: Snapshot, listed_at: datetime | None, oldest: datetime, now: datetime) -> bool:
    """Return whether the names are to be listed. While the upstream fails, it is left to others to ask it."""
    if store.read(system_state.read).pause_streak > 0:
        return False
    listed = max(filter(None, (listed_at, store.read(agents.seen_at))), default=None)
    # After a clock was set back, the last list may lie in the future.
    return listed is None or not oldest < listed <= now or store.read(agents.has_unknown, listed)


async def _listed(context: Context) -> dict[str, str]:
    """Return the names of the newest agents; a list that shows the same ones again ends."""
    names: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await context.upstream.agents(cursor)
        is_news = not names.keys() >= page.names.keys()
        names = page.names | names
        cursor = page.next_cursor
        if cursor is None or not is_news:
            break
    return names
