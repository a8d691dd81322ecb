"""What the house stands on: settings, folders, disk, the programs it is made of."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib import metadata
from pathlib import Path

from receiver.cli import figures, opening
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Scene

#: Bytes free below which it is worth a look, and below which it is about to stop.
SCARCE, EXHAUSTED = 1 << 30, 100 << 20


async def settings(scene: Scene) -> AsyncIterator[Finding]:
    """Whether what is set can be read, and means something."""
    for sentence in scene.wrong:
        advice = "correct it in the environment or .env; until then serve does not start"
        yield findings.fault("settings", sentence, advice)
    for name, meant in scene.unknown.items():
        advice = f"did you mean {meant}?" if meant else "take it out, or see deploy/env.example for the names"
        yield findings.warning("settings", f"{name} is no setting", advice)
    if not scene.wrong and not scene.unknown:
        yield findings.ok("settings", "all of them can be read" + _passed_over(scene))


def _passed_over(scene: Scene) -> str:
    """What is said of the variables of Kubernetes' service links."""
    if not scene.links:
        return ""
    return (
        f"; {len(scene.links)} variables such as {scene.links[0]} are Kubernetes' links to a service, and no "
        "settings: enableServiceLinks: false in the pod keeps them out"
    )


async def folders(scene: Scene) -> AsyncIterator[Finding]:
    """The data folder, that of the database, and the disks they are on."""
    for folder in scene.folders:
        yield folder_found(folder)
        yield space_found(folder)


def folder_found(folder: Path) -> Finding:
    """Whether something can be written there. What is not there yet is made by the server where it can be."""
    there, shown = _nearest(folder), opening.short(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return findings.fault(
            "data folder",
            f"{shown} cannot be written: {error.strerror}",
            "set RUNLEDGER_DATA_DIR to a folder of the user that runs the server",
        )
    if there != folder:
        return findings.warning("data folder", f"there is no {shown} yet", "`runledger serve` makes it")
    return findings.ok("data folder", f"{shown} can be written")


def space_found(folder: Path) -> Finding:
    """What is free on the disk of a folder."""
    return space_judged(shutil.disk_usage(_nearest(folder)).free)


def space_judged(free: int) -> Finding:
    """Whether so many bytes are enough."""
    said, advice = f"{figures.size(free)} free", "make room: what cannot be written is answered 503"
    if free < EXHAUSTED:
        return findings.fault("disk space", said, advice)
    if free < SCARCE:
        return findings.warning("disk space", said, advice + ". `runledger prune` removes old content")
    return findings.ok("disk space", said)


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    return next(each for each in (folder, *folder.parents) if each.exists())


async def programs(scene: Scene) -> AsyncIterator[Finding]:
    """What `serve` runs on."""
    yield _part("event loop", "uvloop")
    yield _part("HTTP parser", "httptools")
    yield findings.ok("versions", ", ".join(_versions()))


def _part(name: str, module: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        advice = "pip install 'uvicorn[standard]': without it `runledger serve` does not start"
        return findings.fault(name, f"{module} is not installed", advice)
    return findings.ok(name, f"{module} {metadata.version(module)}")


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    yield f"SQLite {sqlite3.sqlite_version}"
    for name in ("runledger", "uvicorn", "starlette", "sqlalchemy", "httpx2"):
        yield f"{name} {metadata.version(name)}"
