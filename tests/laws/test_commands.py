"""Rules for every command, present and future."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from receiver.cli import main
from tests.laws import documents

COMMANDS = dict(documents.commands())
#: What it prints is the upstream's JSON, byte for byte.
WITHOUT_JSON = {"document"}


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_names_it(name: str) -> None:
    _, _, examples = (COMMANDS[name].help or "").partition("Example")
    assert f"runledger {name}" in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_print_json(name: str) -> None:
    assert ("--json" in _options(COMMANDS[name])) is (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_use_options_that_there_are(name: str) -> None:
    _, _, examples = (COMMANDS[name].help or "").partition("Example")
    mine = [line for line in examples.splitlines() if re.match(rf"\s*runledger {name}( [^a-z]|$)", line)]
    used = {word for line in mine for word in re.findall(r"(?<=\s)--[a-z-]+", line.partition("|")[0])}
    assert used <= _options(COMMANDS[name])


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_list_of_commands_has_the_first_line_of_each_help_text(name: str) -> None:
    first = (main.load(name).help or "").partition("\n")[0]
    assert first.startswith(main.COMMANDS[name].summary)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_80_columns_without_colours(name: str) -> None:
    shown = CliRunner().invoke(main.app, [*name.split(), "--help"], env={"COLUMNS": "80"}, color=True)
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert "\x1b" not in shown.output
