"""Evidence as an operator makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, update

from receiver.crypto import log_keys
from receiver.verifier.evidence import texts
from storage.engine.database import Database
from storage.tables.runs import RUNS
from tests import evidence_store
from tests.laws import pages
from tests.receiver.cli.terminal import Terminal


def settled(terminal: Terminal, *upstream_ids: str) -> None:
    """Settle runs, and sign with the key of the folder."""
    terminal.type("ledger", "key")
    key = log_keys.parse((terminal.folder / "ledger.key").read_text().strip())

    async def settle(database: Database) -> None:
        for upstream_id in upstream_ids:
            await evidence_store.settle(database, upstream_id)
        await evidence_store.sign(database, key)

    terminal.in_database(settle)


def test_the_guide_s_lines_make_evidence_and_verify_it(terminal: Terminal, tmp_path: Path) -> None:
    settled(terminal, "run_01hx")
    made, *checked = [block for block in pages.blocks("guides/evidence.md", "sh") if "evidence" in block][:2]
    for line in made.splitlines():
        shown = terminal.type(*line.split()[1:])
        assert (shown.code, shown.out.splitlines()[-1]) == (0, "OK"), line
    terminal_policy = terminal.type("ledger", "policy").out
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    (tmp_path / "evidence.zip").rename(auditor / "evidence.zip")
    (auditor / "policy.txt").write_text(terminal_policy)
    unpack, check = "".join(checked).splitlines()
    typed = [sys.executable, "-m", "zipfile", "-e", "evidence.zip", "check"]
    assert unpack == "python3 " + " ".join(typed[1:])
    subprocess.run(typed, cwd=auditor, check=True)
    typed = [sys.executable, *check.split()[1:]]
    done = subprocess.run(typed, cwd=auditor, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "OK"
    assert "the one that was given" in done.stdout
    assert unpack in texts.README
    assert check in texts.README


def test_runs_are_chosen_by_a_question(terminal: Terminal, tmp_path: Path) -> None:
    settled(terminal, "run_1", "run_2")
    out = tmp_path / "acme.zip"
    found = terminal.type("evidence", "--query", "tag.client:acme", "--out", str(out), "--json").object
    assert (found["ok"], len(found["runs"]), found["file"]) == (True, 2, str(out))
    again = terminal.type("evidence", "run_1", "--out", str(out))
    assert (again.code, "--force writes over it" in again.err) == (2, True)


def test_what_cannot_be_made_says_what_to_do(terminal: Terminal) -> None:
    settled(terminal, "run_1")
    assert "name runs, or choose them by --query" in terminal.type("evidence").err
    assert "there is no run run_2" in terminal.type("evidence", "run_2").err
    assert "no run matches" in terminal.type("evidence", "--query", "status:failed").err
    assert "--only answer: the names are prompt" in terminal.type("evidence", "run_1", "--only", "answer").err
    assert ". is a folder: name a file in it" in terminal.type("evidence", "run_1", "--out", ".").err
    assert "there is no folder no" in terminal.type("evidence", "run_1", "--out", "no/e.zip").err
    terminal.type("tag", "run_1", "client=other")
    assert "are under no checkpoint yet: a running server signs one" in terminal.type("evidence", "run_1").err
    assert not Path("evidence.zip").exists()


def test_a_store_that_was_changed_makes_evidence_that_says_so(terminal: Terminal) -> None:
    settled(terminal, "run_1")

    def tamper(connection: Connection) -> None:
        connection.execute(update(RUNS).values(output="Another answer."))

    terminal.in_database(lambda database: database.write(tamper))
    shown = terminal.type("evidence", "run_1", "--json")
    assert shown.code == 1
    assert "output is not the value that was recorded" in json.loads(shown.out)["failures"][0]
    assert "what is stored is not what the ledger recorded" in shown.err
