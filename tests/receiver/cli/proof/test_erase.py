"""Erasing by command."""

from __future__ import annotations

import pytest

from storage.engine.database import Database
from storage.migrations import schema_version
from storage.repositories import runs
from tests import life
from tests.receiver.cli.terminal import Terminal

WORD = "unmistakable"
ASKED = ("erase", "--reason", "Request 7")


async def _fill(database: Database) -> list[runs.Run]:
    await database.write(schema_version.upgrade)
    made = [await life.settled_run(database, prompt=f"{WORD} {each}", tags={"n": str(each)}) for each in range(3)]
    await life.indexed(database)
    return made


@pytest.fixture
def settled(new_terminal: Terminal) -> list[runs.Run]:
    new_terminal.folder.mkdir()
    return new_terminal.in_database(_fill)


def test_a_dry_run_names_what_would_go_and_what_it_cannot_reach(
    new_terminal: Terminal, settled: list[runs.Run]
) -> None:
    shown = new_terminal.type(*ASKED, settled[0].id, "--dry-run")
    assert shown.out.startswith("1 run with 3 steps, 1 document")
    assert "does not reach: exports" in shown.err
    output = new_terminal.type(*ASKED, "--query", WORD, "--dry-run", "--json").object
    assert (output["dryRun"], output["runs"], output["refused"]) == (True, 3, [])
    assert "objectIds" in output["fields"]
    assert "tags" not in output["fields"]


def test_nothing_of_erased_runs_is_left_in_the_files(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    one = new_terminal.type(*ASKED, str(settled[0].upstream_id), "--fields", "all", "--yes", "--json").object
    assert (one["runs"], one["isOverwritten"], "tags" in one["fields"]) == (1, True, True)
    assert new_terminal.type(*ASKED, "--query", WORD, "--yes").out.startswith("The content of 2 runs is removed")
    held = b"".join(path.read_bytes() for path in new_terminal.folder.iterdir() if path.is_file())
    assert WORD.encode() not in held
    assert new_terminal.type(*ASKED, settled[0].id, "--yes").out == "There is nothing to remove.\n"


def test_a_run_under_a_hold_is_refused_and_the_others_go(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    new_terminal.type("hold", "place", "--tag", "n=1", "--reason", "Litigation 7")
    shown = new_terminal.type(*ASKED, *(each.id for each in settled), "--yes")
    assert (shown.code, shown.out.startswith("The content of 2 runs")) == (1, True)
    assert f"run {settled[1].id} is under the hold" in shown.err
    assert new_terminal.type(*ASKED, "--query", "n:1", "--yes").code == 2
    assert new_terminal.type(*ASKED, "--query", "tag.n:1", "--yes").code == 0
    assert new_terminal.type("show", settled[1].id, "--json").object["prompt"] == settled[1].prompt


@pytest.mark.parametrize("words", [[], ["run_1", "--query", "x"], ["run_1", "--fields", "steps"]])
def test_what_is_to_go_is_named_whole(terminal: Terminal, words: list[str]) -> None:
    assert terminal.type(*ASKED, *words, "--yes").code == 2


def test_nobody_is_asked_where_nobody_is(new_terminal: Terminal, settled: list[runs.Run]) -> None:
    assert new_terminal.type(*ASKED, settled[0].id, given="y\n").code == 2
