"""What a verb finds in the data folder, and what it says of it."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from receiver.cli import opening
from storage import dialect
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk, process

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


#: Ways to a database: one to make it ready, others to read and to write.
WAYS = ("migrate", "runs", "sweep", "keys list", "restored --force", "rollups verify")


@pytest.mark.parametrize("words", WAYS)
def test_a_server_that_cannot_hold_every_text_is_refused_in_one_sentence(
    bare: Desk, narrow_url: str, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", narrow_url)
    monkeypatch.setenv("RUNLEDGER_SECRET_KEYS", secrets.token_hex(32))
    monkeypatch.setenv("CASEDEV_API_KEY", "sk_case_nobody")
    screen = bare.type(*words.split())
    assert (screen.code, screen.err.count("\n")) == (1, 1)
    assert "has the encoding" in screen.err
    assert "createdb --encoding=UTF8 --template=template0 NAME" in screen.err


@pytest.mark.parametrize("words", ["serve --port 0", "work"])
def test_no_server_starts_on_a_database_that_cannot_hold_every_text(
    tmp_path: Path, narrow_url: str, words: str
) -> None:
    given = {"RUNLEDGER_SECRET_KEYS": secrets.token_hex(32), "CASEDEV_API_KEY": "sk_case_nobody"}
    done = process(*words.split(), folder=tmp_path, RUNLEDGER_DATABASE_URL=narrow_url, **given)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"createdb --encoding=UTF8 --template=template0 NAME" in done.stderr


def test_the_doctor_names_a_server_that_cannot_hold_every_text(
    bare: Desk, narrow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", narrow_url)
    monkeypatch.setenv("CASEDEV_BASE_URL", "http://127.0.0.1:1")
    (found,) = [each for each in bare.type("doctor", "--json").objects if each["name"] == "database"]
    assert found["level"] == "fault"
    assert "createdb --encoding=UTF8" in found["advice"]


def test_settings_that_cannot_be_read_are_named(bare: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_SWEEP_SECONDS", "often")
    screen = bare.type("runs")
    assert screen.code == 1
    assert screen.err.startswith("runledger: RUNLEDGER_SWEEP_SECONDS: ")


@pytest.mark.anyio
async def test_a_command_on_a_machine_whose_clock_is_wrong_tells_the_time_of_the_server(served: Database) -> None:
    ticking = await opening.shared_clock(served, lambda: life.at(-100_000))
    now = await served.read(dialect.time)
    assert now is not None
    assert abs(ticking() - now) < timedelta(minutes=1)


@pytest.mark.anyio
async def test_a_command_on_a_file_tells_the_time_of_its_machine(embedded: Database) -> None:
    assert (await opening.shared_clock(embedded, lambda: life.at(7)))() == life.at(7)
