"""The context of the doctor's checks, which has the settings; their findings, and how these are shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from receiver import environment, settings, signing_keys
from receiver.cli.render import format as render_format
from receiver.cli.render import table, terminal
from storage.engine import urls


class Level(StrEnum):
    """The severity of a finding: a warning may need attention, a fault prevents some work."""

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
    """Return a finding that is ok."""
    return Finding(name, Level.OK, message)


def warning(name: str, message: str, advice: str = "", setting: str = "") -> Finding:
    """Return a finding that may need attention."""
    return Finding(name, Level.WARNING, message, advice, setting)


def fault(name: str, message: str, advice: str) -> Finding:
    """Return a finding that prevents some work."""
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


@dataclass(frozen=True)
class CheckContext:
    """The context of all checks.

    `given` are the settings, with defaults in place of invalid ones. `defaulted` are these defaults by name, and
    `errors` say what is invalid. `unknown` are variables with our prefix that are no setting, each with the
    nearest setting; `links` are those that Kubernetes adds. `timeout` is for one exchange, in seconds.
    """

    given: settings.Settings
    defaulted: Mapping[str, Any]
    errors: Sequence[str]
    unknown: Mapping[str, str | None]
    timeout: float
    links: Sequence[str] = ()

    def lacks(self, *fields: str) -> bool:
        """Return whether any of these settings is invalid, so that its default must not be used."""
        return any(each in self.defaulted for each in fields)

    @property
    def file(self) -> str | None:
        """Return the path of the embedded database, None for a database server."""
        return urls.file_path(self.given.url)

    @property
    def folders(self) -> list[Path]:
        """Return the data folder and the folder of the database file; none for a database server."""
        if self.file is None:
            return []
        found = [self.given.data_dir, Path(self.file).parent]
        return list(dict.fromkeys(each.absolute() for each in found))

    @property
    def is_new(self) -> bool:
        """Return whether the database file does not exist yet."""
        return self.file is not None and not Path(self.file).exists()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the signing keys; none where they are not made yet."""
        return signing_keys.of_addresses(self.given) if signing_keys.has_keys_of_addresses(self.given) else ()


Check = Callable[[CheckContext], AsyncIterator[Finding]]


def read(timeout: float) -> CheckContext:
    """Read the settings from the environment and .env."""
    given, defaulted, wrong = settings.load_with_defaults()
    return CheckContext(given, defaulted, wrong, settings.unknown_names(), timeout, environment.service_links())
