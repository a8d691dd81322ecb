"""What a benchmark shows: figures with their spread, counts, and the conditions in which they were measured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Self

from tests import postgres

ROOT = Path(__file__).parent.parent.parent
_PACKAGES = ("sqlalchemy", "starlette", "uvicorn", "uvloop", "fastapi", "sqlmodel")


@dataclass(frozen=True)
class Figure:
    """A median with the least and the greatest of its samples."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Self:
        return cls(statistics.median(samples), min(samples), max(samples))

    def __str__(self) -> str:
        spread = "" if self.least == self.most else f" ({_plain(self.least)} to {_plain(self.most)})"
        return f"{_plain(self.median)}{spread}"


#: The figures of one server or question, by column; the unit is part of a column's name.
Row = Mapping[str, Figure]


def ratio(rows: Mapping[str, Row], ours: str, other: str, column: str) -> str:
    """Return a sentence with the ratio of two medians."""
    return f"{ours} is {rows[ours][column].median / rows[other][column].median:.2f} times {other} in {column}"


def _plain(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


@dataclass(frozen=True)
class Part:
    """One subject: a table of figures, sentences about it, and whether what was acknowledged is stored."""

    title: str
    rows: Mapping[str, Row]
    notes: Sequence[str] = ()
    accepted: int = 0
    stored: int = 0
    others: int = 0

    @property
    def is_whole(self) -> bool:
        """Return whether each request that was answered 2xx was found in the database, and no other."""
        return self.accepted == self.stored

    @property
    def _counts(self) -> str:
        return (
            f"{self.accepted:,} answered 2xx, {self.stored:,} found in the database, {self.others:,} other answers"
        )

    def _lines(self) -> list[str]:
        return [*self.notes, self._counts] if self.accepted or self.others else [*self.notes]

    def _cells(self) -> list[list[str]]:
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        body = [[name, *(str(row.get(each, "")) for each in columns)] for name, row in self.rows.items()]
        return [["", *columns], *body]

    def text(self) -> str:
        """Return it for a terminal."""
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join(["", self.title, *table, *self._lines()])

    def markdown(self) -> str:
        """Return it for a document."""
        head, *body = [f"| {' | '.join(row)} |" for row in self._cells()]
        rule = "|" + "---|" * len(self._cells()[0])
        lines = [f"- {each}" for each in self._lines()]
        return "\n".join([f"### {self.title}", "", head, rule, *body, "", *lines, ""])


@dataclass
class Report:
    """The parts of one command, and the conditions at its start."""

    command: str
    database: str = "sqlite"
    parts: list[Part] = field(default_factory=list)
    load_before: tuple[float, float, float] = field(default_factory=os.getloadavg)

    @property
    def conditions(self) -> dict[str, str]:
        """Return what a reader needs to compare the figures with others."""
        versions = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
        if self.database == "postgresql":
            versions["PostgreSQL"] = _output(str(postgres.TOOLS / "postgres"), "--version").split()[-1]
        versions |= {name: metadata.version(name) for name in _PACKAGES}
        return {
            "commit": _output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
            "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "machine": _machine(),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "durability": _durability(self.database),
            "load average": f"{_spelled(self.load_before)} before, {_spelled(os.getloadavg())} after",
        }

    def write(self, args: argparse.Namespace) -> None:
        """Print the report as JSON where that is asked for, and append it to a document."""
        conditions = self.conditions
        if getattr(args, "json", False):
            parts = [{**dataclasses.asdict(part), "is_whole": part.is_whole} for part in self.parts]
            print(json.dumps({"command": self.command, **conditions, "parts": parts}))
        if args.report:
            lines = [f"- {name}: {value}" for name, value in conditions.items()]
            section = "\n".join([f"## {self.command}", "", *lines, "", *(part.markdown() for part in self.parts)])
            with args.report.open("a") as file:
                file.write(section + "\n")


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the document."""
    parser.add_argument("--report", type=Path, metavar="FILE", help="append a section to this Markdown file")


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _machine() -> str:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:")) / (1 << 20)
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    model = next(iter(models), platform.machine())
    return f"{os.cpu_count()} cores ({model}), {total:.0f} GiB, {platform.system()} {platform.release()}"


def _durability(database: str) -> str:
    kept = "fsync and synchronous_commit on" if database == "postgresql" else "WAL, synchronous=FULL"
    kind = _output("stat", "-f", "-c", "%T", tempfile.gettempdir())
    return f"{database}: {kept}; files on {kind}, where a write with fsync takes {Figure.of(_flushes())} ms"


def _flushes(count: int = 50) -> list[float]:
    """Return the milliseconds of writes of one page that are each flushed to the disk."""
    took = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return took


def _spelled(averages: Sequence[float]) -> str:
    return " ".join(f"{each:.1f}" for each in averages)
