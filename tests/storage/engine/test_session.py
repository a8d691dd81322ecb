"""The session of a PostgreSQL is what the code relies on, whatever the database or the role has set."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select, text

from storage import errors, states
from storage.engine import column_types, dialect, session, writer
from storage.engine.database import Database
from storage.engine.postgresql import listener
from storage.maintenance import integrity
from storage.migrations import schema_version
from storage.repositories import jobs, runs
from tests import life, postgres
from tests.patience import PATIENT

pytestmark = pytest.mark.anyio

#: What an operator, or another program's manual, sets for a database.
ODD = {
    "TimeZone": "Europe/Amsterdam",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-3",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "gin_fuzzy_search_limit": "1",
    "statement_timeout": "1000",
    "transaction_timeout": "2000",
    "idle_session_timeout": "100",
    "exit_on_error": "on",
    "client_encoding": "LATIN1",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "synchronous_commit": "off",
    "lock_timeout": "1",
}


def alter(cluster: postgres.Cluster, url: str, **values: str) -> None:
    """Set these values for the database, as an operator does."""
    name = url.rpartition("?")[0].rpartition("/")[2]
    with cluster.admin() as connection:
        for each, value in values.items():
            connection.execute(f"ALTER DATABASE {name} SET {each} = '{value}'".encode())


@pytest.fixture(scope="module")
def odd_url(cluster: postgres.Cluster) -> str:
    """The address of a database that is set up for another program."""
    url = cluster.fresh()
    alter(cluster, url, **ODD)
    return url


def settings(connection: Connection) -> dict[str, str]:
    """Return the settings that a transaction finds."""
    rows = connection.execute(text("SELECT name, setting FROM pg_settings"))
    return {str(name): str(setting) for name, setting in rows}


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_session_has_the_required_settings_whatever_the_database_sets(odd_url: str, pooler: bool) -> None:
    async with Database(odd_url, limits=PATIENT, pooler=pooler) as database:
        for found in [await database.read(settings), await database.write(settings)]:
            actual = {name: found[name] for name in session.REQUIRED_SETTINGS}
            assert actual == dict(session.REQUIRED_SETTINGS)
            assert (found["synchronous_commit"], found["client_encoding"]) == ("on", "UTF8")
            assert found["lock_timeout"] != "1"


async def test_a_write_is_read_committed_and_may_write_and_a_read_has_a_snapshot(odd_url: str) -> None:
    names = ("transaction_isolation", "transaction_read_only")
    async with Database(odd_url, limits=PATIENT) as database:
        written, read = await database.write(settings), await database.read(settings)
    assert [written[name] for name in names] == ["read committed", "off"]
    assert [read[name] for name in names] == ["repeatable read", "on"]


async def test_a_run_is_stored_and_read_in_a_database_with_odd_settings(odd_url: str) -> None:
    async with Database(odd_url, limits=PATIENT) as database:
        run = await life.accepted(database)
        found = await database.read(runs.find, run.id)
    assert found is not None
    assert (found.accepted_at, found.prompt) == (run.accepted_at, run.prompt)


async def test_the_first_and_the_last_instant_are_read(odd_url: str) -> None:
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    chosen = select(*(column_types.instant(each).label(f"at{place}") for place, each in enumerate(ends)))
    async with Database(odd_url, limits=PATIENT) as database:
        assert list(await database.read(lambda connection: connection.execute(chosen).one())) == ends


@pytest.mark.parametrize("chosen", ["local", "remote_write", "remote_apply"])
async def test_a_commit_that_the_operator_made_stronger_stays_so(cluster: postgres.Cluster, chosen: str) -> None:
    url = cluster.fresh()
    alter(cluster, url, synchronous_commit=chosen)
    async with Database(url, limits=PATIENT) as database:
        assert (await database.write(settings))["synchronous_commit"] == chosen


async def test_a_database_that_is_to_lose_commits_loses_none(odd_url: str) -> None:
    async with Database(odd_url, limits=PATIENT) as database:
        await database.write(integrity.require_durable)


async def test_an_idle_listener_is_not_cut_off(odd_url: str) -> None:
    missed = list[str]()
    async with asyncio.timeout(60), Database(odd_url) as database, Database(odd_url, limits=PATIENT) as other:
        begun = database.next_commit()
        listening = asyncio.create_task(listener.listen(database, missed.append, 0.01))
        await begun
        commit = database.next_commit()
        await other.write(lambda connection: connection.execute(text("SELECT pg_sleep(0.3)")).close())
        await other.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
        await commit
        listening.cancel()
    assert missed == []


async def test_other_processes_are_notified_whether_a_commit_has_work(odd_url: str) -> None:
    def leave_entry(connection: Connection) -> None:
        dialect.notify_on_commit(connection)
        writer.leave_no_work(connection)

    async with asyncio.timeout(60), Database(odd_url) as database, Database(odd_url, limits=PATIENT) as other:
        begun = database.next_commit()
        listening = asyncio.create_task(listener.listen(database, list[str]().append, 0.01))
        await begun
        commit, work = database.next_commit(), database.next_work()
        await other.write(leave_entry)
        await commit
        assert not work.done()
        await other.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
        await work
        listening.cancel()


async def test_a_schema_in_the_address_is_where_tables_are(cluster: postgres.Cluster) -> None:
    url = cluster.fresh("template0")
    with cluster.admin(url.rpartition("?")[0].rpartition("/")[2]) as connection:
        connection.execute(b'CREATE SCHEMA "of ours"')
    async with Database(f"{url}&schema=of%20ours&pgbouncer=false", limits=PATIENT) as database:
        await database.write(schema_version.upgrade)
        run = await life.accepted(database)
        seen = text('SELECT count(*) FROM "of ours".runs WHERE id = :id').bindparams(id=run.id)
        assert await database.read(lambda asked: asked.execute(seen).scalar_one()) == 1


@pytest.mark.parametrize("pooler", [False, True])
async def test_a_database_that_cannot_hold_every_text_is_refused(narrow_url: str, pooler: bool) -> None:
    async with Database(narrow_url, limits=PATIENT, pooler=pooler) as database:
        for asking in (database.read(schema_version.current), database.write(schema_version.upgrade)):
            with pytest.raises(errors.WrongEncoding, match="createdb --encoding=UTF8 --template=template0"):
                await asking
