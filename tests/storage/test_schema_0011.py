"""A store as the last code before the names of `0012` wrote it: four runs, their deliveries, jobs and ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import zstandard
from sqlalchemy import Connection, Row, create_engine, inspect, make_url, select, text

from storage import states
from storage.engine.database import Database
from storage.ledger import entries
from storage.migrations import schema_version
from storage.query import grammar, run_pages
from storage.repositories import deliveries, job_list, ledger_changes
from storage.tables.ledger import LEDGER_ENTRIES
from storage.transitions import settling
from tests import life, postgres
from tests.tamper import opened

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent.parent / "data"
#: What is not compared: the version, the full-text index of SQLite, and tables that an upgrade replaces or adds.
OTHERS = (
    "alembic_version",
    "passage_words",
    "ledger_salts",
    "ledger_nodes",
    "ledger_checkpoints",
    "ledger_cosignatures",
    "ledger_reports",
    "completeness_reports",
    "rollup_",
    "sign_in_links",
    "saved_views",
    "bulk_",
    "workers",
    "run_reviews",
    "holds",
)
#: Columns that an upgrade adds.
ADDED = ("salts", "again_of", "is_failed", "sessions_ended_at", "review")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a fresh copy of the store."""
    if request.param == "sqlite":
        file = tmp_path / "runledger.db"
        file.write_bytes(zstandard.decompress((DATA / "schema_0011.db.zst").read_bytes()))
        return f"sqlite:///{file}"
    cluster: postgres.Cluster = request.getfixturevalue("cluster")
    made = cluster.fresh("template0")
    with psycopg.connect(make_url(made).set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute((DATA / "schema_0011.sql").read_bytes())
    return made


def rows(url: str) -> Mapping[str, Sequence[Row[Any]]]:
    """Return every row by the present name of its table, without the names of columns and the salts of entries."""
    engine = create_engine(url)
    with engine.connect() as connection:
        names = [name for name in inspect(connection).get_table_names() if not name.startswith(OTHERS)]
        found = {name: _rows(connection, name) for name in names}
    engine.dispose()
    return {name.replace("house", "system_state"): found[name] for name in found}


def _rows(connection: Connection, table: str) -> Sequence[Row[Any]]:
    columns = [column["name"] for column in inspect(connection).get_columns(table) if column["name"] not in ADDED]
    return sorted(connection.execute(text(f"SELECT {', '.join(columns)} FROM {table}")), key=repr)


async def upgraded(url: str) -> Database:
    """Return the store at the newest schema, to be opened."""
    async with Database(url) as store:
        await store.write(schema_version.upgrade)
    return Database(url)


async def test_an_upgrade_keeps_every_row(url: str) -> None:
    before = rows(url)
    await upgraded(url)
    assert rows(url) == {"agents": [], **before}
    assert {name: len(found) for name, found in before.items() if name in ("runs", "deliveries")} == {
        "runs": 4,
        "deliveries": 3,
    }


async def test_an_upgraded_store_verifies(url: str) -> None:
    async with await upgraded(url):
        report = opened.verified(url)
    assert not report.breaks, "\n".join(each.sentence for each in report.breaks)
    assert report.checked["digests"] > 10


async def test_an_upgrade_keeps_every_salt(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        before = {(row.entry_id, row.name): row.salt for row in _rows(connection, "ledger_salts")}
    engine.dispose()
    async with await upgraded(url) as store:
        after = await store.read(lambda connection: connection.execute(select(LEDGER_ENTRIES)).all())
    salts = {(row.id, name): bytes.fromhex(salt) for row in after for name, salt in (row.salts or {}).items()}
    assert salts == before
    assert len(salts) > 10


async def test_an_upgrade_numbers_every_entry_of_a_file(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_entries SET leaf_index = NULL WHERE leaf_index > 4"))
    engine.dispose()
    async with await upgraded(url) as store:
        numbers = select(LEDGER_ENTRIES.c.leaf_index).order_by(LEDGER_ENTRIES.c.seq)
        found = await store.read(lambda connection: connection.execute(numbers).scalars().all())
    if url.startswith("sqlite"):
        assert found == list(range(len(found)))
    else:
        assert set(found) == {0, 1, 2, 3, 4, None}


async def test_an_upgraded_store_is_read_under_the_new_names(url: str) -> None:
    async with await upgraded(url) as store:
        found, _ = await store.read(run_pages.page, run_pages.Query(grammar.EVERYTHING, "accepted", 9))
        assert sorted(run.status for run in found) == ["accepted", "completed", "failed", "running"]
        jobs, _ = await store.read(job_list.page, job_list.Query(states.Kind.SETTLE), life.NOW)
        assert {job.trigger for job in jobs} == {states.Source.WATCHER}
        seen, _ = await store.read(deliveries.page, deliveries.Query())
        assert {each.source for each in seen} == {states.Source.WATCHER, states.Source.PLATFORM}


async def test_what_was_under_way_ends_after_the_upgrade(url: str) -> None:
    async with await upgraded(url) as store:
        found, _ = await store.read(
            run_pages.page, run_pages.Query(grammar.parse("status:running", life.NOW), "accepted", 9)
        )
        claim = await life.claimed(store, states.Kind.SETTLE, found[0].id, life.at(120))
        assert await store.write(settling.record_result, claim, life.result(), life.at(120), None)
        changes = await store.read(ledger_changes.of_run, found[0].id)
        assert changes[-1].kind == entries.Kind.RUN_COMPLETED
