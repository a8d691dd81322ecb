"""How `runledger sandbox --list-faults` shows the switches, to people and to programs."""

from __future__ import annotations

import json

import pytest

from receiver.cli.commands import sandbox
from receiver.sandbox import faults, rules


def test_every_switch_action_and_route_is_listed_in_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is cut off, and nothing runs over."""
    monkeypatch.setenv("COLUMNS", "80")
    sandbox.show_faults(as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = {word.strip(",") for line in lines for word in line.split()}
    assert words >= {*faults.FIELDS, *(action.form for action in rules.ACTIONS.values()), *rules.ROUTES}


def test_programs_get_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    """An object a line: switches, then actions, then routes."""
    sandbox.show_faults(as_json=True)
    output = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["switch"] for line in output if "switch" in line] == list(faults.FIELDS)
    assert [line["action"] for line in output if "action" in line] == [
        each.form for each in rules.ACTIONS.values()
    ]
    assert [line["route"] for line in output if "route" in line] == list(rules.ROUTES)
