"""Run the commands of README and tutorial as a new user would type them, on ports of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from receiver.cli import main
from tests import server
from tests.laws import pages

ROOT = pages.ROOT
BLOCKS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
MANUAL = "".join(pages.written(page) for page in pages.PAGES)
#: What a block started ends with the script.
SCRIPT = """set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null' EXIT
{lines}
"""


def typed(page: str) -> str:
    """Return all shell lines of a page in order, with free ports and this environment's commands."""
    lines = "\n".join(BLOCKS.findall((ROOT / page).read_text()))
    for port in ("9000", "8080"):
        lines = lines.replace(port, str(server.free_port()))
    return lines.replace("$PWD/.venv/bin", str(Path(sys.executable).parent))


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_shell_lines_of_a_page_work(page: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", SCRIPT.format(lines=typed(page))],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"accepted"' in done.stdout.replace(" ", "")
    assert "completed" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    commands = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`runledger ((?:[a-z]+ ?)+)", MANUAL))))
def test_every_command_of_the_documents_exists_and_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(main.app, [*command.split(), "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage" in shown.output
