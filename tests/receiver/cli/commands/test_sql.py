"""SQL at the terminal: a table for people, lines for programs and spreadsheets, nothing that is closed."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.engine.database import Database
from storage.tables import schema
from storage.user_sql import readable_columns
from tests import life, reading
from tests.receiver.cli.terminal import ROOT, Terminal

STATUSES = "SELECT status, count(*) AS runs FROM runs GROUP BY status ORDER BY status"


async def two(database: Database) -> None:
    """Make one run that has ended, and one that has not."""
    await life.settled_run(database, prompt="=1+1 of the lease\x1b[31m")
    await life.accepted(database, agent_id="agent_2")


@pytest.fixture
def kept(terminal: Terminal) -> Terminal:
    """Return a terminal with two runs."""
    terminal.in_database(two)
    return terminal


def test_rows_are_a_table_for_people(kept: Terminal) -> None:
    screen = kept.type("sql", STATUSES)
    assert [line.split() for line in screen.out.splitlines() if " 1" in line] == [
        ["accepted", "1"],
        ["completed", "1"],
    ]
    assert (screen.code, screen.err) == (0, "")


def test_rows_are_objects_for_programs(kept: Terminal) -> None:
    screen = kept.type("sql", STATUSES, "--json")
    assert screen.objects == [{"status": "accepted", "runs": 1}, {"status": "completed", "runs": 1}]


def test_columns_of_one_name_are_numbered(kept: Terminal) -> None:
    assert kept.type("sql", "SELECT 1 AS a, 2 AS a, 3 AS a", "--json").object == {"a": 1, "a_2": 2, "a_3": 3}


def test_a_spreadsheet_is_given_no_formula(kept: Terminal) -> None:
    screen = kept.type("sql", "SELECT prompt, -1 AS number FROM runs WHERE agent_id = 'agent_1'", "--csv")
    assert list(csv.reader(io.StringIO(screen.out))) == [
        ["prompt", "number"],
        ["'=1+1 of the lease\x1b[31m", "-1"],
    ]


def test_nothing_that_is_in_the_store_steers_the_terminal(kept: Terminal) -> None:
    assert "\x1b" not in kept.type("sql", "SELECT prompt FROM runs").out


def test_a_statement_comes_from_standard_input(kept: Terminal) -> None:
    assert kept.type("sql", "-", "--json", given="SELECT count(*) AS n\nFROM runs;\n").object == {"n": 2}


def test_parameters_are_given_beside_it(kept: Terminal) -> None:
    screen = kept.type(
        "sql", "SELECT agent_id FROM runs WHERE agent_id = $2 OR seq = $1", "-p", "99", "-p", "agent_2", "--json"
    )
    assert screen.object == {"agent_id": "agent_2"}


def test_further_rows_are_mentioned_on_standard_error(kept: Terminal) -> None:
    screen = kept.type("sql", "SELECT id FROM runs", "--limit", "1", "--json")
    assert len(screen.objects) == 1
    assert screen.err == "There are more; this is the first 1 rows.\n"


def test_without_rows_a_line_is_printed(kept: Terminal) -> None:
    assert kept.type("sql", "SELECT id FROM runs WHERE 1 = 0").out == "No rows.\n"


def test_columns_that_have_no_room_are_counted(kept: Terminal) -> None:
    screen = kept.type("sql", "SELECT * FROM runs", width=80)
    assert max(len(line) for line in screen.out.splitlines()) <= 80
    assert re.search(r"\d+ more columns have no room here", screen.err)


def test_a_mistake_is_shown_below_its_place(kept: Terminal) -> None:
    screen = kept.type("sql", "SELECT colour FROM runs")
    assert screen.code == 2
    assert screen.err.splitlines() == [
        "runledger: no such column: colour",
        "runledger:   SELECT colour FROM runs",
        "runledger:          ^",
    ]


@pytest.mark.parametrize("text", ["SELECT * FROM api_keys", "DELETE FROM runs", "PRAGMA user_version"])
def test_what_is_closed_is_wrong_usage(kept: Terminal, text: str) -> None:
    screen = kept.type("sql", text)
    assert (screen.code, screen.out) == (2, "")
    assert "cannot be" in screen.err


def test_two_forms_at_once_are_wrong_usage(kept: Terminal) -> None:
    assert kept.type("sql", "SELECT 1", "--csv", "--json").code == 2
    assert kept.type("sql", "SELECT 1", "--bom").code == 2
    assert kept.type("sql", "SELECT 1 AS one", "--csv", "--bom").out == "\ufeffone\n1\n"


def test_a_missing_database_is_an_error(new_terminal: Terminal) -> None:
    screen = new_terminal.type("sql", "SELECT 1")
    assert (screen.code, "there is no database" in screen.err) == (1, True)


def test_a_server_needs_a_role_for_it(
    terminal: Terminal, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATABASE_URL", server_url)
    screen = terminal.type("sql", "SELECT 1")
    assert (screen.code, "RUNLEDGER_SQL_DATABASE_URL is empty" in screen.err) == (1, True)


def test_on_a_server_the_role_is_asked(
    terminal: Terminal, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = reading.served(request.getfixturevalue("cluster"))
    monkeypatch.setenv("RUNLEDGER_SQL_DATABASE_URL", made.reader)
    assert terminal.type("sql", "SELECT session_user AS who", "--json").object == {"who": readable_columns.ROLE}
    monkeypatch.setenv("RUNLEDGER_SQL_DATABASE_URL", made.url)
    screen = terminal.type("sql", "SELECT 1")
    assert (screen.code, "is a superuser" in screen.err) == (1, True)


# The copy that the guide has Datasette show


def cleaning() -> str:
    """Return the statements of the guide for such a copy."""
    guide = (ROOT / "docs" / "guides" / "sql.md").read_text()
    return guide.partition("sqlite3 look.db <<'SQL'\n")[2].partition("\nSQL\n")[0]


def test_nothing_hidden_is_left_in_the_copy_that_is_shown(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    reading.filled("sqlite", request, tmp_path)
    copy = tmp_path / "look.db"
    with closing(sqlite3.connect(tmp_path / "runledger.db")) as store:
        store.execute("VACUUM INTO ?", [str(copy)])
    assert reading.SECRET.encode() in copy.read_bytes()
    with closing(sqlite3.connect(copy, isolation_level=None)) as shown:
        shown.executescript(cleaning())
        left: Any = {row[0] for row in shown.execute("SELECT name FROM sqlite_master")}
        assert json.dumps(shown.execute("SELECT prompt FROM runs").fetchall())
    assert reading.SECRET.encode() not in copy.read_bytes()
    assert readable_columns.CLOSED.isdisjoint(left)
    assert {*schema.metadata.tables} - left == {*readable_columns.CLOSED, "run_documents"}
