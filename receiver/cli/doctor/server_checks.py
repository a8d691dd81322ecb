"""The checks of the doctor that are quick and safe inside a running server: none uses the network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from importlib import metadata

from receiver import clock, environment, settings
from receiver.cli.doctor import configuration_checks, findings, local_checks, runner, store_checks
from receiver.cli.doctor.findings import Finding
from receiver.pages import formats, health
from storage import errors as storage_errors
from storage.engine import dialect, urls
from storage.engine.database import Database
from storage.maintenance import integrity
from storage.migrations import schema_version

#: Seconds for one check.
TIMEOUT = 2.0
CHECKS = {
    "settings": local_checks.settings,
    "data folder": local_checks.folders,
    "webhook secrets": configuration_checks.secrets,
    "programs": local_checks.programs,
}
#: How far the clock of this machine may be from that of the database.
SKEW = timedelta(seconds=2)
_LEVELS = {
    findings.Level.OK: health.Level.WELL,
    findings.Level.WARNING: health.Level.WARNING,
    findings.Level.FAULT: health.Level.BAD,
}


async def lines(given: settings.Settings, running: str, store: Database) -> Sequence[health.Line]:
    """Return the findings about a server that was started with these settings, as its release `running`."""
    found = [release_finding(running, metadata.version("runledger"))]
    found += await asyncio.to_thread(_local, given)  # a disk may be slow
    try:
        async with asyncio.timeout(TIMEOUT):
            found += [each async for each in _store(given, store)]
    except (storage_errors.StorageError, TimeoutError):
        found += [findings.fault("database", "it does not answer", "the log has the reason")]
    return [_line(each) for each in found]


def _local(given: settings.Settings) -> list[Finding]:
    context = findings.CheckContext(given, {}, (), settings.unknown_names(), TIMEOUT, environment.service_links())
    return asyncio.run(runner.run(context, CHECKS))


async def _store(given: settings.Settings, store: Database) -> AsyncIterator[Finding]:
    here, there = clock.now(), await store.read(dialect.server_time)
    if there is not None:
        yield store_checks.server_finding(await store.read(integrity.server_state), urls.redacted(given.url))
        yield clock_finding(here, there)
    yield findings.ok("schema", str(await store.read(schema_version.current)))


def release_finding(running: str, installed: str) -> Finding:
    """Return whether this server runs the release that is installed."""
    if running == installed:
        return findings.ok("release", f"Runledger {running}")
    message = f"this server runs Runledger {running}, and {installed} is installed"
    return findings.warning("release", message, "restart it")


def clock_finding(here: datetime, there: datetime) -> Finding:
    """Return whether the clock of this machine agrees with that of the database."""
    skew = abs(there - here)
    message = f"this machine and the database are {skew.total_seconds():.1f} s apart"
    if skew <= SKEW:
        return findings.ok("clock", message)
    advice = "synchronise it, as with chrony: signatures have a time, and the log has this one"
    return findings.warning("clock", message, advice)


def _line(each: Finding) -> health.Line:
    name = formats.capitalize_first(each.name)
    advice = f"{formats.capitalize_first(each.advice)}." if each.advice else ""
    return health.Line(name, _LEVELS[each.level], each.message, name, advice=advice)
