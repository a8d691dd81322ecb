"""What is undocumented, or documented differently from the code, fails the build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from receiver import settings
from receiver.cli import main
from tests.laws import documents, pages

ROOT = pages.ROOT


@pytest.mark.parametrize("page", documents.PAGES)
def test_generated_pages_are_what_the_code_makes_of_them(page: str) -> None:
    assert (ROOT / page).read_text() == documents.PAGES[page](), "run make docs"


@pytest.mark.parametrize("name", settings.Settings.model_fields)
def test_every_setting_has_a_help_text_and_a_line_in_the_documents(name: str) -> None:
    assert settings.Settings.model_fields[name].description
    assert f"`{documents.variable(name)}`" in pages.written("reference/settings.md")


def _commands() -> list[str]:
    group = typer.main.get_command(main.app)
    return sorted(getattr(group, "commands", {}))


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_in_the_overview(command: str) -> None:
    assert f"`runledger {command}" in pages.written("reference/commands.md")


@pytest.mark.parametrize("path", pages.documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_of_make_that_a_document_names_exist(path: Path) -> None:
    targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z.-]+)", path.read_text())) <= set(targets)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_the_architecture_names_every_package_of_the_product() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    packages = {
        path.parent.name for package in ("receiver", "storage") for path in (ROOT / package).glob("*/*.py")
    }
    assert not {name for name in packages if not re.search(rf"\b{name}\b", page)}
