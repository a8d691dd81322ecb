"""Checks of this machine: settings, folders, disk, installed packages."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

from receiver.cli import open_database
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.cli.render import format as render_format

#: Free bytes below which a disk is worth a look, and below which the server is about to fail.
SCARCE, EXHAUSTED = 1 << 30, 100 << 20
#: Packages whose versions are reported.
PACKAGES = ("runledger", "uvicorn", "starlette", "sqlalchemy", "httpx2")


async def settings(context: CheckContext) -> AsyncIterator[Finding]:
    """Check that the settings can be read, and that every variable is one."""
    for message in context.errors:
        advice = "correct it in the environment or .env; until then serve does not start"
        yield findings.fault("settings", message, advice)
    for name, meant in context.unknown.items():
        advice = f"did you mean {meant}?" if meant else "remove it, or see deploy/env.example for the names"
        yield findings.warning("settings", f"{name} is no setting", advice)
    if not context.errors and not context.unknown:
        message = "all of them can be read"
        if context.links:
            message += (
                f"; {len(context.links)} variables such as {context.links[0]} are Kubernetes' links to a service, "
                "and no settings: enableServiceLinks: false in the pod keeps them out"
            )
        yield findings.ok("settings", message)


async def folders(context: CheckContext) -> AsyncIterator[Finding]:
    """Check the data folder, the database's folder, and their disks."""
    for folder in context.folders:
        yield folder_finding(folder)
        yield space_finding(shutil.disk_usage(_nearest(folder)).free)


def folder_finding(folder: Path) -> Finding:
    """Return whether the folder can be written. The server makes a missing one."""
    there, shown = _nearest(folder), open_database.short_path(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        advice = "set RUNLEDGER_DATA_DIR to a folder of the user that runs the server"
        return findings.fault("data folder", f"{shown} cannot be written: {error.strerror}", advice)
    if there != folder:
        return findings.warning("data folder", f"there is no {shown} yet", "`runledger serve` makes it")
    return findings.ok("data folder", f"{shown} can be written")


def space_finding(free: int) -> Finding:
    """Return whether the free bytes of a disk are enough."""
    message = f"{render_format.size(free)} free"
    advice = "free some space: requests that cannot be stored are answered 503"
    if free < EXHAUSTED:
        return findings.fault("disk space", message, advice)
    if free < SCARCE:
        return findings.warning("disk space", message, advice + ". `runledger prune` removes old content")
    return findings.ok("disk space", message)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest parent that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


async def programs(context: CheckContext) -> AsyncIterator[Finding]:
    """Check the packages that `serve` needs, and report versions."""
    yield _part("event loop", "uvloop")
    yield _part("HTTP parser", "httptools")
    packages = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    versions = (f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", *packages)
    yield findings.ok("versions", ", ".join(versions))


def _part(name: str, module: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        advice = "pip install 'uvicorn[standard]': without it `runledger serve` does not start"
        return findings.fault(name, f"{module} is not installed", advice)
    return findings.ok(name, f"{module} {metadata.version(module)}")
