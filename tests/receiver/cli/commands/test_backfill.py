"""Adopting the upstream's earlier runs: all of them, once, at the pace that the upstream allows."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import sandbox_server
from tests.patience import until
from tests.receiver.cli.terminal import ROOT, Terminal


@dataclass(frozen=True)
class Setup:
    """A sandbox with earlier runs, and a folder where Runledger was never started."""

    sandbox: sandbox_server.Sandbox
    terminal: Terminal

    @property
    def folder(self) -> Path:
        return self.terminal.folder.parent

    @property
    def environment(self) -> dict[str, str]:
        return {"CASEDEV_BASE_URL": self.sandbox.url, "CASEDEV_API_KEY": sandbox_server.KEY}

    def backfill(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run `runledger backfill --json` and return its output."""
        screen = self.terminal.type("backfill", *words, "--json")
        assert screen.code == code, screen.err
        return screen.object

    def interrupted(self, route: str, *words: str) -> bytes:
        """Return the output after Ctrl-C while a call of that route is held."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        environment["RUNLEDGER_DATA_DIR"] = str(self.folder / "data")
        typed = [sys.executable, "-W", "error", "-m", "receiver", "backfill", *words]
        with subprocess.Popen(typed, cwd=self.folder, env=environment, stderr=subprocess.PIPE) as running:
            try:
                until(lambda: any(each["route"] == route for each in self.sandbox.held()))
                running.send_signal(signal.SIGINT)
                _, message = running.communicate(timeout=60)
            finally:
                running.kill()
        assert running.returncode == 1
        self.sandbox.faults(script=[])
        self.sandbox.release()
        return message

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.folder / "data" / "runledger.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def statuses(self) -> dict[str, str]:
        return dict(self.rows("SELECT upstream_id, status FROM runs"))


@pytest.fixture
def setup(new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    with sandbox_server.running() as sandbox:
        made = Setup(sandbox, new_terminal)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.parametrize("place", ["known", "gone"])
def test_a_walk_goes_on_where_it_was_left(setup: Setup, place: str) -> None:
    setup.sandbox.past(510)
    setup.sandbox.faults(
        script=[{"route": "list", "times": 2, "action": "pass"}, {"route": "list", "action": "hold"}]
    )
    assert setup.interrupted("list", "--no-wait").endswith(b"stopped; the same command continues from here\n")
    assert setup.rows("SELECT seen, taken FROM backfills") == [(500, 500)]
    if place == "gone":
        setup.sandbox.faults(script=[{"route": "list", "times": 1, "action": "status:400"}])
    before = len(setup.sandbox.calls("list"))
    output = setup.backfill("--no-wait")
    assert (output["seen"], output["new"], output["resumed"]) == (510, 510, True)
    assert len(setup.sandbox.calls("list")) - before == {"known": 1, "gone": 4}[place]
    assert len(setup.statuses()) == 510


def test_a_fetch_goes_on_where_it_was_left_and_a_second_backfill_changes_nothing(setup: Setup) -> None:
    past = setup.sandbox.past(30)
    setup.sandbox.faults(
        script=[{"route": "details", "times": 7, "action": "pass"}, {"route": "details", "action": "hold"}]
    )
    setup.interrupted("details")
    assert not setup.rows("SELECT 1 FROM jobs WHERE lease_until IS NOT NULL")
    output = setup.backfill()
    assert (output["stored"], output["open"], output["resumed"]) == (30, 0, True)
    assert setup.statuses() == dict.fromkeys(past, "completed")
    rows = setup.rows("SELECT * FROM runs ORDER BY seq")
    again = setup.backfill()
    assert (again["new"], again["known"], again["resumed"]) == (0, 30, False)
    assert setup.rows("SELECT * FROM runs ORDER BY seq") == rows


def test_what_is_listed_and_gone_is_named_and_holds_up_nothing(setup: Setup) -> None:
    past = setup.sandbox.past(5)
    setup.sandbox.faults(not_found=past[:2])
    output = setup.backfill(code=1)
    assert (output["stored"], output["gone"], sorted(output["failingIds"])) == (3, 0, sorted(past[:2]))
    assert [setup.statuses()[each] for each in past] == ["accepted"] * 2 + ["completed"] * 3
    setup.sandbox.faults(not_found=[])


def test_what_cannot_be_fetched_is_named_and_left_to_the_server(setup: Setup) -> None:
    past = setup.sandbox.past(3)
    setup.sandbox.faults(broken_runs=past[:1])
    screen = setup.terminal.type("backfill")
    assert screen.code == 1
    assert "1 not fetched yet" in screen.err
    assert past[0] in screen.err
    assert "2 of 3 new ones are stored." in screen.out


def test_a_rate_limit_is_waited_out(setup: Setup) -> None:
    setup.sandbox.past(3)
    limited = [{"route": route, "times": 1, "action": "status:429"} for route in ("list", "details")]
    setup.sandbox.faults(script=limited, retry_after="1")
    assert setup.backfill()["stored"] == 3
    limited_at, again_at, *_ = (each["at"] for each in setup.sandbox.calls("list"))
    assert again_at - limited_at >= 1
    assert len(setup.sandbox.calls("details")) == 4


def test_only_what_was_requested_is_taken(setup: Setup) -> None:
    with setup.sandbox.client() as api:
        agent = sandbox_server.new_agent(api)
        sandbox_server.new_run(api, agentId=agent)
    setup.sandbox.past(2, agentId=agent, ago=7200)
    wanted = setup.sandbox.past(2, agentId=agent, status="failed")
    setup.sandbox.past(2, agentId=agent)
    setup.sandbox.past(2, status="failed")
    output = setup.backfill("--agent", agent, "--since", "1h", "--status", "failed,cancelled")
    assert output["seen"] == output["stored"] == 2
    assert setup.statuses() == dict.fromkeys(wanted, "failed")


def test_the_ledger_names_the_operator_as_actor(setup: Setup) -> None:
    setup.sandbox.past(1)
    setup.backfill()
    accepted = setup.rows("SELECT actor FROM ledger_entries WHERE kind = 'run.accepted'")
    assert accepted == [("operator",)]
    assert setup.rows("SELECT submitted_by, origin, expected_by FROM runs") == [("backfill", "adopted", None)]


def test_a_list_that_cannot_be_had_is_a_sentence(setup: Setup) -> None:
    setup.sandbox.faults(unauthorized=True)
    screen = setup.terminal.type("backfill")
    assert (screen.code, screen.out) == (1, "")
    assert screen.err == "runledger: GET /agent/v1/run: 401 Unauthorized (a fault of the sandbox)\n"


@pytest.mark.parametrize(
    ("words", "output"),
    [(["--status", "running"], "--status: 'running'"), (["--since", "soon"], "--since: 'soon' is not an instant")],
)
def test_a_question_that_cannot_be_is_wrong_usage(
    new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch, words: list[str], output: str
) -> None:
    monkeypatch.setenv("CASEDEV_API_KEY", "sk_case_x")
    screen = new_terminal.type("backfill", *words)
    assert screen.code == 2
    assert screen.err.startswith(f"runledger: {output}")


def test_without_a_key_it_names_the_setting(new_terminal: Terminal) -> None:
    screen = new_terminal.type("backfill")
    assert screen.code == 1
    assert screen.err.startswith("runledger: CASEDEV_API_KEY is empty")
