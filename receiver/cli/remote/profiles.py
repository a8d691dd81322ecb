"""The servers that a person has signed in to: a file in the user's configuration folder, for nobody else to read.

The server of a command is, in this order: that of the option `--profile`, of RUNLEDGER_PROFILE, of RUNLEDGER_URL,
of the last `runledger login`. The profile `local` means the store of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from receiver import environment, setting_values
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.remote import profile_option

#: The profile that means this machine's store.
LOCAL = "local"


class NoHome(CommandError):
    """There is no folder for the configuration of this user."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A server and a key for it."""

    url: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Profiles:
    """All profiles by their names, and the name of the one in use."""

    current: str | None = None
    known: Mapping[str, Profile] = field(default_factory=dict)


def chosen() -> Profile | None:
    """Return the server of this command; None for this machine's store. Raises CommandError."""
    # A file that cannot be read is reported by what reads the settings.
    given = environment.values(None if setting_values.file_problem(".env") else ".env")
    name = profile_option.GIVEN.get() or given.get(environment.PROFILE)
    if name == LOCAL:
        return None
    if name:
        return _named(name)
    if url := given.get(environment.URL):
        if not given.get(environment.KEY):
            raise CommandError(f"{environment.KEY} is empty: set it to an API key of {url}", USAGE)
        return Profile(url, given[environment.KEY].strip())
    profiles = read()
    return None if profiles.current in (None, LOCAL) else _named(profiles.current or "")


def _named(name: str) -> Profile:
    found = read().known.get(name)
    if found is None:
        raise CommandError(f"there is no profile {name!r}: `runledger login URL --profile {name}` makes it", USAGE)
    return found


def read() -> Profiles:
    """Return what is stored; nothing for a user of a service, who has no home or may not look into it.

    Raises CommandError where the file is damaged.
    """
    try:
        found: Any = json.loads(path().read_text())
        known = {name: Profile(each["url"], each["key"]) for name, each in found["profiles"].items()}
        return Profiles(found["current"], known)
    except (OSError, NoHome):
        return Profiles()
    except (ValueError, LookupError, TypeError, AttributeError):
        raise CommandError(f"{path()} is damaged: remove it, and sign in again by `runledger login`") from None


def write(profiles: Profiles) -> None:
    """Store profiles, for nobody else to read. Raises CommandError where there is no place for them."""
    known = {name: {"url": each.url, "key": each.key} for name, each in sorted(profiles.known.items())}
    text = json.dumps({"current": profiles.current, "profiles": known}, indent=1)
    file = path()
    try:
        _replace(file, text)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from None


def _replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text + "\n")
    new.replace(file)


def path() -> Path:
    """Return the file, in the folder of the XDG base directory specification. Raises NoHome."""
    folder = environment.values(None).get("XDG_CONFIG_HOME", "")
    try:
        base = Path(folder) if Path(folder).is_absolute() else Path.home() / ".config"
    except RuntimeError:
        raise NoHome("this user has no home folder for the configuration: set XDG_CONFIG_HOME to one") from None
    return base / "runledger" / "profiles.json"
