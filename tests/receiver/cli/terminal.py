"""A terminal: commands run in this process or in one of their own, and the database that they work on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner

from receiver.cli import main
from storage.engine.database import Database

T = TypeVar("T")
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Screen:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return the lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """Return the one line of `--json`."""
        (only,) = self.objects
        return only


@dataclass(frozen=True, slots=True)
class Terminal:
    """A data folder that the environment names, so that every command finds it."""

    folder: Path

    @property
    def url(self) -> str:
        """Return the database's address."""
        return f"sqlite:///{self.folder / 'runledger.db'}"

    def type(self, *words: str, given: str | bytes | None = None, width: int = 120) -> Screen:
        """Run a command in this process. Raise an error that is a bug."""
        shown = CliRunner().invoke(
            main.app, list(words), input=given, env={"COLUMNS": str(width)}, prog_name="runledger"
        )
        if shown.exception is not None and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        return Screen(shown.exit_code, shown.stdout, shown.stderr)

    def in_database(self, function: Callable[[Database], Awaitable[T]]) -> T:
        """Call an asynchronous function with the database, and return its result."""

        async def called() -> T:
            async with Database(self.url) as database:
                return await function(database)

        return asyncio.run(called())


def process(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with no setting in its environment but the data folder."""
    with started(*words, folder=folder, **environment) as under_way:
        out, err = under_way.communicate(timeout=120)
    return subprocess.CompletedProcess(words, under_way.returncode, out, err)


def started(*words: str, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    ours = ("RUNLEDGER_", "CASEDEV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "receiver", *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), "RUNLEDGER_DATA_DIR": str(folder / "data"), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
