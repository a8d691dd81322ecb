"""Legal holds by command."""

from __future__ import annotations

import pytest

from tests.receiver.cli.terminal import Terminal


def test_a_hold_is_placed_listed_and_released(terminal: Terminal) -> None:
    asked = ("hold", "place", "--reason", "Litigation 7", "--json")
    placed = terminal.type(*asked, "--tag", "matter=7").object
    assert (placed["scope"], placed["target"], placed["placedBy"]) == ("tag", "matter=7", "operator")
    assert terminal.type("hold", "list", "--json").objects == [placed]
    assert "Litigation 7" in terminal.type("hold", "list").out
    assert terminal.type("hold", "release", placed["id"]).out == f"The hold {placed['id']} is released.\n"
    assert terminal.type("hold", "list").out.startswith("No holds")
    assert len(terminal.type("hold", "list", "--released", "--json").objects) == 1
    assert terminal.type(*asked, "--query", "status:failed").object["scope"] == "question"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2), (["--tag", "a=b", "--query", "x"], 2), (["--tag", "ab"], 2),
        (["--query", "statuz:x"], 2), (["--run", "run_none"], 1),
    ],
)  # fmt: skip
def test_a_hold_that_cannot_be_is_refused(terminal: Terminal, words: list[str], code: int) -> None:
    shown = terminal.type("hold", "place", "--reason", "Litigation 7", *words)
    assert (shown.code, shown.err.startswith("runledger: ")) == (code, True)
