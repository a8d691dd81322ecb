"""A statement of anybody's, answered within bounds: by a process of its own on a file, by a role of its own on a
server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import errors
from storage.dialect import addresses, confined

Value = str | int | float | bool | None
#: Seconds that the process has beside those of its statement, to start and to tell.
GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `parameters` stand for `$1`, `$2` and so on in it. `rows` is how many are wanted at most."""

    text: str
    parameters: Sequence[Value] = ()
    rows: int = 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of an answer: `seconds` that it takes, `size` in bytes as JSON, bytes of `memory` of a file's process."""

    seconds: float = 5.0
    size: int = 4 << 20
    memory: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_truncated` says that there were more rows than were wanted, or than fit."""

    columns: Sequence[str]
    rows: list[list[Value]]
    is_truncated: bool


def asked(url: str, statement: Statement, bounds: Bounds, readable: confined.Columns, schema: str) -> Answer:
    """What the database answers. `readable` are the columns of each table that can be read, `schema` is where a
    server has its views of them.

    Raises BadStatement, NotReadable, TooSlow, Unavailable, and Unconfined for a role that may do too much.
    """
    file = addresses.file_of(url)
    if file is not None:
        return _embedded(file, statement, bounds, readable)
    from storage.dialect import (
        asking_server,
    )  # the driver is slow to import, and an embedded database does without

    return asking_server.asked(url, statement, bounds, schema)


def _embedded(file: str, statement: Statement, bounds: Bounds, readable: confined.Columns) -> Answer:
    wanted = {
        "file": file,
        "text": statement.text,
        "parameters": list(statement.parameters),
        "rows": statement.rows,
        "bytes": bounds.size,
        "seconds": bounds.seconds,
        "memory": bounds.memory,
        "columns": readable,
    }
    # Isolated: neither the environment nor the working folder has a say in what it imports.
    program = [sys.executable, "-I", "-S", str(Path(confined.__file__))]
    try:
        done = subprocess.run(
            program,
            input=json.dumps(wanted).encode(),
            capture_output=True,
            timeout=bounds.seconds + GRACE,
            check=False,
            env={},
        )
    except subprocess.TimeoutExpired:
        raise errors.TooSlow(said(bounds)) from None
    except OSError as error:
        raise errors.Unavailable(f"no process can be started for it: {error.strerror}") from error
    return _read(done, statement, bounds)


def _read(done: subprocess.CompletedProcess[bytes], statement: Statement, bounds: Bounds) -> Answer:
    """Its answer; where there is none it was ended for what it took."""
    if done.returncode < 0:
        raise errors.TooSlow(said(bounds))
    told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"kind": "large"}
    match told.get("kind"):
        case None:
            return Answer(told["columns"], told["rows"], told["truncated"])
        case "denied":
            raise errors.NotReadable(f"{told['said']} cannot be read or used here")
        case "slow":
            raise errors.TooSlow(said(bounds))
        case "away":
            raise errors.Unavailable(told["said"])
        case "large":
            raise errors.BadStatement(
                statement.text, "it needs more memory than it is given, or a value is too large"
            )
    raise errors.BadStatement(statement.text, told["said"], _place(statement.text, told["said"]))


def _place(text: str, said: str) -> int | None:
    """The character at which the word stands that SQLite complains of, where it stands in one place only."""
    for before, after in (
        ('near "', '"'),
        ("no such column: ", ""),
        ("no such table: ", ""),
        ("no such function: ", ""),
    ):
        if said.startswith(before):
            word = said.removeprefix(before).partition(after)[0] if after else said.removeprefix(before)
            return text.find(word) if word and text.count(word) == 1 else None
    return None


def said(bounds: Bounds) -> str:
    """That it took too long, and what helps."""
    return f"the statement did not come to its end within {bounds.seconds:g} s: ask of fewer rows, or by an index"
