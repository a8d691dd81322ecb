"""Taking over what the upstream has from before: all of it, once, and at the pace that the upstream allows."""

from __future__ import annotations

import json
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
from tests.receiver.cli.desk import ROOT, Desk, process


@dataclass(frozen=True)
class Scene:
    """A sandbox with a past, and a folder where Runledger was never started."""

    sandbox: sandbox_server.Sandbox
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"CASEDEV_BASE_URL": self.sandbox.url, "CASEDEV_API_KEY": sandbox_server.KEY}

    def backfill(self, *words: str, code: int = 0) -> dict[str, Any]:
        """What `runledger backfill --json` tells in the end."""
        shown = process("backfill", *words, "--json", folder=self.folder, **self.environment)
        assert shown.returncode == code, shown.stderr
        told: dict[str, Any] = json.loads(shown.stdout)
        return told

    def interrupted(self, route: str, *words: str) -> bytes:
        """What it says when Ctrl-C comes while a call of that route is held."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT)}
        environment["RUNLEDGER_DATA_DIR"] = str(self.folder / "data")
        typed = [sys.executable, "-W", "error", "-m", "receiver", "backfill", *words]
        with subprocess.Popen(typed, cwd=self.folder, env=environment, stderr=subprocess.PIPE) as running:
            try:
                until(lambda: any(each["route"] == route for each in self.sandbox.held()))
                running.send_signal(signal.SIGINT)
                _, said = running.communicate(timeout=60)
            finally:
                running.kill()
        assert running.returncode == 1
        self.sandbox.faults(script=[])
        self.sandbox.release()
        return said

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.folder / "data" / "runledger.db")
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def statuses(self) -> dict[str, str]:
        return dict(self.rows("SELECT upstream_id, status FROM runs"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with sandbox_server.running() as sandbox:
        yield Scene(sandbox, tmp_path)


@pytest.mark.parametrize("place", ["known", "gone"])
def test_a_walk_goes_on_where_it_was_left(scene: Scene, place: str) -> None:
    scene.sandbox.past(510)
    scene.sandbox.faults(
        script=[{"route": "list", "times": 2, "action": "pass"}, {"route": "list", "action": "hold"}]
    )
    assert scene.interrupted("list", "--no-wait").endswith(b"stopped; the same command goes on from here\n")
    assert scene.rows("SELECT seen, taken FROM backfills") == [(500, 500)]
    if place == "gone":
        scene.sandbox.faults(script=[{"route": "list", "times": 1, "action": "status:400"}])
    before = len(scene.sandbox.calls("list"))
    told = scene.backfill("--no-wait")
    assert (told["seen"], told["new"], told["resumed"]) == (510, 510, True)
    assert len(scene.sandbox.calls("list")) - before == {"known": 1, "gone": 4}[place]
    assert len(scene.statuses()) == 510


def test_a_fetch_goes_on_where_it_was_left_and_a_second_backfill_changes_nothing(scene: Scene) -> None:
    past = scene.sandbox.past(30)
    scene.sandbox.faults(
        script=[{"route": "details", "times": 7, "action": "pass"}, {"route": "details", "action": "hold"}]
    )
    scene.interrupted("details")
    assert not scene.rows("SELECT 1 FROM jobs WHERE lease_until IS NOT NULL")
    told = scene.backfill()
    assert (told["stored"], told["open"], told["resumed"]) == (30, 0, True)
    assert scene.statuses() == dict.fromkeys(past, "completed")
    rows = scene.rows("SELECT * FROM runs ORDER BY seq")
    again = scene.backfill()
    assert (again["new"], again["known"], again["resumed"]) == (0, 30, False)
    assert scene.rows("SELECT * FROM runs ORDER BY seq") == rows


def test_what_is_listed_and_gone_is_named_and_holds_up_nothing(scene: Scene) -> None:
    past = scene.sandbox.past(5)
    scene.sandbox.faults(not_found=past[:2])
    told = scene.backfill(code=1)
    assert (told["stored"], told["gone"], sorted(told["failingIds"])) == (3, 0, sorted(past[:2]))
    assert [scene.statuses()[each] for each in past] == ["accepted"] * 2 + ["completed"] * 3
    scene.sandbox.faults(not_found=[])


def test_what_cannot_be_fetched_is_named_and_left_to_the_server(scene: Scene) -> None:
    past = scene.sandbox.past(3)
    scene.sandbox.faults(broken_runs=past[:1])
    shown = process("backfill", folder=scene.folder, **scene.environment)
    assert shown.returncode == 1
    assert b"1 not fetched yet" in shown.stderr
    assert past[0].encode() in shown.stderr
    assert b"2 of 3 new ones are stored." in shown.stdout


def test_a_rate_limit_is_waited_out(scene: Scene) -> None:
    scene.sandbox.past(3)
    limited = [{"route": route, "times": 1, "action": "status:429"} for route in ("list", "details")]
    scene.sandbox.faults(script=limited, retry_after="1")
    assert scene.backfill()["stored"] == 3
    limited_at, again_at, *_ = (each["at"] for each in scene.sandbox.calls("list"))
    assert again_at - limited_at >= 1
    assert len(scene.sandbox.calls("details")) == 4


def test_only_what_was_asked_for_is_taken(scene: Scene) -> None:
    with scene.sandbox.client() as api:
        agent = sandbox_server.new_agent(api)
        sandbox_server.new_run(api, agentId=agent)
    scene.sandbox.past(2, agentId=agent, ago=7200)
    wanted = scene.sandbox.past(2, agentId=agent, status="failed")
    scene.sandbox.past(2, agentId=agent)
    scene.sandbox.past(2, status="failed")
    told = scene.backfill("--agent", agent, "--since", "1h", "--status", "failed,cancelled")
    assert told["seen"] == told["stored"] == 2
    assert scene.statuses() == dict.fromkeys(wanted, "failed")


def test_the_ledger_says_that_the_operator_took_them(scene: Scene) -> None:
    scene.sandbox.past(1)
    scene.backfill()
    accepted = scene.rows("SELECT actor FROM ledger_entries WHERE kind = 'run.accepted'")
    assert accepted == [("operator",)]
    assert scene.rows("SELECT submitted_by, origin, expected_by FROM runs") == [("backfill", "adopted", None)]


def test_a_list_that_cannot_be_had_is_a_sentence(scene: Scene) -> None:
    scene.sandbox.faults(unauthorized=True)
    shown = process("backfill", folder=scene.folder, **scene.environment)
    assert (shown.returncode, shown.stdout) == (1, b"")
    assert shown.stderr == b"runledger: GET /agent/v1/run: 401 Unauthorized (a fault of the sandbox)\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--status", "running"], "--status: 'running'"), (["--since", "soon"], "--since: 'soon' is no instant")],
)
def test_a_question_that_cannot_be_is_wrong_usage(
    bare: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setenv("CASEDEV_API_KEY", "sk_case_x")
    screen = bare.type("backfill", *words)
    assert screen.code == 2
    assert screen.err.startswith(f"runledger: {told}")


def test_without_a_key_it_says_what_to_set(bare: Desk) -> None:
    screen = bare.type("backfill")
    assert screen.code == 1
    assert screen.err.startswith("runledger: CASEDEV_API_KEY is empty")
