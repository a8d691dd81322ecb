"""A terminal for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.receiver.cli.terminal import Terminal


@pytest.fixture
def new_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal whose data folder does not exist."""
    monkeypatch.chdir(tmp_path)
    for name in ("CASEDEV_API_KEY", "CASEDEV_BASE_URL", "RUNLEDGER_DATABASE_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNLEDGER_DATA_DIR", str(tmp_path / "data"))
    return Terminal(tmp_path / "data")


@pytest.fixture
def terminal(new_terminal: Terminal, template: Path) -> Terminal:
    """Return a terminal with an empty database at the newest schema."""
    new_terminal.folder.mkdir()
    shutil.copy(template, new_terminal.folder / "runledger.db")
    return new_terminal
