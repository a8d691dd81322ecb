"""One run, seen from all sides."""

from __future__ import annotations

import pytest

from storage import runs, states
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk


async def settled(database: Database) -> runs.Run:
    """A run that completed."""
    return await life.settled_run(database, upstream_id="run_up", prompt="Read the lease.", tags={"matter": "42"})


def test_a_run_is_shown_whole_under_either_id(desk: Desk) -> None:
    run = desk.behind(settled)
    ours, theirs = desk.type("show", run.id), desk.type("show", "run_up")
    assert ours.out == theirs.out
    told = (
        run.id,
        "run_up",
        "completed",
        "matter=42",
        "1m 00s",
        "$0.0030",
        "Read the lease.",
        "The lease is void.",
    )
    assert [each for each in told if each not in ours.out] == []


def test_programs_are_given_the_apis_own_object(desk: Desk) -> None:
    run = desk.behind(settled)
    shown = desk.type("show", run.id, "--json").object
    assert (shown["upstreamId"], shown["costMicros"], shown["output"]) == ("run_up", 3000, "The lease is void.")


def test_the_trace_is_listed_to_its_end(desk: Desk) -> None:
    run = desk.behind(settled)
    assert [step["position"] for step in desk.type("steps", run.id, "--json").objects] == [0, 1, 2]
    assert len(desk.type("steps", run.id, "--limit", "2", "--json").objects) == 2
    assert "Read the lease." in desk.type("steps", run.id).out


def test_the_timeline_tells_the_story_in_order(desk: Desk) -> None:
    run = desk.behind(settled)
    kinds = [entry["kind"] for entry in desk.type("timeline", run.id, "--json").objects]
    assert kinds == ["run.accepted", "run.created", "run.started", "run.completed"]
    assert "run.completed" in desk.type("timeline", run.id, width=80).out


def test_the_document_comes_byte_for_byte(desk: Desk) -> None:
    run = desk.behind(settled)
    assert desk.type("document", run.id).out == '{"status":"completed"}'
    assert desk.type("document", run.id, "--version", "2").code == 1


def test_why_a_run_failed_is_said_with_its_source(desk: Desk) -> None:
    async def failed(database: Database) -> runs.Run:
        measures = life.measures(failure_reason="No exhibits were found.", failure_source="logs")
        return await life.settled_run(database, result=life.result(states.FAILED, measures=measures))

    run = desk.behind(failed)
    assert "No exhibits were found. (from logs)" in desk.type("show", run.id).out


@pytest.mark.parametrize("verb", ["show", "steps", "timeline", "document", "cancel", "refresh"])
def test_a_run_that_is_not_there_is_said_in_a_line(desk: Desk, verb: str) -> None:
    screen = desk.type(verb, "run_nowhere")
    assert (screen.code, screen.err) == (1, "runledger: there is no run of that id\n")


def test_what_is_no_id_is_wrong_usage(desk: Desk) -> None:
    screen = desk.type("show", "../../etc")
    assert (screen.code, screen.err) == (2, "runledger: '../../etc' has not the form of an id\n")
