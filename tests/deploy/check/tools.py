"""The programs that the checks run, and functions that run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

#: Debian's packages, by a program of each.
PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "caddy": "caddy",
    "systemd-analyze": "systemd",
    "pgbouncer": "pgbouncer",
}
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent.parent.parent


class Failed(Exception):
    """A check failed; the message has what was seen."""


def demand() -> None:
    """Install missing programs where this is root on Debian. Raise Failed with the names of missing ones."""
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failed(f"not installed: {', '.join(missing)}. On Debian: apt-get install {' '.join(missing)}")
    run(["apt-get", "update", "--quiet"])
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    run(install, DEBIAN_FRONTEND="noninteractive")


def run(command: Sequence[str | Path], *, cwd: Path = ROOT, **environment: str) -> str:
    """Return what the command prints. Raise Failed where its exit code is not 0."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    output = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(word) for word in command)} ended with {done.returncode}\n{output}")
    return output


def environment(**given: str) -> dict[str, str]:
    """Return a process's environment with none of Runledger's own settings but those given."""
    ours = ("RUNLEDGER_", "CASEDEV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | given


@contextmanager
def started(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for as long as the block; its output goes to `log`, and into the error of a failure."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=file, stderr=file, env=dict(environment), cwd=cwd
        )
    try:
        yield process
    except (Failed, AssertionError, OSError) as failure:
        raise Failed(f"{failure}\n{log.read_text()[-3000:]}") from failure
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
