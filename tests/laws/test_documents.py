"""What is undocumented, or documented otherwise than it is, fails the build."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from receiver import settings
from tests.laws import documents

ROOT = documents.DEPLOY.parent


@pytest.mark.parametrize("page", documents.PAGES)
def test_generated_pages_are_what_the_code_makes_of_them(page: str) -> None:
    assert (documents.DEPLOY / page).read_text() == documents.PAGES[page](), "run make docs"


@pytest.mark.parametrize("name", settings.Settings.model_fields)
def test_every_setting_has_a_help_text_and_a_line_in_the_manual(name: str) -> None:
    assert settings.Settings.model_fields[name].description
    assert documents.variable(name) in (documents.DEPLOY / "README.md").read_text()


def _commands() -> list[str]:
    from receiver import cli

    group = typer.main.get_command(cli.app)
    return sorted(getattr(group, "commands", {}))


@pytest.mark.parametrize("command", _commands())
def test_every_command_stands_in_the_manual(command: str) -> None:
    assert f"`runledger {command}" in (documents.DEPLOY / "README.md").read_text()


def test_the_architecture_names_every_file_of_the_product() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = {path.name for package in ("receiver", "storage") for path in (ROOT / package).glob("*.py")}
    missing = {name for name in rooms - {"__init__.py", "__main__.py"} if Path(name).stem not in page}
    assert not missing
