"""What the retention of the settings would remove."""

from __future__ import annotations

import pytest

from storage import states
from storage.engine.database import Database
from tests import life
from tests.receiver.cli.terminal import Terminal


async def _fill(database: Database) -> None:
    for status in (states.COMPLETED, states.COMPLETED, states.FAILED):
        await life.settled_run(database, status=status, tags={"n": status})


def test_each_rule_shows_what_it_would_erase_and_what_a_hold_keeps(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.in_database(_fill)
    terminal.type("hold", "place", "--tag", "n=failed", "--reason", "Litigation 7")
    monkeypatch.setenv("RUNLEDGER_RETENTION", "completed=1d failed=1d cancelled=30d")
    found = terminal.type("retention", "--json").objects
    assert [(each["state"], each["runs"], each["heldRuns"]) for each in found] == [
        ("completed", 2, 0), ("failed", 0, 1), ("cancelled", 0, 0)
    ]  # fmt: skip
    assert found[0]["everySeconds"] == 3600
    assert "under a hold" in terminal.type("retention").out


def test_without_a_rule_everything_is_kept(terminal: Terminal) -> None:
    assert terminal.type("retention").out.startswith("RUNLEDGER_RETENTION is empty")
    assert terminal.type("retention", "--rules", "completed=9d", "--json").object["runs"] == 0
    assert terminal.type("retention", "--rules", "running=9d").code == 2
