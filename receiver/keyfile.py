"""The key that an embedded server makes for itself, in a file of its data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from receiver import errors, pasted


def kept(path: Path) -> str:
    """The key in that file, made at the first call; the file is for its owner alone.

    Raises SettingsError where the file cannot be made or read, or holds no whole key.
    """
    try:
        if not path.exists():
            _make_folder(path.parent)
            _make_key(path)
        key = path.read_text("ascii").strip()
    except OSError as error:
        raise errors.SettingsError(f"{path} cannot be made or read: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not pasted.is_long(key):
        raise errors.SettingsError(
            f"{path} holds no whole key: bring it back from a backup; without one remove the file, and a new key "
            "is made, which knows none of the callback addresses and stored webhook secrets of the old one"
        )
    return key


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.SettingsError(f"RUNLEDGER_DATA_DIR: {folder} cannot be made: {error.strerror}") from None


def _make_key(path: Path) -> None:
    """Make the file whole or not at all: it is written aside and linked into place, by the first to do so."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    _keep_name(path.parent)


def _keep_name(folder: Path) -> None:
    """Have a new name in a folder outlast a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
