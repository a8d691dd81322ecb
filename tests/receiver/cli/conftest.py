"""A desk for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.receiver.cli.desk import Desk


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk where nothing was ever done: there is no database."""
    monkeypatch.chdir(tmp_path)
    for name in ("CASEDEV_API_KEY", "CASEDEV_BASE_URL", "RUNLEDGER_DATABASE_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNLEDGER_DATA_DIR", str(tmp_path / "data"))
    return Desk(tmp_path / "data")


@pytest.fixture
def desk(bare: Desk, template: Path) -> Desk:
    """A desk with an empty database at the newest schema."""
    bare.folder.mkdir()
    shutil.copy(template, bare.folder / "runledger.db")
    return bare
