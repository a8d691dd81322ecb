"""The image, without Docker: run the Dockerfile's steps for Python in a folder that replaces the root.

Its command is started there as its user, with everything else read-only.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import server
from tests.deploy import image
from tests.deploy.check import tools
from tests.patience import until

#: Folders of the image that stand below ours; what is elsewhere is the machine's.
_OWN = re.compile(r"(?<![\w./])/(opt|build|var/lib/runledger)\b")
#: Steps that a base image is needed for.
_SYSTEM = ("apt-get ", "groupadd ")
#: In a namespace of mounts of its own: nothing can be written but the data folder and /tmp.
_SEALED = """set -e
mount --make-rprivate /
mount --bind "$DATA" "$DATA"
mount -o remount,bind,ro /
mount -t tmpfs none /tmp
exec "$@"
"""
_SEAL = ["unshare", "--mount", "sh", "-c", _SEALED, "sealed"]
_USER = [
    "setpriv",
    "--reuid=10001",
    "--regid=10001",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    "--",
]


def built(_folder: Path) -> str:
    """Run the image's steps; its command serves, is healthy, and stops on SIGTERM."""
    if os.geteuid() != 0:
        raise tools.Failed("the image's user can only be taken by root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # /tmp is hidden behind the image's own
        root = Path(folder)
        root.chmod(0o755)
        build, final = image.stages()
        ran = [_step(root, root / "build", *step) for step in build.steps]
        shutil.rmtree(root / "build")
        shutil.rmtree(root / "opt" / "build")
        shutil.rmtree(root / "opt" / "wheels")
        _serve(root, final)
        size = sum(
            path.stat().st_size for path in (root / "opt").rglob("*") if path.is_file() and not path.is_symlink()
        )
    left = sum(rest.startswith(_SYSTEM) for rest in final.all("RUN"))
    return f"{sum(ran)} steps run, {left} for the system not run; {size >> 20} MiB above the base"


def _step(root: Path, workdir: Path, word: str, rest: str) -> bool:
    """Run one instruction of the first stage; return whether it had a command to run."""
    workdir.mkdir(exist_ok=True)
    if word == "COPY":
        *sources, target = rest.split()
        for source in sources:
            _copy(tools.ROOT / source, workdir / target)
    elif word == "RUN":
        tools.run(["sh", "-ec", _below(root, rest)], cwd=workdir, PATH=f"{_python(root)}:{os.environ['PATH']}")
    return word in ("COPY", "RUN")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _python(root: Path) -> Path:
    """Make a folder in which the machine's own Python is called `python`, as in the base image."""
    folder = root / "usr" / "local" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "python").exists():
        (folder / "python").symlink_to(Path(sys.executable).resolve())
    return folder


def _below(root: Path, text: str) -> str:
    return _OWN.sub(rf"{root}/\1", text)


def _serve(root: Path, final: image.Stage) -> None:
    """Start the image's command, run its health check, and stop it."""
    data = root / "var" / "lib" / "runledger"
    data.mkdir(parents=True, mode=0o700)
    os.chown(data, 10001, 10001)
    port = str(server.free_port())
    given = {name: _below(root, value) for name, value in final.environment.items()}
    given |= {"CASEDEV_API_KEY": "sk_case_check", "CASEDEV_BASE_URL": "http://127.0.0.1:9", "DATA": str(data)}
    entry = final.listed("ENTRYPOINT")
    health = [word.replace("8080", port) for word in final.health]
    command = [*_SEAL, *_USER, *entry, *final.listed("CMD"), "--port", port]
    with tools.started(command, root / "log", given, data) as process:
        until(lambda: _is_well(health, given, data), why="the health check does not pass")
        _demand_read_only(root, given)
        tools.run([*_SEAL, *_USER, *entry, "migrate"], cwd=data, **given)
        process.send_signal(signal.SIGTERM)
        if process.wait(30) != 0:
            raise tools.Failed(f"on SIGTERM it ended with {process.returncode}")


def _is_well(health: list[str], given: dict[str, str], data: Path) -> bool:
    command = [*_SEAL, *_USER, *health]
    return (
        subprocess.run(command, env=given, cwd=data, capture_output=True, check=False, timeout=10).returncode == 0
    )


def _demand_read_only(root: Path, given: dict[str, str]) -> None:
    """Check that even root can write only to the data folder."""
    command = [*_SEAL, "touch", str(root / "opt" / "runledger" / "strange")]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    if "Read-only file system" not in done.stderr:
        raise tools.Failed(f"the root is not read-only: {done.stderr}")
