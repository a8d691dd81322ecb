"""The watch of a database file, which other programs write as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage import states
from storage.engine import file_watch
from storage.engine.database import WATCHED, Database
from storage.migrations import schema_version
from storage.repositories import jobs
from tests import life

pytestmark = pytest.mark.anyio

SWEEP = jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[Database]:
    """A database whose file is watched."""
    async with asyncio.timeout(60), Database(url) as database:
        await database.write(schema_version.upgrade)
        watch = asyncio.create_task(file_watch.watch(database, 0.01))
        while database.longest_wait(1) == 1:
            await asyncio.sleep(0.01)
        yield database
        watch.cancel()


async def test_a_commit_of_another_program_wakes_those_who_wait(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/of # 1.db"
    async with watched(url) as database, Database(url) as other:
        commit = database.next_commit()
        await other.write(jobs.enqueue, [SWEEP])
        await commit


async def test_a_watched_database_is_read_less_often(tmp_path: Path) -> None:
    async with watched(f"sqlite:///{tmp_path}/runs.db") as database:
        assert database.longest_wait(2) == 2 * WATCHED
