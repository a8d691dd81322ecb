"""The README's lines are run as a newcomer would type them, on ports of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from receiver import cli
from tests import server

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
MANUAL = (ROOT / "deploy" / "README.md").read_text()
#: Where a block ends what it started must end with it, and what it prints is told apart.
SCRIPT = """set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null' EXIT
{lines}
"""


def typed() -> str:
    """All shell lines of the README in order, with free ports and this environment's commands."""
    lines = "\n".join(BLOCKS.findall((ROOT / "README.md").read_text()))
    for port in ("9000", "8080"):
        lines = lines.replace(port, str(server.free_port()))
    return lines.replace("$PWD/.venv/bin", str(Path(sys.executable).parent))


def test_the_sixty_seconds_of_the_readme_work_as_they_stand(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", SCRIPT.format(lines=typed())],
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
def test_every_command_of_the_manual_exists_and_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage" in shown.output
