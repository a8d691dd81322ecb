"""Output to a terminal: no colours where none belong, no control sequences, no line that is too long."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from receiver import clock
from receiver.web import authentication
from storage import merkle, states
from storage.engine.database import Database
from storage.ledger import entries
from storage.repositories import jobs, runs, system_state
from storage.transitions import api_key_changes, receiving
from tests import life
from tests.receiver.cli.terminal import ROOT, Terminal

#: A window's title, a cursor, colours in both spellings, a new line, and the end of a direction.
HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31mred\r\nnext\u202egnp.exe\u2066\u200f\x00"
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def run(terminal: Terminal) -> runs.Run:
    """Store a run with hostile text in every foreign value; and jobs, deliveries, keys like it."""
    return terminal.in_database(_fill)


async def _fill(database: Database) -> runs.Run:
    text = HOSTILE.replace("\x00", "")
    steps = [replace(each, type=text, content=text, tool_name=text) for each in life.steps(3)]
    measures = life.measures(output=text, summary=text, failure_reason=text, failure_source=text, model=text)
    ended = life.result(states.FAILED, measures=measures, steps=steps)
    fields: dict[str, Any] = {
        "prompt": text,
        "guidance": text,
        "agent_id": text,
        "tags": {"k": text},
        "submitted_by": text,
    }
    run = await life.settled_run(database, result=ended, **fields)
    headers = merkle.encode({"x": text})
    event = life.event("run_unknown", event_type=text, body=HOSTILE.encode(), headers=headers, reason=text)
    await database.write(receiving.accept_delivery, event)
    again = msgspec.structs.replace(event, id=f"{event.id[:-4]}0000", run_id=run.id)
    await database.write(receiving.accept_delivery, again)
    await database.write(
        api_key_changes.create_key, replace(authentication.mint("ci", ("read",), clock.now())[0], name=text)
    )
    other = await life.accepted(database)
    start = await life.claimed(database, states.Kind.START, other.id)
    await database.write(jobs.fail, start, life.at(9), error=text, now=life.at(8))
    await database.write(system_state.pause, life.at(9), text, life.at(8))
    await database.write(entries.number, 1000)
    return run


def _commands(run: runs.Run) -> list[list[str]]:
    """Return every command that shows what is stored."""
    plain = ("runs", "stats", "stats --by model", "stats --by agent", "stats --by day", "deliveries", "jobs")
    rest = ("jobs --by cause", "keys list", f"show {run.id}", f"steps {run.id}", f"timeline {run.id}", "sweep")
    return [each.split() for each in (*plain, *rest, f"cancel {run.id}", "prune --settled-before 0d --dry-run")]


def test_no_command_lets_others_steer_the_terminal(terminal: Terminal, run: runs.Run) -> None:
    deliveries = [["deliveries", each["id"]] for each in terminal.type("deliveries", "--json").objects]
    for words in (*_commands(run), *deliveries):
        for width in (80, 400):
            shown = terminal.type(*words, width=width)
            assert shown.code == 0, (words, shown.err)
            assert not STEERING.findall(shown.out + shown.err), words


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_table_fits(terminal: Terminal, run: runs.Run, width: int) -> None:
    for words in _commands(run)[:10]:
        long = [line for line in terminal.type(*words, width=width).out.splitlines() if len(line) > width]
        assert not long, words


def test_a_pipe_gets_no_colours_even_where_they_are_forced(
    terminal: Terminal, run: runs.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for words in _commands(run):
        assert "\x1b" not in terminal.type(*words).out, words


#: Several commands in one process, whose start is what takes time.
SEVERAL = """
import sys
from receiver.cli import main
for words in sys.argv[1].split(";"):
    main.app(words.split(), prog_name="runledger", standalone_mode=False)
"""


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_no_color_is_set(
    terminal: Terminal, run: runs.Run, environment: dict[str, str], coloured: bool
) -> None:
    shown = _on_a_terminal(";".join(" ".join(words) for words in _commands(run)), terminal, environment)
    assert shown.count(b"\n") > 60
    assert (b"\x1b[31m" in shown) is coloured
    assert (b"\x1b" in shown) is coloured


def _on_a_terminal(commands: str, terminal: Terminal, environment: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    kept |= {"TERM": "xterm-256color", "RUNLEDGER_DATA_DIR": str(terminal.folder), "PYTHONPATH": str(ROOT)}
    typed = [sys.executable, "-c", SEVERAL, commands]
    with subprocess.Popen(typed, env=kept | environment, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b""))
        assert running.wait(60) == 0, shown
    os.close(ours)
    return shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_stats_have_bars(terminal: Terminal) -> None:
    terminal.in_database(_three)
    shown = terminal.type("stats", width=80).out.splitlines()
    assert [line.count("█") for line in shown[2:]] == [16, 8]


async def _three(database: Database) -> None:
    await life.settled_run(database)
    for _ in range(2):
        await life.accepted(database)


@pytest.mark.parametrize(
    ("typed", "known"), [("runs --status com", "completed"), ("stats --by d", "day"), ("pru", "prune")]
)
def test_the_shell_completes_commands_and_their_words(typed: str, known: str) -> None:
    words = f"runledger {typed}"
    asked = {"_RUNLEDGER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    found = subprocess.run(
        [sys.executable, "-c", "from receiver.cli import main; main.main()"],
        env=os.environ | asked, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert known in found.stdout.split()
