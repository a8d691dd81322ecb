"""The findings of checks, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.table import Table
from rich.text import Text

from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal


class Level(StrEnum):
    """How serious a finding is: a warning is worth a look, with a fault some work is not done."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about one subject; `advice` says what to do, `setting` is a line for .env that follows."""

    name: str
    level: Level
    message: str
    advice: str = ""
    setting: str = ""


def ok(name: str, message: str) -> Finding:
    """Return a finding of what is right."""
    return Finding(name, Level.OK, message)


def warning(name: str, message: str, advice: str = "", setting: str = "") -> Finding:
    """Return a finding that is worth a look."""
    return Finding(name, Level.WARNING, message, advice, setting)


def fault(name: str, message: str, advice: str) -> Finding:
    """Return a finding by which some work is not done."""
    return Finding(name, Level.FAULT, message, advice)


def is_faulty(found: Sequence[Finding]) -> bool:
    """Return whether any finding is a fault."""
    return any(each.level is Level.FAULT for each in found)


def show(found: Sequence[Finding], *, as_json: bool) -> None:
    """Print findings: an object a line for programs, a table for people."""
    if as_json:
        for each in found:
            print(json.dumps(_object(each), ensure_ascii=False))
    else:
        terminal.console().print(_table(found))


def show_counts(found: Sequence[Finding]) -> None:
    """Print the last line for people."""
    counts = {level: sum(each.level is level for each in found) for level in Level}
    faults = counted(counts[Level.FAULT], "fault")
    warnings = counted(counts[Level.WARNING], "warning")
    print(f"\n{len(found)} checked: {faults}, {warnings}.")


def show_settings(found: Sequence[Finding]) -> None:
    """Print the lines for .env that follow."""
    lines = list(dict.fromkeys(each.setting for each in found if each.setting))
    print("\nSettings that follow:" if lines else "\nNo setting has to change.")
    for line in lines:
        print(f"  {line}")


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: no events, 1 event, 2 events."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _object(each: Finding) -> dict[str, str]:
    known = {"name": each.name, "level": each.level.value, "said": each.message, "advice": each.advice}
    return known | ({"setting": each.setting} if each.setting else {})


def _table(found: Sequence[Finding]) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for each in found:
        message = Text(render_format.safe(each.message))
        if each.advice:
            message.append(f"\n→ {render_format.safe(each.advice)}", "" if each.level is Level.FAULT else "dim")
        made.add_row(table.state(each.level), each.name, message)
    return made
