"""The key that an embedded server makes for itself, in a file of its data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from receiver import errors


@dataclass(frozen=True)
class Kind:
    """A kind of key: how one is made, whether a text is a whole one, and what a new one in its place costs."""

    make: Callable[[], str]
    is_whole: Callable[[str], bool]
    loss: str


def read_or_create(path: Path, kind: Kind) -> str:
    """Return the key in that file, made at the first call; only the owner can read the file.

    Raises SettingsError where the file cannot be made or read, or holds no complete key.
    """
    try:
        if not path.exists():
            _make_folder(path.parent)
            _write(path, kind.make())
        key = path.read_text("ascii").strip()
    except OSError as error:
        raise errors.SettingsError(f"{path} cannot be created or read: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not kind.is_whole(key):
        raise errors.SettingsError(
            f"{path} holds no complete key: restore it from a backup. Without a backup remove the file: a new key "
            f"is made then, and {kind.loss}"
        )
    return key


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.SettingsError(f"RUNLEDGER_DATA_DIR: {folder} cannot be created: {error.strerror}") from None


def _write(path: Path, key: str) -> None:
    """Write the key to a temporary file and link it into place; the first process to do so wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a new name in it survives a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
