"""The package: built from what is committed, installed in an environment of its own, and run there."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

from tests.deploy.check import tools
from tests.deploy.check.tools import ROOT, Failed

#: Programs that make and examine a release, in an environment that nothing else uses.
TOOLS = ROOT / ".venv-release" / "bin"
LOCK = ROOT / "deploy" / "requirements.txt"
_PIP: list[str | Path] = [TOOLS / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]


def version(tag: str | None) -> str:
    """Return the version of the package. Raise Failed where the tag names another one."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    if tag is not None and tag != f"v{found}":
        raise Failed(f"the tag is {tag}, and pyproject.toml says {found}: change one of them")
    return found


def build(dist: Path) -> Path:
    """Build the source archive and of it the wheel; return the wheel. Raise Failed where a second one differs."""
    wheel = _built(dist)
    with tempfile.TemporaryDirectory() as folder:
        if _built(Path(folder)).read_bytes() != wheel.read_bytes():
            raise Failed(f"{wheel.name} was built twice of the same commit, and the files differ")
    return wheel


def _built(into: Path) -> Path:
    seconds = tools.run(["git", "log", "-1", "--format=%ct"])
    with tempfile.TemporaryDirectory() as folder:
        archive, source = Path(folder) / "source.tar", Path(folder) / "source"
        tools.run(["git", "archive", "--output", archive, "HEAD"])
        with tarfile.open(archive) as files:
            files.extractall(source, filter="data")
        build: list[str | Path] = [TOOLS / "python", "-m", "build", "--no-isolation"]
        tools.run([*build, "--outdir", into, source], SOURCE_DATE_EPOCH=seconds)
    return next(into.glob("*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel in an environment of its own, its dependencies as pinned; return its Python."""
    tools.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"])
    python = folder / "environment" / "bin" / "python"
    # pip compares the hashes of all or of none, and those of a wheel that was just made are in no lock.
    pinned = folder / "constraints.txt"
    pinned.write_text(re.sub(r" \\\n.*?(?=\n\S|\Z)", "", LOCK.read_text(), flags=re.DOTALL))
    tools.run([*_PIP, "--python", python, "install", "--constraint", pinned, wheel], cwd=folder)
    return python


def try_out(python: Path, expected: str, folder: Path) -> str:
    """Run the version and the demo in an empty folder, without any setting. Raise Failed where one fails."""
    empty = folder / "empty"
    empty.mkdir()
    if (printed := _run(python, empty, "--version")) != f"runledger {expected}":
        raise Failed(f"the installed command says {printed}")
    shown = _run(python, empty, "demo")
    if not any(empty.rglob("*.db")):
        raise Failed(f"the demo made no database\n{shown}")
    return f"--version and demo ran; {_size(python) >> 20} MiB"


def _run(python: Path, folder: Path, word: str) -> str:
    command = [str(python.parent / "runledger"), word]
    settings = tools.environment()
    settings.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=folder, env=settings, input="", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"runledger {word} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def _size(python: Path) -> int:
    return sum(path.stat().st_size for path in python.parent.parent.rglob("*") if path.is_file())
