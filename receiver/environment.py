"""The variables of the environment and of an `.env` file. Nothing else reads the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values

from receiver import setting_values

PREFIX = "RUNLEDGER_"
#: What commands read to choose a server: its address, a key for it, or a profile that has both.
URL, KEY, PROFILE = "RUNLEDGER_URL", "RUNLEDGER_API_KEY", "RUNLEDGER_PROFILE"
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


def unknown_names(known: Sequence[str], env_file: str | Path) -> dict[str, str | None]:
    """Return the variables with our prefix that are not known, each with the nearest known name."""
    meant = _with_prefix(env_file).items()
    candidates = sorted(name for name, value in meant if not setting_values.is_service_link(name, value))
    near = {name: next(iter(difflib.get_close_matches(name[:80], known, 1)), None) for name in candidates}
    return {name: setting_values.OPTIONS.get(name, found) for name, found in near.items() if name not in known}


def service_links(env_file: str | Path = ".env") -> list[str]:
    """Return the variables that Kubernetes sets in containers because a service's name begins with `runledger`."""
    meant = _with_prefix(env_file).items()
    return sorted(name for name, value in meant if setting_values.is_service_link(name, value))


def _with_prefix(env_file: str | Path) -> dict[str, str]:
    """Return the variables with our prefix, as they are spelled, also of a file that can be read."""
    readable = None if setting_values.file_problem(env_file) else env_file
    from_file = dotenv_values(readable, encoding=ENCODING) if readable else {}
    given = {**from_file, **os.environ}  # noqa: TID251
    return {name: value or "" for name, value in given.items() if name.startswith(PREFIX)}
