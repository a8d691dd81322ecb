"""The variables of the environment and of an `.env` file. Nothing else reads the environment."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from receiver import setting_values

PREFIX = "RUNLEDGER_"
#: UTF-8, with or without the byte order mark that some editors add.
ENCODING = "utf-8-sig"


def values(env_file: str | Path | None) -> dict[str, str]:
    """Return the values of the environment, or else of the file, by names in capitals, but for empty ones."""
    from_file = dotenv_values(env_file, encoding=ENCODING) if env_file else {}
    both = [*from_file.items(), *os.environ.items()]  # noqa: TID251
    return {name.upper(): value for name, value in both if value}


def has(name: str) -> bool:
    """Return whether the environment itself has the variable, whatever the case of its name."""
    return name in {given.upper() for given in os.environ}  # noqa: TID251


def with_prefix(env_file: str | Path) -> dict[str, str]:
    """Return the variables with our prefix, as they are spelled, also of a file that can be read."""
    readable = None if setting_values.file_problem(env_file) else env_file
    from_file = dotenv_values(readable, encoding=ENCODING) if readable else {}
    given = {**from_file, **os.environ}  # noqa: TID251
    return {name: value or "" for name, value in given.items() if name.startswith(PREFIX)}
