"""Moving the store from the terminal."""

from __future__ import annotations

import pytest

from storage import dialect, runs
from storage.database import Database
from tests import life, postgres
from tests.receiver.cli.desk import Desk


@pytest.fixture
def to(cluster: postgres.Cluster) -> str:
    """The address of a database in which nothing is."""
    return cluster.fresh("template0")


async def settled(database: Database) -> runs.Run:
    return await life.settled_run(database)


def test_a_move_tells_of_each_table_that_it_is_the_same(desk: Desk, to: str) -> None:
    desk.behind(settled)
    told = {each["table"]: each for each in desk.type("move", "--to", to, "--json").objects}
    assert told["runs"]["rows"] == 1
    assert len(told["runs"]["sha256"]) == 64
    assert told["alembic_version"]["rows"] == 1


def test_a_move_says_what_to_set_and_never_the_key(desk: Desk, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = desk.behind(settled)
    (desk.folder / "secret.key").write_text("the key")
    shown = desk.type("move", "--to", to)
    assert (shown.code, shown.err) == (0, "")
    assert "each table is the same on both sides" in shown.out
    assert "Set RUNLEDGER_SECRET_KEYS to what data/secret.key holds" in shown.out
    assert "the key" not in shown.out
    assert "was moved to" in desk.type("runs").err
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", to)
    assert [each["id"] for each in desk.type("runs", "--json").objects] == [run.id]


def test_a_store_is_not_moved_under_a_running_server(desk: Desk, to: str) -> None:
    with dialect.sole_server(desk.url):
        shown = desk.type("move", "--to", to)
    assert shown.code == 1
    assert "another Runledger server is running" in shown.err


@pytest.mark.parametrize("address", ["sqlite:///other.db", "mysql://db/name", "nowhere"])
def test_a_store_is_moved_to_postgresql_alone(desk: Desk, address: str) -> None:
    shown = desk.type("move", "--to", address)
    assert shown.code == 2
    assert "--to must be the address of a PostgreSQL" in shown.err


def test_there_is_no_way_back(desk: Desk, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", to)
    shown = desk.type("move", "--to", to)
    assert shown.code == 1
    assert "only a store on SQLite is moved" in shown.err


def test_a_database_that_is_not_there_is_told(desk: Desk, to: str) -> None:
    shown = desk.type("move", "--to", to.replace("/runledger_", "/nowhere_"))
    assert shown.code == 1
    assert "does not exist" in shown.err
    assert desk.type("runs").code == 0
