"""Bulk actions by command."""

from __future__ import annotations

from tests.receiver.cli.terminal import Terminal


def submitted(terminal: Terminal) -> str:
    run: str = terminal.type("submit", "--agent", "a", "--prompt", "x", "--tag", "m=1", "--json").object["id"]
    return run


def test_runs_are_counted_first_and_nothing_is_done_without_a_yes(terminal: Terminal) -> None:
    submitted(terminal)
    assert terminal.type("bulk", "start", "cancel", "tag.m:1", "--dry-run").out == "Cancel 1 run.\n"
    screen = terminal.type("bulk", "start", "cancel", "tag.m:1")
    assert (screen.code, "Cancel 1 run? Add --yes" in screen.err) == (2, True)


def test_an_action_is_stored_shown_and_stopped(terminal: Terminal) -> None:
    run = submitted(terminal)
    words = ["bulk", "start", "tag", "--run", run, "--set", "done=yes", "--remove", "m", "--yes", "--no-wait"]
    made = terminal.type(*words, "--json").object
    assert (made["state"], made["total"], made["submittedBy"]) == ("running", 1, "cli")
    assert terminal.type("bulk", "show", made["id"], "--json").object == made
    stopped = terminal.type("bulk", "stop", made["id"])
    assert stopped.out == f"{made['id']} is stopped: 0 done, 0 failed, of 1 run.\n"


def test_without_a_worker_the_action_waits_for_one(terminal: Terminal) -> None:
    run = submitted(terminal)
    screen = terminal.type("bulk", "start", "cancel", "--run", run, "--yes")
    assert screen.code == 1
    assert "is stored. No worker was ever seen" in screen.err


def test_an_action_that_cannot_be_is_wrong_usage(terminal: Terminal) -> None:
    submitted(terminal)
    wrong = (
        ["cancel"],
        ["delete", "x"],
        ["tag", "tag.m:1"],
        ["cancel", "statuz:"],
        ["cancel", "a", "--run", "b"],
    )
    for words in wrong:
        assert terminal.type("bulk", "start", *words, "--yes").code == 2


def test_without_an_id_actions_are_listed(terminal: Terminal) -> None:
    submitted(terminal)
    assert terminal.type("bulk").out.startswith("No bulk actions")
    made = terminal.type("bulk", "start", "cancel", "tag.m:1", "--yes", "--no-wait", "--json").object
    assert terminal.type("bulk", "--json").object == made
    screen = terminal.type("bulk").out
    assert all(word in screen for word in (made["id"], "cancel", "running", "tag.m:1"))
