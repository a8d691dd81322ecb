"""Who sits at the terminal: types commands in this process, and looks at the database behind them."""

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

from receiver import cli
from storage.database import Database

T = TypeVar("T")
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Screen:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The one line of `--json`."""
        (only,) = self.objects
        return only


@dataclass(frozen=True, slots=True)
class Desk:
    """One data folder. The environment names it, so that every command finds it."""

    folder: Path

    @property
    def url(self) -> str:
        """The database's address."""
        return f"sqlite:///{self.folder / 'runledger.db'}"

    def type(self, *words: str, given: str | bytes | None = None, width: int = 120) -> Screen:
        """Runs a command here. An error that is nobody's mistake comes out."""
        shown = CliRunner().invoke(
            cli.app, list(words), input=given, env={"COLUMNS": str(width)}, prog_name="runledger"
        )
        if shown.exception is not None and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        return Screen(shown.exit_code, shown.stdout, shown.stderr)

    def behind(self, story: Callable[[Database], Awaitable[T]]) -> T:
        """Lets something happen in the database, or looks at it."""

        async def played() -> T:
            async with Database(self.url) as database:
                return await story(database)

        return asyncio.run(played())


def process(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The same in a process of its own, with nothing of ours in its environment but the data folder."""
    with started(*words, folder=folder, **environment) as under_way:
        out, err = under_way.communicate(timeout=120)
    return subprocess.CompletedProcess(words, under_way.returncode, out, err)


def started(*words: str, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Such a process while it is under way."""
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
