"""Moving the store from the terminal."""

from __future__ import annotations

import pytest

from storage.engine import urls
from storage.engine.database import Database
from storage.repositories import runs
from tests import life, postgres
from tests.receiver.cli.terminal import Terminal


@pytest.fixture
def to(cluster: postgres.Cluster) -> str:
    """Return the address of an empty database."""
    return cluster.fresh("template0")


async def settled(database: Database) -> runs.Run:
    return await life.settled_run(database)


def test_a_move_reports_each_table_as_the_same(terminal: Terminal, to: str) -> None:
    terminal.in_database(settled)
    output = {each["table"]: each for each in terminal.type("move", "--to", to, "--json").objects}
    assert output["runs"]["rows"] == 1
    assert len(output["runs"]["sha256"]) == 64
    assert output["alembic_version"]["rows"] == 1


def test_a_move_names_the_settings_and_never_the_key(
    terminal: Terminal, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = terminal.in_database(settled)
    (terminal.folder / "secret.key").write_text("the key")
    shown = terminal.type("move", "--to", to)
    assert (shown.code, shown.err) == (0, "")
    assert "each table is the same on both sides" in shown.out
    assert "Set RUNLEDGER_SECRET_KEYS to the content of data/secret.key" in shown.out
    assert "the key" not in shown.out
    assert "was moved to" in terminal.type("runs").err
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", to)
    assert [each["id"] for each in terminal.type("runs", "--json").objects] == [run.id]


def test_a_store_is_not_moved_under_a_running_server(terminal: Terminal, to: str) -> None:
    with urls.server_lock(terminal.url):
        shown = terminal.type("move", "--to", to)
    assert shown.code == 1
    assert "another Runledger server is running" in shown.err


@pytest.mark.parametrize("address", ["sqlite:///other.db", "mysql://db/name", "nowhere"])
def test_a_store_is_moved_to_postgresql_alone(terminal: Terminal, address: str) -> None:
    shown = terminal.type("move", "--to", address)
    assert shown.code == 2
    assert "--to must be the address of a PostgreSQL" in shown.err


def test_there_is_no_way_back(terminal: Terminal, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", to)
    shown = terminal.type("move", "--to", to)
    assert shown.code == 1
    assert "only a store on SQLite is moved" in shown.err


def test_a_missing_database_is_named(terminal: Terminal, to: str) -> None:
    shown = terminal.type("move", "--to", to.replace("/runledger_", "/nowhere_"))
    assert shown.code == 1
    assert "does not exist" in shown.err
    assert terminal.type("runs").code == 0
