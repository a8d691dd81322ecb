"""A terminal for each test."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.receiver.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a command does to the log of its process."""
    configured, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.configure(**configured)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def new_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal whose data folder does not exist."""
    monkeypatch.chdir(tmp_path)
    for name in ("CASEDEV_API_KEY", "CASEDEV_BASE_URL", "RUNLEDGER_DATABASE_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNLEDGER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Terminal(tmp_path / "data")


@pytest.fixture
def terminal(new_terminal: Terminal, template: Path) -> Terminal:
    """Return a terminal with an empty database at the newest schema."""
    new_terminal.folder.mkdir()
    shutil.copy(template, new_terminal.folder / "runledger.db")
    return new_terminal
