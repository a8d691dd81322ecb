"""What a command finds in the data folder, and its message about it."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from receiver.cli import open_database
from receiver.crypto import log_keys
from storage.engine import dialect
from storage.engine.database import Database
from tests import life
from tests.receiver.cli.terminal import Terminal, process

READING = ("runs", "show x", "stats", "jobs", "deliveries", "keys list", "sweep", "cancel x")


@pytest.mark.parametrize("words", READING)
def test_a_missing_database_is_named_with_what_to_do_and_not_made(new_terminal: Terminal, words: str) -> None:
    screen = new_terminal.type(*words.split())
    assert (screen.code, screen.out) == (1, "")
    assert screen.err == (
        "runledger: there is no database at data/runledger.db yet: start `runledger serve`, "
        "or set RUNLEDGER_DATA_DIR to the data folder that you mean\n"
    )
    assert not new_terminal.folder.exists()


def test_an_empty_file_is_no_database_to_read(new_terminal: Terminal) -> None:
    new_terminal.folder.mkdir()
    (new_terminal.folder / "runledger.db").touch()
    assert "is empty: start `runledger serve`" in new_terminal.type("runs").err
    assert new_terminal.type("keys", "create", "ci", "--scope", "read").code == 0
    assert new_terminal.type("runs").code == 0


def test_a_database_of_a_newer_release_is_left_alone(terminal: Terminal) -> None:
    with closing(sqlite3.connect(terminal.folder / "runledger.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (["runs"], ["keys", "create", "ci", "--scope", "read"], ["migrate"]):
        screen = terminal.type(*words)
        assert screen.code == 1
        assert "install the newer release" in screen.err


def test_migrate_prints_both_versions(new_terminal: Terminal) -> None:
    first, again = new_terminal.type("migrate").out, new_terminal.type("migrate").out
    assert first.endswith("it was at none.\n")
    assert again.endswith("already.\n")


#: Ways to a database: one to make it ready, others to read and to write.
WAYS = ("migrate", "runs", "sweep", "keys list", "restored --force", "rollups verify")


@pytest.mark.parametrize("words", WAYS)
def test_a_server_that_cannot_hold_every_text_is_refused_in_one_sentence(
    new_terminal: Terminal, narrow_url: str, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", narrow_url)
    monkeypatch.setenv("RUNLEDGER_SECRET_KEYS", secrets.token_hex(32))
    monkeypatch.setenv("CASEDEV_API_KEY", "sk_case_nobody")
    screen = new_terminal.type(*words.split())
    assert (screen.code, screen.err.count("\n")) == (1, 1)
    assert "has the encoding" in screen.err
    assert "createdb --encoding=UTF8 --template=template0 NAME" in screen.err


@pytest.mark.parametrize("words", ["serve --port 0", "work"])
def test_no_server_starts_on_a_database_that_cannot_hold_every_text(
    tmp_path: Path, narrow_url: str, words: str
) -> None:
    signer = log_keys.new("runledger.test/ledger").private_text
    keys = {"RUNLEDGER_SECRET_KEYS": secrets.token_hex(32), "RUNLEDGER_LEDGER_KEYS": signer}
    given = {**keys, "CASEDEV_API_KEY": "sk_case_nobody"}
    done = process(*words.split(), folder=tmp_path, RUNLEDGER_DATABASE_URL=narrow_url, **given)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"createdb --encoding=UTF8 --template=template0 NAME" in done.stderr


def test_the_doctor_names_a_server_that_cannot_hold_every_text(
    new_terminal: Terminal, narrow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", narrow_url)
    monkeypatch.setenv("CASEDEV_BASE_URL", "http://127.0.0.1:1")
    (found,) = [each for each in new_terminal.type("doctor", "--json").objects if each["name"] == "database"]
    assert found["level"] == "fault"
    assert "createdb --encoding=UTF8" in found["advice"]


def test_settings_that_cannot_be_read_are_named(new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_SWEEP_SECONDS", "often")
    screen = new_terminal.type("runs")
    assert screen.code == 1
    assert screen.err.startswith("runledger: RUNLEDGER_SWEEP_SECONDS: ")


@pytest.mark.anyio
async def test_a_command_on_a_machine_with_a_wrong_clock_uses_the_servers_time(served: Database) -> None:
    shared_clock = await open_database.shared_clock(served, lambda: life.at(-100_000))
    now = await served.read(dialect.server_time)
    assert now is not None
    assert abs(shared_clock() - now) < timedelta(minutes=1)


@pytest.mark.anyio
async def test_a_command_on_a_file_uses_the_time_of_its_machine(embedded: Database) -> None:
    assert (await open_database.shared_clock(embedded, lambda: life.at(7)))() == life.at(7)
