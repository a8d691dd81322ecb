"""Run a user's statement within limits: on a file by a process of its own, on a server by a role of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage import errors
from storage.engine import urls
from storage.user_sql import readable_columns, restricted_process

Value = str | int | float | bool | None
#: The seconds that the process has in addition to those of its statement, to start and to answer.
GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement. `parameters` are the values of `$1`, `$2` and so on; `rows` is the most rows to return."""

    text: str
    parameters: Sequence[Value] = ()
    rows: int = 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits: the `seconds` of a statement, the `size` of its result in bytes of JSON, and the `memory` in bytes.

    `memory` limits the process that reads a file.
    """

    seconds: float = 5.0
    size: int = 4 << 20
    memory: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a statement. `is_truncated` is true where there were more rows than asked for, or than fit."""

    columns: Sequence[str]
    rows: list[list[Value]]
    is_truncated: bool


def execute(url: str, statement: Statement, bounds: Bounds) -> Answer:
    """Run a statement and return its result.

    Raises BadStatement, NotReadable, StatementTimeout, Unavailable, and RoleTooPowerful.
    """
    file = urls.file_path(url)
    if file is not None:
        return _run_in_process(file, statement, bounds)
    from storage.user_sql import restricted_role  # the driver is slow to import, and not needed for a file

    return restricted_role.execute(url, statement, bounds)


def _run_in_process(file: str, statement: Statement, bounds: Bounds) -> Answer:
    request = {"file": file, "columns": readable_columns.columns(), **asdict(statement), **asdict(bounds)}
    given, seconds = json.dumps(request).encode(), bounds.seconds + GRACE
    # Isolated: neither the environment nor the working folder affects what it imports.
    program = [sys.executable, "-I", "-S", str(Path(restricted_process.__file__))]
    try:
        done = subprocess.run(program, input=given, capture_output=True, timeout=seconds, check=False, env={})
    except subprocess.TimeoutExpired:
        raise errors.StatementTimeout(timeout_message(bounds)) from None
    except OSError as error:
        raise errors.Unavailable(f"no process can be started for it: {error.strerror}") from error
    return _result(done, statement, bounds)


def _result(done: subprocess.CompletedProcess[bytes], statement: Statement, bounds: Bounds) -> Answer:
    """Return the result that the process wrote. Without one, the process was killed for its time or memory."""
    if done.returncode < 0:
        raise errors.StatementTimeout(timeout_message(bounds))
    response: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"kind": "large"}
    match response.get("kind"):
        case None:
            return Answer(response["columns"], response["rows"], response["truncated"])
        case "denied":
            raise errors.NotReadable(f"{response['message']} cannot be read or used here")
        case "slow":
            raise errors.StatementTimeout(timeout_message(bounds))
        case "unavailable":
            raise errors.Unavailable(response["message"])
        case "large":
            reason = "it needs more memory than it may use, or a value is too large"
            raise errors.BadStatement(statement.text, reason)
    message = response["message"]
    raise errors.BadStatement(statement.text, message, _position(statement.text, message))


def _position(text: str, message: str) -> int | None:
    """Return the position of the word in SQLite's error message, if the statement has it only once."""
    found = re.match(r'near "([^"]*)|no such (?:column|table|function): (.*)', message, re.DOTALL)
    word = found and (found[1] or found[2])
    return text.find(word) if word and text.count(word) == 1 else None


def timeout_message(bounds: Bounds) -> str:
    """Return the message of a statement that took too long."""
    return f"the statement did not end within {bounds.seconds:g} s: ask for fewer rows, or use an indexed column"
