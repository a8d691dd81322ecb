"""Commands about reviews."""

from __future__ import annotations

import pytest

from storage.repositories import runs
from tests import life
from tests.receiver.cli.terminal import Terminal


@pytest.fixture
def run(terminal: Terminal) -> runs.Run:
    return terminal.in_database(life.settled_run)


def test_a_run_is_reviewed_and_what_was_said_is_listed(terminal: Terminal, run: runs.Run) -> None:
    assert "Nobody has said anything" in terminal.type("reviews", run.id).out
    said = terminal.type("review", run.id, "rejected", "--comment", "Clause 7.")
    assert said.out == f"{run.id}: rejected by operator.\n"
    (found,) = terminal.type("reviews", run.id, "--json").objects
    assert (found["verdict"], found["comment"], found["by"]) == ("rejected", "Clause 7.", "operator")
    assert "Clause 7." in terminal.type("reviews", run.id).out
    assert "rejected" in terminal.type("show", run.id).out


def test_a_review_that_cannot_be_says_what_is_wrong(terminal: Terminal, run: runs.Run) -> None:
    wrong = terminal.type("review", run.id, "maybe")
    assert (wrong.code, "VERDICT: input" in wrong.err) == (2, True)
    assert "is required for the verdict" in terminal.type("review", run.id, "comment").err
    assert terminal.type("review", run.id, "approved", "--comment", "\udcff").code == 2
    going = terminal.in_database(life.running)
    refused = terminal.type("review", going.id, "approved")
    assert (refused.code, "once it has ended" in refused.err) == (1, True)
