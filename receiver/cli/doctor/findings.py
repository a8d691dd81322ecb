"""What a look at one thing comes to, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.table import Table
from rich.text import Text

from receiver.cli import figures, tables


class Level(StrEnum):
    """How it is: a warning is worth a look, with a fault the house does not do its work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about one thing; `advice` says what to do. `setting` is a line for .env that follows from it."""

    name: str
    level: Level
    said: str
    advice: str = ""
    setting: str = ""


def ok(name: str, said: str) -> Finding:
    """As it should be."""
    return Finding(name, Level.OK, said)


def warning(name: str, said: str, advice: str = "", setting: str = "") -> Finding:
    """Worth a look."""
    return Finding(name, Level.WARNING, said, advice, setting)


def fault(name: str, said: str, advice: str) -> Finding:
    """Work is not done."""
    return Finding(name, Level.FAULT, said, advice)


def is_faulty(found: Sequence[Finding]) -> bool:
    """Whether any of them is a fault."""
    return any(each.level is Level.FAULT for each in found)


def show(found: Sequence[Finding], *, as_json: bool) -> None:
    """For programs one object a line; for people a table that fits."""
    if as_json:
        for each in found:
            print(json.dumps(_object(each), ensure_ascii=False))
    else:
        tables.console().print(_table(found))


def show_sum(found: Sequence[Finding]) -> None:
    """The last line for people."""
    counts = {level: sum(each.level is level for each in found) for level in Level}
    faults = counted(counts[Level.FAULT], "fault")
    warnings = counted(counts[Level.WARNING], "warning")
    print(f"\n{len(found)} looked at: {faults}, {warnings}.")


def show_settings(found: Sequence[Finding]) -> None:
    """The lines for .env that follow."""
    lines = list(dict.fromkeys(each.setting for each in found if each.setting))
    print("\nSettings that follow:" if lines else "\nNo setting has to change.")
    for line in lines:
        print(f"  {line}")


def counted(number: int, noun: str) -> str:
    """A number and what it counts: no events, 1 event, 2 events."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _object(each: Finding) -> dict[str, str]:
    known = {"name": each.name, "level": each.level.value, "said": each.said, "advice": each.advice}
    return known | ({"setting": each.setting} if each.setting else {})


def _table(found: Sequence[Finding]) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for each in found:
        said = Text(figures.safe(each.said))
        if each.advice:
            said.append(f"\n→ {figures.safe(each.advice)}", "" if each.level is Level.FAULT else "dim")
        made.add_row(tables.state(each.level), each.name, said)
    return made
