"""What a verb finds in the data folder, and what it says of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.receiver.cli.desk import Desk

READING = ("runs", "show x", "stats", "jobs", "deliveries", "keys list", "sweep", "cancel x")


@pytest.mark.parametrize("words", READING)
def test_a_missing_database_is_named_with_what_to_do_and_not_made(bare: Desk, words: str) -> None:
    screen = bare.type(*words.split())
    assert (screen.code, screen.out) == (1, "")
    assert screen.err == (
        "runledger: there is no database at data/runledger.db yet: start `runledger serve`, "
        "or set RUNLEDGER_DATA_DIR to the data folder that you mean\n"
    )
    assert not bare.folder.exists()


def test_an_empty_file_is_no_database_to_read(bare: Desk) -> None:
    bare.folder.mkdir()
    (bare.folder / "runledger.db").touch()
    assert "is empty: start `runledger serve`" in bare.type("runs").err
    assert bare.type("keys", "create", "ci", "--scope", "read").code == 0
    assert bare.type("runs").code == 0


def test_a_database_of_a_newer_release_is_left_alone(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.folder / "runledger.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (["runs"], ["keys", "create", "ci", "--scope", "read"], ["migrate"]):
        screen = desk.type(*words)
        assert screen.code == 1
        assert "install the newer release" in screen.err


def test_migrate_says_from_where_to_where(bare: Desk) -> None:
    first, again = bare.type("migrate").out, bare.type("migrate").out
    assert first.endswith("it was at none.\n")
    assert again.endswith("already.\n")


def test_settings_that_cannot_be_read_are_named(bare: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_SWEEP_SECONDS", "often")
    screen = bare.type("runs")
    assert screen.code == 1
    assert screen.err.startswith("runledger: RUNLEDGER_SWEEP_SECONDS: ")
