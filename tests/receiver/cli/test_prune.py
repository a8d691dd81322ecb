"""Removing the content of old runs from the terminal."""

from __future__ import annotations

import re

import pytest

from receiver import addresses, clock
from storage import deliveries, ids, jobs, migrations, runs, states, transitions
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk

BIG = life.result(steps=life.steps(40, "x" * 2000))


async def _fill(database: Database) -> list[runs.Run]:
    await database.write(migrations.upgrade)
    return [await life.settled_run(database, result=BIG, tags={"matter": str(each % 2)}) for each in range(6)]


@pytest.fixture
def settled(bare: Desk) -> list[runs.Run]:
    """Six runs that were settled in the story, three of each matter, in a database that was made here."""
    bare.folder.mkdir()
    return bare.behind(_fill)


def test_a_dry_run_tells_and_removes_nothing(bare: Desk, settled: list[runs.Run]) -> None:
    shown = bare.type("prune", "--settled-before", "0d", "--dry-run")
    assert shown.out.startswith(
        "6 runs with 240 steps, 6 documents, about 487 KB, settled from 2026-11-23 12:01:03Z"
    )
    told = bare.type("prune", "--settled-before", "0d", "--dry-run", "--json").object
    assert (told["dryRun"], told["runs"], told["steps"], told["fileBytesAfter"]) == (True, 6, 240, None)
    assert bare.type("show", settled[0].id, "--json").object["prunedAt"] is None


def test_pruning_removes_content_and_shrinks_the_file(bare: Desk, settled: list[runs.Run]) -> None:
    told = bare.type("prune", "--settled-before", "0d", "--yes", "--json").object
    assert (told["dryRun"], told["runs"], told["steps"], told["documents"]) == (False, 6, 240, 6)
    assert told["fileBytesAfter"] < told["fileBytesBefore"] / 2
    shown = bare.type("show", settled[0].id)
    assert re.search(r"^content +removed 20", shown.out, re.MULTILINE)
    assert "removed" in bare.type("runs").out
    gone = bare.type("document", settled[0].id)
    assert (gone.code, "was removed by `runledger prune`" in gone.err) == (1, True)
    assert bare.type("prune", "--settled-before", "0d", "--yes").out == "There is nothing to remove.\n"


def test_tags_and_agents_choose_what_goes(bare: Desk, settled: list[runs.Run]) -> None:
    chosen = ("--tag", "matter=1", "--agent", settled[0].agent_id or "")
    assert bare.type("prune", "--settled-before", "0d", "--yes", "--json", *chosen).object["runs"] == 3
    kept = [run for run in bare.type("runs", "--json").objects if run["prunedAt"] is None]
    assert [run["tags"] for run in kept] == [{"matter": "0"}] * 3


@pytest.mark.parametrize(("before", "count"), [("2026-11-23", 0), ("2026-11-23T12:02:00Z", 6), ("3650d", 0)])
def test_the_time_is_an_age_or_an_instant(bare: Desk, settled: list[runs.Run], before: str, count: int) -> None:
    assert bare.type("prune", "--settled-before", before, "--dry-run", "--json").object["runs"] == count


def test_a_run_with_a_job_is_told_and_stays(bare: Desk, settled: list[runs.Run]) -> None:
    wish = jobs.Wish(states.Kind.SETTLE, settled[0].id, clock.now())
    bare.behind(lambda database: database.write(jobs.wish, [wish]))
    shown = bare.type("prune", "--settled-before", "0d", "--dry-run")
    assert shown.out.startswith("5 runs")
    assert shown.out.endswith("1 more have open jobs and stay.\n")


def test_nobody_is_asked_where_nobody_is(bare: Desk, settled: list[runs.Run]) -> None:
    shown = bare.type("prune", "--settled-before", "0d", given="y\n")
    assert (shown.code, shown.out) == (2, "")
    assert "add --yes" in shown.err


@pytest.mark.parametrize("before", ["", "soon", "90", "90x"])
def test_what_is_no_time_is_wrong_usage(desk: Desk, before: str) -> None:
    shown = desk.type("prune", "--settled-before", before, "--yes")
    assert shown.code == 2
    assert shown.err.startswith("runledger: --settled-before: ")


def _forged(address: str) -> deliveries.Rejected:
    road, at, cause = states.Road.PLATFORM, life.NOW, "bad signature"
    return deliveries.Rejected(ids.new(at), road, at, {}, b"x" * 100, "0" * 64, 100, cause, address)


async def _came(database: Database) -> None:
    """Requests that belong to no run, from two addresses."""
    await database.write(migrations.upgrade)
    verified = life.event("run_elsewhere", remote_addr="203.0.113.7")
    await database.write(transitions.accept_delivery, verified)
    rows = [_forged("203.0.113.7"), _forged("203.0.113.8")]
    await database.write(transitions.reject, rows)


def test_requests_of_no_run_are_removed_by_age_and_address(bare: Desk) -> None:
    bare.folder.mkdir()
    bare.behind(_came)
    asked = ("prune", "--rejected", "--before", "0d")
    assert bare.type(*asked, "--dry-run").out.startswith(
        "2 requests that did not verify and 1 verified ones of no run"
    )
    told = bare.type(*asked, "--address", "::ffff:203.0.113.7", "--yes", "--json").object
    assert (told["dryRun"], told["rejected"], told["unlinked"]) == (False, 1, 1)
    assert bare.type(*asked, "--yes").out.startswith(
        "1 requests that did not verify are deleted, and the content of 0"
    )
    assert bare.type(*asked, "--yes").out == "There is nothing to remove.\n"


async def _came_from_a_zone(database: Database) -> None:
    await database.write(migrations.upgrade)
    address = addresses.client_address("fe80::1%eth0", None, ())
    await database.write(transitions.reject, [_forged(address or "")])


def test_an_address_is_found_with_the_zone_that_deliveries_are_kept_without(bare: Desk) -> None:
    bare.folder.mkdir()
    bare.behind(_came_from_a_zone)
    asked = ("prune", "--rejected", "--before", "0d", "--address", "fe80::1%eth0", "--yes", "--json")
    assert bare.type(*asked).object["rejected"] == 1


@pytest.mark.parametrize(
    "options",
    [
        [], ["--rejected"], ["--before", "1d"], ["--settled-before", "1d", "--address", "203.0.113.7"],
        ["--rejected", "--before", "1d", "--settled-before", "1d"],
        ["--rejected", "--before", "1d", "--address", "somewhere"],
        ["--rejected", "--before", "1d", "--agent", "a"],
    ],
)  # fmt: skip
def test_what_is_to_go_is_named_whole(bare: Desk, options: list[str]) -> None:
    shown = bare.type("prune", *options, "--yes")
    assert (shown.code, shown.err.startswith("runledger: ")) == (2, True)
