"""Checks of the database and of what it records: the worker, its pause, failing jobs, overdue runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from receiver import clock, errors, timeouts
from receiver.cli import open_database
from receiver.cli.doctor import findings
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.cli.render import format as render_format
from receiver.crypto import secret_box
from receiver.inbound import webhook_secrets
from receiver.upstream import client, webhooks
from receiver.web import readiness
from storage import errors as storage_errors
from storage import states
from storage.engine import database as storage_database
from storage.engine import urls
from storage.ledger import publication
from storage.maintenance import integrity
from storage.migrations import schema_version
from storage.repositories import job_counts, runs, system_state, webhook_endpoints
from storage.search import index

#: A run should be indexed after this long.
BEHIND = timedelta(minutes=10)


async def database(context: CheckContext) -> AsyncIterator[Finding]:
    """Check the database, its schema, and its content; each only where the one before is sound."""
    if context.lacks("data_dir", "database_url"):
        return
    if context.file is not None and context.is_new:
        message = f"there is none at {open_database.short_path(context.file)} yet"
        yield findings.warning("database", message, "`runledger serve` makes it")
        return
    if context.file is not None:
        found = await _inspected(context.file, context.timeout)
        yield found
        if found.level is findings.Level.FAULT:
            return
    async with storage_database.Database(context.given.url, pooler=context.given.database_pooler) as store:
        if context.file is None:
            reached = await _reached(store, context)
            yield reached
            if reached.level is findings.Level.FAULT:
                return
        schema = await _schema(store, context)
        yield schema
        if schema.level is not findings.Level.FAULT:
            async for each in _content(store, context):
                yield each


async def _inspected(file: str, seconds: float) -> Finding:
    try:
        seen = await asyncio.to_thread(integrity.inspect, file, seconds / 2)
    except storage_errors.Unavailable as error:
        advice = "set RUNLEDGER_DATA_DIR to the folder that you mean, or put back the last copy of the file"
        return findings.fault("database", f"{open_database.short_path(file)} cannot be opened: {error}", advice)
    return file_finding(seen, open_database.short_path(file))


async def _reached(store: storage_database.Database, context: CheckContext) -> Finding:
    place = urls.redacted(context.given.url)
    try:
        async with asyncio.timeout(context.timeout):
            return server_finding(await store.read(integrity.server_state), place)
    except TimeoutError:
        message = f"{place} does not answer in time"
    except storage_errors.Unavailable as error:
        message = f"{place} cannot be used: {' '.join(str(error).split())}"
    except storage_errors.WrongEncoding as error:
        message, _, advice = str(error).partition(": ")
        return findings.fault("database", f"{place}: {message}", advice)
    return findings.fault(
        "database", message, "check that the server runs and RUNLEDGER_DATABASE_URL is its address"
    )


def server_finding(seen: integrity.ServerState, place: str) -> Finding:
    """Return whether a database server's commits are durable, and whether it accepts writes."""
    if not seen.is_durable:
        advice = "ALTER DATABASE … SET synchronous_commit = on, and restart the servers"
        return findings.fault(
            "database", f"{place} may lose what it has committed: synchronous_commit is off", advice
        )
    if seen.is_standby:
        advice = "set RUNLEDGER_DATABASE_URL to the primary"
        return findings.fault("database", f"{place} is a standby, which accepts no writes", advice)
    return findings.ok("database", f"PostgreSQL {seen.version} at {place}; commits are durable")


def file_finding(seen: integrity.Inspection, file: str) -> Finding:
    """Return whether the file is sound, and has the right journal mode."""
    size = render_format.size(seen.size)
    if seen.damage is not None:
        advice = "stop the server, keep a copy of the file, and put back your last copy of it"
        return findings.fault("database", f"{file} is damaged: {seen.damage}", advice)
    if seen.journal_mode != "wal":
        message = f"{file} has the journal mode {seen.journal_mode}, not wal"
        return findings.warning("database", message, "`runledger serve` sets it, on a local disk")
    if not seen.is_complete:
        advice = "sqlite3 FILE 'PRAGMA quick_check' checks it, and takes its time"
        message = f"{file}, {size}: too large to be checked whole here"
        return findings.warning("database", message, advice)
    return findings.ok("database", f"{file}, {size}, is sound; journal mode wal")


async def _schema(store: storage_database.Database, context: CheckContext) -> Finding:
    try:
        found = await store.read(schema_version.current)
        if found is None:
            makes = "runledger migrate" if context.file is None else "runledger serve"
            return findings.fault("schema", "the database is empty", f"`{makes}` fills it, if it is the right one")
        await store.read(schema_version.check)
    except (storage_errors.SchemaMismatch, storage_errors.Unavailable) as error:
        message, _, advice = str(error).rpartition(": ")
        return findings.fault("schema", message or advice, advice)
    return findings.ok("schema", f"{found}, which is that of this release")


async def _content(store: storage_database.Database, context: CheckContext) -> AsyncIterator[Finding]:
    now = clock.now()
    state = await store.read(system_state.read)
    yield worker_finding(state, now)
    if state.pause_streak:
        yield pause_finding(state)
    yield work_finding(await store.read(job_counts.count_failing), await store.read(job_counts.count_dead))
    unsent = await store.read(job_counts.count_open, states.Kind.NOTIFY)
    if unsent and not state.has_notifier(now, timeouts.Timing().worker_gone_after):
        yield unsent_finding(unsent)
    yield expectations_finding(await store.read(runs.overdue, now))
    _, first = await store.read(index.waits_longest, now - BEHIND)
    yield search_finding(await store.read(index.lag), now, first)
    yield ledger_finding(await store.read(publication.read))
    async for each in _endpoint(store, context, now):
        yield each


def ledger_finding(reports: Sequence[publication.Report]) -> Finding:
    """Return whether the checkpoints of the ledger are signed and published."""
    problems = readiness.ledger_problems(reports)
    advice = "docs/operate/ledger.md says what to do"
    if any(each.problem for each in reports if each.subject == publication.SIGNING):
        return findings.fault("ledger", "; ".join(problems), advice)
    if problems:
        return findings.warning("ledger", "; ".join(problems), advice)
    return findings.ok("ledger", "its checkpoints are signed and published")


def worker_finding(state: system_state.State, now: datetime) -> Finding:
    """Return whether a worker is alive."""
    seen, advice = state.worker_seen_at, "start `runledger serve`: until then runs are accepted and not sent"
    if seen is None:
        return findings.warning("worker", "none was ever seen on this database", advice)
    if now - seen > timedelta(seconds=timeouts.Timing().worker_gone_after):
        return findings.warning("worker", f"last seen {render_format.age(seen, now)}", advice)
    return findings.ok("worker", f"at work, seen {render_format.age(seen, now)}")


def pause_finding(state: system_state.State) -> Finding:
    """Return why the worker does not call the upstream."""
    message = f"the worker does not call the upstream now: {state.pause_reason}"
    return findings.warning("pause", message, "it retries by itself; other lines name the cause")


def work_finding(failing: int, dead: Mapping[states.Kind, int]) -> Finding:
    """Return whether jobs fail."""
    parts = [f"{render_format.count(count)} of kind {kind} given up" for kind, count in dead.items()]
    if failing:
        parts.insert(0, f"{render_format.count(failing)} failed when last tried")
    if parts:
        advice = "`runledger jobs --by cause` shows why; `runledger jobs retry` tries them again"
        return findings.warning("jobs", ", ".join(parts), advice)
    return findings.ok("jobs", "none fails")


def unsent_finding(count: int) -> Finding:
    """Return that no worker can send the notifications that wait."""
    message = f"{render_format.count(count)} wait, and no worker that has RUNLEDGER_NOTIFY_URL was seen lately"
    return findings.warning("notifications", message, "start a worker that has it, on this database")


def expectations_finding(overdue: int) -> Finding:
    """Return whether runs are overdue."""
    if overdue:
        message = f"{render_format.count(overdue)} runs should have ended and are not settled"
        return findings.warning("expectations", message, "`runledger runs --status queued,running,lost`")
    return findings.ok("expectations", "no run is overdue")


def search_finding(behind: index.Lag, now: datetime, run_id: str | None = None) -> Finding:
    """Return whether runs are indexed; `run_id` is the one that has waited the longest."""
    if behind.since is None or now - behind.since < BEHIND:
        return findings.ok("search", "runs are found by their words")
    first = render_format.instant(behind.since)
    message = (
        f"{render_format.count(behind.runs)} runs are not found by their words; the first has waited since {first}"
    )
    message += "" if run_id is None else f": run {run_id}"
    advice = "`runledger serve` indexes them; `runledger search status` shows how many wait"
    return findings.warning("search", message, advice)


async def _endpoint(
    store: storage_database.Database, context: CheckContext, now: datetime
) -> AsyncIterator[Finding]:
    """Check the registered endpoint for platform events against the upstream."""
    known = await store.read(webhook_endpoints.verification_set, now)
    if not known.endpoints:
        return
    if not context.keys:
        message = "there are registered secrets, and no key that could decrypt them"
        yield findings.warning("webhook endpoint", message, "restore RUNLEDGER_SECRET_KEYS or secret.key")
        return
    encoding, timing = context.given.webhook_key_encoding, timeouts.Timing()
    secrets = webhook_secrets.WebhookSecrets(
        store, secret_box.SecretBox(context.keys), (), encoding, timing, lambda _: None
    )
    endpoint, *others = [await _seen(context, each, now) for each in known.endpoints]
    warnings = await secrets.warnings(now, [endpoint, *others])
    for warning in warnings:
        message, _, advice = warning.rpartition(": ")
        yield findings.warning("webhook endpoint", message or advice, advice)
    if not warnings:
        seen = "" if endpoint.checked_at is None else f", seen {render_format.age(endpoint.checked_at, now)}"
        yield findings.ok("webhook endpoint", f"{endpoint.upstream_id} is {endpoint.status or 'registered'}{seen}")


async def _seen(
    context: CheckContext, endpoint: webhook_endpoints.Endpoint, now: datetime
) -> webhook_endpoints.Endpoint:
    """Return an endpoint with its state upstream, or as it is stored where the upstream shows none."""
    key = context.given.casedev_api_key.get_secret_value()
    if endpoint.upstream_id is None or context.lacks("casedev_base_url"):
        return endpoint
    with contextlib.suppress(errors.UpstreamError, errors.SettingsError):  # the check of the upstream reports it
        async with contextlib.aclosing(
            client.Client(context.given.casedev_base_url, key, timeout=context.timeout, connections=1)
        ) as asked:
            shown = await asked.webhooks.get(endpoint.upstream_id)
            if shown is None:
                await asked.webhooks.list()  # raises where the API is withdrawn: then the endpoint is not gone
            status, failures = webhooks.state(shown)
            return replace(endpoint, status=status, failures=failures, checked_at=now, check_error=None)
    return endpoint
