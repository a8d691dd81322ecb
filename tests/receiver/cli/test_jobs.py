"""Jobs by cause, and tried again singly or by what stands in their way."""

from __future__ import annotations

import pytest

from storage import jobs, notifications, states, transitions
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk

GONE = "the backend answered 410 Gone"


async def died(database: Database) -> str:
    """A run whose notification was given up; its id."""
    await life.wanted(database, notifies=True)
    run = await life.settled_run(database)
    claim = await life.claimed(database, states.Kind.NOTIFY, run.id, life.at(100))
    new = notifications.Notification(run.id, "msg_1", b"{}", life.at(100))
    await database.write(transitions.prepare, claim, new)
    attempt = notifications.Attempt(life.at(101), 410, GONE)
    await database.write(transitions.stop_notifying, claim, attempt, GONE)
    return run.id


async def failed(database: Database) -> None:
    """A start that fails."""
    run = await life.accepted(database)
    claim = await life.claimed(database, states.Kind.START, run.id)
    await database.write(jobs.failed, claim, life.at(60), error="503 after 12 s", now=life.NOW)


def test_what_fails_is_told_by_cause(desk: Desk) -> None:
    desk.behind(failed)
    desk.behind(failed)
    desk.behind(died)
    screen = desk.type("jobs", "--by", "cause").out
    assert [line for line in screen.splitlines() if "503 after … s" in line and " 2 " in line]
    found = desk.type("jobs", "--by", "cause", "--state", "dead", "--json").object
    assert (found["kind"], found["cause"], found["count"], found["dueAt"]) == ("notify", GONE, 1, None)


def test_where_nothing_fails_that_is_said(desk: Desk) -> None:
    desk.behind(life.accepted)
    assert desk.type("jobs", "--by", "cause").out == "No job fails.\n"
    assert desk.type("jobs", "retry", "--kind", "notify").out == "Due now: 0.\n"


def test_a_dry_run_tells_what_would_be_tried_again(desk: Desk) -> None:
    desk.behind(died)
    screen = desk.type("jobs", "retry", "--kind", "notify", "--dry-run")
    assert GONE in screen.out
    assert screen.out.endswith("Due now without --dry-run: 1.\n")
    assert desk.type("jobs", "--by", "cause", "--json").object["state"] == "dead"
    assert desk.type("jobs", "retry", "--cause", "410", "--dry-run", "--json").object["count"] == 1


def test_all_of_a_kind_are_tried_again(desk: Desk) -> None:
    run = desk.behind(died)
    assert (
        "given up; `runledger jobs retry --kind notify` tries again (1 try): " + GONE in desk.type("show", run).out
    )
    screen = desk.type("jobs", "retry", "--kind", "notify")
    assert "Due now: 1. No worker was ever seen on this database" in screen.out
    assert desk.type("show", run, "--json").object["notification"]["state"] == "pending"
    assert "not told yet (1 try)" in desk.type("show", run).out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["jobs", "--by", "colour"], "--by cause goes with --kind and --state alone"),
        (["jobs", "--by", "cause", "--run", "run_1"], "--by cause goes with --kind and --state alone"),
        (["jobs", "--by", "cause", "--state", "due"], "--state: "),
        (["jobs", "retry"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "a", "--kind", "notify"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "a", "--dry-run"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "--kind", "notified"], "--kind: "),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(desk: Desk, words: list[str], told: str) -> None:
    desk.behind(life.accepted)
    screen = desk.type(*words)
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith(f"runledger: {told}")
