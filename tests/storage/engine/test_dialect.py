"""What differs between databases, as far as an embedded one shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from storage import errors
from storage.engine import urls
from storage.engine.database import Database

pytestmark = pytest.mark.anyio


async def test_a_new_database_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "runledger.db"
    async with Database(f"sqlite:///{file}") as database:
        await database.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")).close())
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


async def test_a_file_that_is_no_database_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, no database, and long enough to be taken for neither" * 20)
    async with Database(f"sqlite:///{file}") as database:
        with pytest.raises(errors.Unavailable, match="not a database"):
            await database.read(lambda connection: connection.execute(text("SELECT 1 FROM runs")).close())
    assert file.read_text().startswith("these are notes")


def _pragma(connection: Connection, name: str) -> object:
    return connection.execute(text(f"PRAGMA {name}")).scalar_one()


async def test_commits_are_durable_and_reads_do_not_wait_for_writers(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path / 'runledger.db'}") as database:
        found = [await database.read(_pragma, name) for name in ("synchronous", "journal_mode", "foreign_keys")]
    assert found == [2, "wal", 1]


def test_a_second_server_on_one_file_gets_the_name_of_the_lock(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runledger.db'}"
    with urls.server_lock(url), pytest.raises(errors.DatabaseInUse, match=r"runledger\.db\.lock"):  # noqa: SIM117
        with urls.server_lock(url):
            pass


def test_the_lock_ends_with_the_server(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runledger.db'}"
    for _ in range(2):
        with urls.server_lock(url):
            pass


@pytest.mark.parametrize(("url", "is_one"), [("sqlite:///x.db", True), ("no address", False), ("", False)])
def test_an_address_of_a_database_is_recognised(url: str, is_one: bool) -> None:
    assert (urls.problem(url) is None) is is_one
