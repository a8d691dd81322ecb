"""The database, and what it tells of the house: the worker, its pause, what fails, what is overdue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from receiver import backoff, clock, errors, keyring, vault
from receiver.cli import figures, opening
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Scene
from receiver.upstream import client
from receiver.upstream import webhooks as upstream
from storage import backlog, dialect, house, inspection, migrations, runs, search, states, webhooks
from storage import database as door
from storage import errors as storage_errors

#: After so long a run should be found by its words.
BEHIND = timedelta(minutes=10)


async def database(scene: Scene) -> AsyncIterator[Finding]:
    """From the file to what stands in it; what cannot be opened is not looked into."""
    if scene.lacks("data_dir", "database_url"):
        return
    if scene.file is not None and scene.is_new:
        said = f"there is none at {opening.short(scene.file)} yet"
        yield findings.warning("database", said, "`runledger serve` makes it")
        return
    if scene.file is not None:
        found = await _inspected(scene.file, scene.timeout)
        yield found
        if found.level is findings.Level.FAULT:
            return
    async with door.Database(scene.given.url, pooler=scene.given.database_pooler) as store:
        if scene.file is None:
            reached = await _reached(store, scene)
            yield reached
            if reached.level is findings.Level.FAULT:
                return
        schema = await _schema(store, scene)
        yield schema
        if schema.level is not findings.Level.FAULT:
            async for each in _house(store, scene):
                yield each


async def _inspected(file: str, seconds: float) -> Finding:
    try:
        seen = await asyncio.to_thread(inspection.inspect, file, seconds / 2)
    except storage_errors.Unavailable as error:
        advice = "set RUNLEDGER_DATA_DIR to the folder that you mean, or put back the last copy of the file"
        return findings.fault("database", f"{opening.short(file)} cannot be opened: {error}", advice)
    return file_judged(seen, opening.short(file))


async def _reached(store: door.Database, scene: Scene) -> Finding:
    place = dialect.shown(scene.given.url)
    try:
        async with asyncio.timeout(scene.timeout):
            return server_judged(await store.read(inspection.server), place)
    except TimeoutError:
        said = f"{place} does not answer in time"
    except storage_errors.Unavailable as error:
        said = f"{place} cannot be used: {' '.join(str(error).split())}"
    except storage_errors.WrongEncoding as error:
        said, _, advice = str(error).partition(": ")
        return findings.fault("database", f"{place}: {said}", advice)
    return findings.fault("database", said, "see that the server runs and RUNLEDGER_DATABASE_URL leads to it")


def server_judged(seen: inspection.Server, place: str) -> Finding:
    """Whether a database server keeps what it has committed, and takes writes."""
    if not seen.is_durable:
        advice = "ALTER DATABASE … SET synchronous_commit = on, and restart the servers"
        return findings.fault(
            "database", f"{place} may lose what it has committed: synchronous_commit is off", advice
        )
    if seen.is_standby:
        advice = "let RUNLEDGER_DATABASE_URL lead to the primary"
        return findings.fault("database", f"{place} is a standby, which takes no writes", advice)
    return findings.ok("database", f"PostgreSQL {seen.version} at {place}; commits are durable")


def file_judged(seen: inspection.Inspection, file: str) -> Finding:
    """Whether the file is sound, and is written as it should be."""
    size = figures.size(seen.size)
    if seen.damage is not None:
        advice = "stop the server, keep a copy of the file, and put back your last copy of it"
        return findings.fault("database", f"{file} is damaged: {seen.damage}", advice)
    if seen.journal_mode != "wal":
        said = f"{file} has the journal mode {seen.journal_mode}, not wal"
        return findings.warning("database", said, "`runledger serve` sets it, on a disk of this machine's own")
    if not seen.is_whole:
        advice = "sqlite3 FILE 'PRAGMA quick_check' takes its time"
        said = f"{file}, {size}: too large to be checked as a whole here"
        return findings.warning("database", said, advice)
    return findings.ok("database", f"{file}, {size}, is sound; journal mode wal")


async def _schema(store: door.Database, scene: Scene) -> Finding:
    try:
        found = await store.read(migrations.current)
        if found is None:
            makes = "runledger migrate" if scene.file is None else "runledger serve"
            return findings.fault("schema", "the database is empty", f"`{makes}` fills it; or is it another?")
        await store.read(migrations.check)
    except (storage_errors.SchemaMismatch, storage_errors.Unavailable) as error:
        said, _, advice = str(error).rpartition(": ")
        return findings.fault("schema", said or advice, advice)
    return findings.ok("schema", f"{found}, which is that of this release")


async def _house(store: door.Database, scene: Scene) -> AsyncIterator[Finding]:
    now = clock.now()
    state = await store.read(house.read)
    yield worker_judged(state, now)
    if state.pause_streak:
        yield pause_told(state)
    yield work_judged(await store.read(backlog.failing), await store.read(backlog.dead))
    unsent = await store.read(backlog.open_count, states.Kind.NOTIFY)
    if unsent and not state.has_notifier(now, backoff.Timing().absent):
        yield unsent_told(unsent)
    yield expectations_judged(await store.read(runs.overdue, now))
    _, first = await store.read(search.waits_longest, now - BEHIND)
    yield search_judged(await store.read(search.lag), now, first)
    for each in await _endpoint(store, scene, now):
        yield each


def worker_judged(state: house.State, now: datetime) -> Finding:
    """Whether a worker is there."""
    seen, advice = state.worker_seen_at, "start `runledger serve`: until then runs are taken and not sent"
    if seen is None:
        return findings.warning("worker", "none was ever seen on this database", advice)
    if now - seen > timedelta(seconds=backoff.Timing().absent):
        return findings.warning("worker", f"last seen {figures.age(seen, now)}", advice)
    return findings.ok("worker", f"at work, seen {figures.age(seen, now)}")


def pause_told(state: house.State) -> Finding:
    """What keeps the worker from asking the upstream."""
    said = f"the worker does not ask the upstream now: {state.pause_reason}"
    return findings.warning("pause", said, "it tries on by itself; what it met is to be found above or below")


def work_judged(failing: int, dead: Mapping[states.Kind, int]) -> Finding:
    """Whether jobs fail."""
    told = [f"{figures.count(count)} of kind {kind} given up" for kind, count in dead.items()]
    if failing:
        told.insert(0, f"{figures.count(failing)} failed when last tried")
    if told:
        advice = "`runledger jobs --by cause` tells why; `runledger jobs retry` tries them again"
        return findings.warning("jobs", ", ".join(told), advice)
    return findings.ok("jobs", "none fails")


def unsent_told(count: int) -> Finding:
    """Notifications that no worker can send."""
    said = f"{figures.count(count)} wait, and no worker that has RUNLEDGER_NOTIFY_URL was seen lately"
    return findings.warning("notifications", said, "start a worker that has it, on this database")


def expectations_judged(overdue: int) -> Finding:
    """Whether runs should have ended long ago."""
    if overdue:
        said = f"{figures.count(overdue)} runs should have ended and are not settled"
        return findings.warning("expectations", said, "`runledger runs --status queued,running,lost`")
    return findings.ok("expectations", "no run is overdue")


def search_judged(behind: search.Lag, now: datetime, run_id: str | None = None) -> Finding:
    """Whether runs are found by their words; `run_id` is the one that has waited the longest."""
    if behind.since is None or now - behind.since < BEHIND:
        return findings.ok("search", "runs are found by their words")
    first = figures.instant(behind.since)
    said = f"{figures.count(behind.runs)} runs are not found by their words; the first has waited since {first}"
    said += "" if run_id is None else f": run {run_id}"
    advice = "`runledger serve` indexes them; `runledger search status` tells how far it is"
    return findings.warning("search", said, advice)


async def _endpoint(store: door.Database, scene: Scene, now: datetime) -> list[Finding]:
    """The endpoint that was registered for platform events, as it stands upstream now."""
    known = await store.read(webhooks.known, now)
    if not known.endpoints:
        return []
    if not scene.keys:
        said = "there are registered secrets, and no key that could open them"
        return [findings.warning("webhook endpoint", said, "give RUNLEDGER_SECRET_KEYS or secret.key back")]
    encoding, timing = scene.given.webhook_key_encoding, backoff.Timing()
    # What it would log, it tells us as warnings.
    ring = keyring.Keyring(store, vault.Vault(scene.keys), (), encoding, timing, lambda _: None)
    seen = [await _seen(scene, each, now) for each in known.endpoints]
    return list(_endpoint_told(await ring.warnings(now, seen), seen[0], now))


async def _seen(scene: Scene, endpoint: webhooks.Endpoint, now: datetime) -> webhooks.Endpoint:
    """An endpoint with what the upstream shows of it, which is not kept; as it was where it shows nothing."""
    key = scene.given.casedev_api_key.get_secret_value()
    if endpoint.upstream_id is None or scene.lacks("casedev_base_url"):
        return endpoint
    with contextlib.suppress(errors.UpstreamError, errors.SettingsError):  # told by the check of the upstream
        async with contextlib.aclosing(
            client.Client(scene.given.casedev_base_url, key, timeout=scene.timeout, connections=1)
        ) as asked:
            shown = await asked.webhooks.get(endpoint.upstream_id)
            if shown is None:
                await asked.webhooks.list()  # where that is not there either, all is, and the endpoint is not gone
            status, failures = upstream.state(shown)
            return replace(endpoint, status=status, failures=failures, checked_at=now, check_error=None)
    return endpoint


def _endpoint_told(warnings: list[str], endpoint: webhooks.Endpoint, now: datetime) -> Iterator[Finding]:
    for sentence in warnings:
        said, _, advice = sentence.rpartition(": ")
        yield findings.warning("webhook endpoint", said or advice, advice)
    if not warnings:
        seen = "" if endpoint.checked_at is None else f", seen {figures.age(endpoint.checked_at, now)}"
        yield findings.ok("webhook endpoint", f"{endpoint.upstream_id} is {endpoint.status or 'registered'}{seen}")
