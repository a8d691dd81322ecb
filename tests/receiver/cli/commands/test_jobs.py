"""Jobs by cause, and retried singly or by cause."""

from __future__ import annotations

import pytest

from storage import states
from storage.engine.database import Database
from storage.repositories import jobs, notifications
from storage.transitions import follow_up
from tests import life
from tests.receiver.cli.terminal import Terminal

GONE = "the backend answered 410 Gone"


async def died(database: Database) -> str:
    """Make a run whose notification was given up; return its id."""
    await life.request_follow_ups(database, notifies=True)
    run = await life.settled_run(database)
    claim = await life.claimed(database, states.Kind.NOTIFY, run.id, life.at(100))
    new = notifications.Notification(run.id, "msg_1", b"{}", life.at(100))
    await database.write(follow_up.prepare_notification, claim, new)
    attempt = notifications.Attempt(life.at(101), 410, GONE)
    await database.write(follow_up.stop_notification, claim, attempt, GONE)
    return run.id


async def failed(database: Database) -> None:
    """Make a start job that fails."""
    run = await life.accepted(database)
    claim = await life.claimed(database, states.Kind.START, run.id)
    await database.write(jobs.fail, claim, life.at(60), error="503 after 12 s", now=life.NOW)


def test_failing_jobs_are_counted_by_cause(terminal: Terminal) -> None:
    terminal.in_database(failed)
    terminal.in_database(failed)
    terminal.in_database(died)
    screen = terminal.type("jobs", "--by", "cause").out
    assert [line for line in screen.splitlines() if "503 after … s" in line and " 2 " in line]
    found = terminal.type("jobs", "--by", "cause", "--state", "dead", "--json").object
    assert (found["kind"], found["cause"], found["count"], found["dueAt"]) == ("notify", GONE, 1, None)


def test_where_nothing_fails_a_line_is_printed(terminal: Terminal) -> None:
    terminal.in_database(life.accepted)
    assert terminal.type("jobs", "--by", "cause").out == "No job fails.\n"
    assert terminal.type("jobs", "retry", "--kind", "notify").out == "Due now: 0.\n"


def test_a_dry_run_lists_what_would_be_tried_again(terminal: Terminal) -> None:
    terminal.in_database(died)
    screen = terminal.type("jobs", "retry", "--kind", "notify", "--dry-run")
    assert GONE in screen.out
    assert screen.out.endswith("Due now without --dry-run: 1.\n")
    assert terminal.type("jobs", "--by", "cause", "--json").object["state"] == "dead"
    assert terminal.type("jobs", "retry", "--cause", "410", "--dry-run", "--json").object["count"] == 1


def test_all_of_a_kind_are_tried_again(terminal: Terminal) -> None:
    run = terminal.in_database(died)
    assert (
        "given up; `runledger jobs retry --kind notify` tries again (1 try): " + GONE
        in terminal.type("show", run).out
    )
    screen = terminal.type("jobs", "retry", "--kind", "notify")
    assert "Due now: 1. No worker was ever seen on this database" in screen.out
    assert terminal.type("show", run, "--json").object["notification"]["state"] == "pending"
    assert "not notified yet (1 try)" in terminal.type("show", run).out


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["jobs", "--by", "colour"], "--by cause can be combined with --kind and --state only"),
        (["jobs", "--by", "cause", "--run", "run_1"], "--by cause can be combined with --kind and --state only"),
        (["jobs", "--by", "cause", "--state", "due"], "--state: "),
        (["jobs", "retry"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "a", "--kind", "notify"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "a", "--dry-run"], "name one job, or some by --kind, --state or --cause"),
        (["jobs", "retry", "--kind", "notified"], "--kind: "),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(terminal: Terminal, words: list[str], output: str) -> None:
    terminal.in_database(life.accepted)
    screen = terminal.type(*words)
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith(f"runledger: {output}")
