"""The demo, as a newcomer starts it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from receiver.cli.demo import environment, history
from tests.receiver.cli.terminal import Terminal, process


def test_the_demo_shows_its_report_and_can_be_run_again(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("kept")
    for _ in range(2):
        shown = process("demo", folder=tmp_path, COLUMNS="100")
        assert shown.returncode == 0, shown.stderr.decode() + _log(tmp_path)
        _check(shown.stdout.decode(), tmp_path)
    assert (tmp_path / "data" / "mine.txt").read_text() == "kept"


def _check(output: str, folder: Path) -> None:
    """Check that the screen and the database agree."""
    assert "12 runs submitted, and every one settled" in output
    runs = _rows(folder, "SELECT * FROM runs")
    assert len(runs) == 12
    assert all(run["id"] in output for run in runs)
    states = [run["status"] for run in runs]
    assert (states.count("completed"), states.count("failed"), states.count("cancelled")) == (9, 2, 1)
    (unheard,) = (run for run in runs if "chronology" in run["prompt"])
    assert unheard["settled_by"] == "sweep"
    assert all(run["cost_micros"] > 0 and run["output"] for run in runs if run["status"] == "completed")
    verdicts = _rows(folder, "SELECT source, verdict, count(*) AS n FROM deliveries GROUP BY 1, 2")
    counted = {(row["source"], row["verdict"]): row["n"] for row in verdicts}
    assert counted["watcher", "rejected"] == counted["platform", "rejected"] == 1
    assert counted["watcher", "duplicate"] >= 10
    assert "rejected" in output
    assert "anthropic/claude-haiku-3.5" in output
    assert f"RUNLEDGER_DATA_DIR=data {_program(output)} timeline {unheard['id']}" in output


def _program(output: str) -> str:
    """Return how the lines to type next call the program."""
    line = next(line for line in output.splitlines() if " show " in line)
    return line.split(" show ")[0].split(maxsplit=1)[1]


@pytest.mark.anyio
async def test_the_earlier_runs_of_the_demo_lie_in_the_two_weeks_before(tmp_path: Path) -> None:
    environment.empty(tmp_path / "data")
    async with environment.running(tmp_path / "data") as servers:
        assert await history.fill(servers, runs=12) == 12
    rows = _rows(tmp_path, "SELECT julianday() - julianday(created_at) AS days, settled_at FROM runs")
    assert all(row["settled_at"] and 0 < row["days"] < 15 for row in rows)
    assert max(row["days"] for row in rows) > 7


def test_the_demo_leaves_the_data_of_others_alone(terminal: Terminal) -> None:
    terminal.type("keys", "create", "ci", "--scope", "read")
    screen = terminal.type("demo")
    assert (screen.code, screen.out) == (1, "")
    assert screen.err.startswith("runledger: data/runledger.db was not made by the demo and is left alone")
    assert len(_rows(terminal.folder.parent, "SELECT * FROM api_keys")) == 1


def _rows(folder: Path, statement: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "data" / "runledger.db")) as file:
        file.row_factory = sqlite3.Row
        return [dict(row) for row in file.execute(statement)]


def _log(folder: Path) -> str:
    log = folder / "data" / "server.log"
    return log.read_text() if log.exists() else ""
