"""Removing the content of old runs from the terminal."""

from __future__ import annotations

import re

import pytest

from receiver import client_address, clock
from storage import ids, states
from storage.engine.database import Database
from storage.migrations import schema_version
from storage.repositories import deliveries, jobs, runs
from storage.transitions import receiving
from tests import life
from tests.receiver.cli.terminal import Terminal

BIG = life.result(steps=life.steps(40, "x" * 2000))


async def _fill(database: Database) -> list[runs.Run]:
    await database.write(schema_version.upgrade)
    return [await life.settled_run(database, result=BIG, tags={"matter": str(each % 2)}) for each in range(6)]


@pytest.fixture
def settled(new_terminal: Terminal) -> list[runs.Run]:
    """Settle six runs, three of each matter, in a database that was made here."""
    new_terminal.folder.mkdir()
    return new_terminal.in_database(_fill)


def test_a_dry_run_reports_and_removes_nothing(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    shown = new_terminal.type("prune", "--settled-before", "0d", "--dry-run")
    assert shown.out.startswith(
        "6 runs with 240 steps, 6 documents, about 487 KB, settled from 2026-11-23 12:01:03Z"
    )
    output = new_terminal.type("prune", "--settled-before", "0d", "--dry-run", "--json").object
    assert (output["dryRun"], output["runs"], output["steps"], output["fileBytesAfter"]) == (True, 6, 240, None)
    assert new_terminal.type("show", settled[0].id, "--json").object["prunedAt"] is None


def test_pruning_removes_content_and_shrinks_the_file(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    output = new_terminal.type("prune", "--settled-before", "0d", "--yes", "--json").object
    assert (output["dryRun"], output["runs"], output["steps"], output["documents"]) == (False, 6, 240, 6)
    assert output["fileBytesAfter"] < output["fileBytesBefore"] / 2
    shown = new_terminal.type("show", settled[0].id)
    assert re.search(r"^content +removed 20", shown.out, re.MULTILINE)
    assert "removed" in new_terminal.type("runs").out
    gone = new_terminal.type("document", settled[0].id)
    assert (gone.code, "was removed" in gone.err) == (1, True)
    assert new_terminal.type("prune", "--settled-before", "0d", "--yes").out == "There is nothing to remove.\n"


def test_tags_and_agents_choose_what_goes(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    chosen = ("--tag", "matter=1", "--agent", settled[0].agent_id or "")
    assert new_terminal.type("prune", "--settled-before", "0d", "--yes", "--json", *chosen).object["runs"] == 3
    kept = [run for run in new_terminal.type("runs", "--json").objects if run["prunedAt"] is None]
    assert [run["tags"] for run in kept] == [{"matter": "0"}] * 3


@pytest.mark.parametrize(("before", "count"), [("2026-11-23", 0), ("2026-11-23T12:02:00Z", 6), ("3650d", 0)])
def test_the_time_is_an_age_or_an_instant(
    new_terminal: Terminal, settled: list[runs.Run], before: str, count: int
) -> None:
    assert new_terminal.type("prune", "--settled-before", before, "--dry-run", "--json").object["runs"] == count


def test_a_run_with_a_job_is_counted_and_stays(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    request = jobs.JobRequest(states.Kind.SETTLE, settled[0].id, clock.now())
    new_terminal.in_database(lambda database: database.write(jobs.enqueue, [request]))
    shown = new_terminal.type("prune", "--settled-before", "0d", "--dry-run")
    assert shown.out.startswith("5 runs")
    assert shown.out.endswith("1 run has open jobs and will stay.\n")


def test_nobody_is_asked_where_nobody_is(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    shown = new_terminal.type("prune", "--settled-before", "0d", given="y\n")
    assert (shown.code, shown.out) == (2, "")
    assert "add --yes" in shown.err


@pytest.mark.parametrize("before", ["", "soon", "90", "90x"])
def test_what_is_no_time_is_wrong_usage(terminal: Terminal, before: str) -> None:
    shown = terminal.type("prune", "--settled-before", before, "--yes")
    assert shown.code == 2
    assert shown.err.startswith("runledger: --settled-before: ")


def _forged(address: str) -> deliveries.RejectedRequest:
    source, at, cause = states.Source.PLATFORM, life.NOW, "bad signature"
    return deliveries.RejectedRequest(ids.new(at), source, at, {}, b"x" * 100, "0" * 64, 100, cause, address)


async def _came(database: Database) -> None:
    """Record requests that belong to no run, from two addresses."""
    await database.write(schema_version.upgrade)
    verified = life.event("run_elsewhere", remote_addr="203.0.113.7")
    await database.write(receiving.accept_delivery, verified)
    rows = [_forged("203.0.113.7"), _forged("203.0.113.8")]
    await database.write(receiving.store_rejected, rows)


def test_requests_of_no_run_are_removed_by_age_and_address(new_terminal: Terminal) -> None:
    new_terminal.folder.mkdir()
    new_terminal.in_database(_came)
    asked = ("prune", "--rejected", "--before", "0d")
    assert new_terminal.type(*asked, "--dry-run").out.startswith(
        "2 requests that did not verify and 1 verified ones of no run"
    )
    output = new_terminal.type(*asked, "--address", "::ffff:203.0.113.7", "--yes", "--json").object
    assert (output["dryRun"], output["rejected"], output["unlinked"]) == (False, 1, 1)
    assert new_terminal.type(*asked, "--yes").out.startswith(
        "1 requests that did not verify are deleted, and the content of 0"
    )
    assert new_terminal.type(*asked, "--yes").out == "There is nothing to remove.\n"


async def _came_from_a_zone(database: Database) -> None:
    await database.write(schema_version.upgrade)
    address = client_address.behind_proxies("fe80::1%eth0", None, ())
    await database.write(receiving.store_rejected, [_forged(address or "")])


def test_an_address_is_found_with_the_zone_that_deliveries_are_kept_without(new_terminal: Terminal) -> None:
    new_terminal.folder.mkdir()
    new_terminal.in_database(_came_from_a_zone)
    asked = ("prune", "--rejected", "--before", "0d", "--address", "fe80::1%eth0", "--yes", "--json")
    assert new_terminal.type(*asked).object["rejected"] == 1


@pytest.mark.parametrize(
    "options",
    [
        [], ["--rejected"], ["--before", "1d"], ["--settled-before", "1d", "--address", "203.0.113.7"],
        ["--rejected", "--before", "1d", "--settled-before", "1d"],
        ["--rejected", "--before", "1d", "--address", "somewhere"],
        ["--rejected", "--before", "1d", "--agent", "a"],
    ],
)  # fmt: skip
def test_options_must_name_what_is_removed(new_terminal: Terminal, options: list[str]) -> None:
    shown = new_terminal.type("prune", *options, "--yes")
    assert (shown.code, shown.err.startswith("runledger: ")) == (2, True)
