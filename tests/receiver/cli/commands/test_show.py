"""One run: its fields, its timeline, its parts."""

from __future__ import annotations

import pytest

from storage import states
from storage.engine.database import Database
from storage.repositories import runs
from tests import life
from tests.receiver.cli.terminal import Terminal


async def settled(database: Database) -> runs.Run:
    """Make a run that completed."""
    return await life.settled_run(database, upstream_id="run_up", prompt="Read the lease.", tags={"matter": "42"})


def test_a_run_is_shown_whole_under_either_id(terminal: Terminal) -> None:
    run = terminal.in_database(settled)
    ours, theirs = terminal.type("show", run.id), terminal.type("show", "run_up")
    assert ours.out == theirs.out
    output = (
        run.id,
        "run_up",
        "completed",
        "matter=42",
        "1m 00s",
        "$0.0030",
        "Read the lease.",
        "The lease is void.",
    )
    assert [each for each in output if each not in ours.out] == []


def test_programs_are_given_the_apis_own_object(terminal: Terminal) -> None:
    run = terminal.in_database(settled)
    shown = terminal.type("show", run.id, "--json").object
    assert (shown["upstreamId"], shown["costMicros"], shown["output"]) == ("run_up", 3000, "The lease is void.")


def test_the_trace_is_listed_to_its_end(terminal: Terminal) -> None:
    run = terminal.in_database(settled)
    assert [step["position"] for step in terminal.type("steps", run.id, "--json").objects] == [0, 1, 2]
    assert len(terminal.type("steps", run.id, "--limit", "2", "--json").objects) == 2
    assert "Read the lease." in terminal.type("steps", run.id).out


def test_the_timeline_is_shown_in_order(terminal: Terminal) -> None:
    run = terminal.in_database(settled)
    kinds = [entry["kind"] for entry in terminal.type("timeline", run.id, "--json").objects]
    assert kinds == ["run.accepted", "run.created", "run.started", "run.completed"]
    assert "run.completed" in terminal.type("timeline", run.id, width=80).out


def test_the_document_comes_byte_for_byte(terminal: Terminal) -> None:
    run = terminal.in_database(settled)
    assert terminal.type("document", run.id).out == '{"status":"completed"}'
    assert terminal.type("document", run.id, "--version", "2").code == 1


def test_the_reason_of_a_failure_is_shown_with_its_source(terminal: Terminal) -> None:
    async def failed(database: Database) -> runs.Run:
        measures = life.measures(failure_reason="No exhibits were found.", failure_source="logs")
        return await life.settled_run(database, result=life.result(states.FAILED, measures=measures))

    run = terminal.in_database(failed)
    assert "No exhibits were found. (from logs)" in terminal.type("show", run.id).out


@pytest.mark.parametrize("verb", ["show", "steps", "timeline", "document", "cancel", "refresh"])
def test_a_missing_run_is_named_in_one_line(terminal: Terminal, verb: str) -> None:
    screen = terminal.type(verb, "run_nowhere")
    assert (screen.code, screen.err) == (1, "runledger: there is no run with that id\n")


def test_what_is_no_id_is_wrong_usage(terminal: Terminal) -> None:
    screen = terminal.type("show", "../../etc")
    assert (screen.code, screen.err) == (2, "runledger: '../../etc' has not the form of an id\n")
