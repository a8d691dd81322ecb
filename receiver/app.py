"""Assembly of the server: its components and the order in which they start and stop. No decision is taken here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from receiver import clock, settings, signing_keys, telemetry, timeouts
from receiver.api import route_table
from receiver.crypto import log_keys, secret_box, signatures, tokens
from receiver.inbound import endpoints, processing, rejection_buffer, signature_doctor, webhook_secrets
from receiver.outbound import notification_sender
from receiver.server import application
from receiver.streams import broker
from receiver.upstream import client, exchange
from receiver.web import operations, problems, request_limits, routing
from receiver.worker import (
    agent_names,
    follow_ups,
    indexer,
    ledger_tasks,
    loop,
    retention,
    sequencer,
)
from receiver.worker import context as worker_context
from storage.engine import database, dialect, file_watch, urls, writer
from storage.maintenance import integrity
from storage.migrations import schema_version
from storage.repositories import jobs, system_state
from storage.transitions import restoring
from storage.user_sql import sql_runner

Work = Callable[[], Coroutine[Any, Any, None]]
#: Checks of the server's settings and surroundings: the database, and the lines about them that a page shows.
Checks = Callable[[database.Database], Awaitable[Sequence[Any]]]
#: Seconds before failed background work restarts, and before a lost LISTEN connection is opened again.
RESTART = 1.0
LISTEN_AGAIN = 5.0


@dataclass(frozen=True)
class Overrides:
    """Replacements for tests and host programs: time, waits, transports, a commit observer, bounds."""

    timing: timeouts.Timing = field(default_factory=timeouts.Timing)
    clock: Callable[[], datetime] = field(default_factory=clock.SharedClock)
    transport: exchange.Transport | None = None
    backend_transport: exchange.Transport | None = None
    observe: Callable[[writer.CommitBatch], None] | None = None
    write_limits: database.Limits | None = None
    bounds: request_limits.Bounds = field(default_factory=request_limits.Bounds)


@dataclass(frozen=True)
class _Components:
    """The components of a server, or of a worker without a server."""

    given: settings.Settings
    overrides: Overrides
    telemetry: telemetry.Telemetry
    store: database.Database
    signer: tokens.Signer
    #: The keys that sign checkpoints, newest first.
    log_signers: Sequence[log_keys.Signer]
    notifier: notification_sender.Notifier | None
    #: Set when the server has to stop.
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def create_app(
    given: settings.Settings,
    *,
    overrides: Overrides | None = None,
    with_worker: bool = True,
    checks: Checks | None = None,
) -> application.Application:
    """Build the server for `given` settings. Raises SettingsError; opening the database may raise at start-up.

    The page of the settings shows what `checks` finds.
    """
    components = _components(given, overrides or Overrides(), with_worker)
    overrides, telemetry, store = components.overrides, components.telemetry, components.store
    secrets, limits = _webhook_secrets(components), _limits(given, overrides)
    rejected = rejection_buffer.RejectionBuffer(store, overrides.clock)
    public = endpoints.PublicEndpoints(
        store,
        components.signer,
        secrets,
        rejected,
        telemetry,
        overrides.timing,
        overrides.clock,
        given.body_limit,
        limits,
    )
    event_broker = broker.Broker(overrides.timing, telemetry, components.stop)
    context = operations.Context(
        store,
        overrides.timing,
        overrides.clock,
        telemetry,
        given.metrics == "open",
        warnings=secrets.warnings,
        process=processing.Processor(store, secrets),
        listen=event_broker.listen if with_worker else None,
        stopping=components.stop,
        limits=limits,
        ledger=operations.Ledger(signing_keys.policy(given), given.ledger == "open"),
        run_sql=sql_runner.SqlRunner(given.sql_url).run if given.sql == "on" and given.sql_url else None,
    )
    return application.Application(
        problems.LastResort(public),
        _with_pages(given, context, secrets, routing.Api(route_table.OPERATIONS, context), checks),
        components.stop,
        lambda: _serving(components, secrets, rejected, event_broker if with_worker else None),
    )


def _with_pages(
    given: settings.Settings,
    context: operations.Context,
    secrets: webhook_secrets.WebhookSecrets,
    api: ASGIApp,
    checks: Checks | None,
) -> ASGIApp:
    """Return the API with the pages in front of it, where they are turned on."""
    if given.pages == "off":
        return api
    # They and their templates take a sixth of the time to import, and a worker shows none.
    from receiver.pages import configuration, page_table, requests, sessions, site

    signer, rows = sessions.Signer(signing_keys.of_addresses(given)), configuration.rows(given)
    is_https, doctor = given.public_url.startswith("https:"), signature_doctor.Doctor(secrets)
    made = requests.Context(context, signer, is_https, configuration=rows, examine=doctor, checks=checks)
    return site.Site(page_table.PAGES, made, api)


@asynccontextmanager
async def working(given: settings.Settings, *, overrides: Overrides | None = None) -> AsyncIterator[None]:
    """Run a worker and a sequencer without a server, within the block; at its end the worker drains.

    Raises SettingsError, DatabaseInUse, SchemaMismatch, Unavailable.
    """
    components = _components(given, overrides or Overrides(), with_worker=True)
    async with _opened(components) as stack:
        _start_worker(components, stack)
        yield


def _components(given: settings.Settings, overrides: Overrides, with_worker: bool) -> _Components:
    if with_worker:
        settings.require_api_key(given)
    monitor = telemetry.Telemetry()
    signer, log_signers = tokens.Signer(signing_keys.of_addresses(given)), signing_keys.of_ledger(given)
    store = _database(given, overrides, monitor)
    return _Components(given, overrides, monitor, store, signer, log_signers, _notifier(given, overrides))


def _limits(given: settings.Settings, overrides: Overrides) -> request_limits.Limits:
    memory = max(overrides.bounds.body_bytes, 4 * given.body_limit)  # room for at least some of the largest bodies
    return request_limits.Limits(
        request_limits.BodyBudget(memory), request_limits.Buckets(overrides.bounds), given.trusted_proxies
    )


def _database(given: settings.Settings, overrides: Overrides, telemetry: telemetry.Telemetry) -> database.Database:
    def observe(batch: writer.CommitBatch) -> None:
        telemetry.committed(batch)
        if overrides.observe is not None:
            overrides.observe(batch)

    limits = replace(
        overrides.write_limits or database.Limits(), response_seconds=overrides.timing.database_timeout
    )
    return database.Database(given.url, limits=limits, observe=observe, pooler=given.database_pooler)


def _webhook_secrets(components: _Components) -> webhook_secrets.WebhookSecrets:
    return webhook_secrets.WebhookSecrets(
        components.store,
        secret_box.SecretBox(signing_keys.of_addresses(components.given)),
        [secret.get_secret_value() for secret in components.given.webhook_secrets],
        components.given.webhook_key_encoding,
        components.overrides.timing,
        lambda trouble: components.telemetry.log.error("webhook_secret_rejected", reason=trouble),
    )


@asynccontextmanager
async def _serving(
    components: _Components,
    secrets: webhook_secrets.WebhookSecrets,
    rejected: rejection_buffer.RejectionBuffer,
    event_broker: broker.Broker | None,
) -> AsyncIterator[None]:
    """Run all components that live as long as the server; with a broker also the worker."""
    telemetry, timing = components.telemetry, components.overrides.timing
    async with _opened(components) as stack:
        _in_background(stack, telemetry, lambda: rejected.run(timing.rejection_flush))
        _in_background(stack, telemetry, lambda: secrets.run(timing.secrets, components.overrides.clock))
        if event_broker is not None:
            # Streams last long, so they have their own connections.
            stream_client = _upstream(components, stack, event_broker.bounds.channels)
            _in_background(stack, telemetry, lambda: event_broker.run(stream_client))
            _start_worker(components, stack)
        yield


@asynccontextmanager
async def _opened(components: _Components) -> AsyncIterator[AsyncExitStack]:
    """Open the database at its current schema and record the follow-ups.

    Yield the stack on which further components start; the last one to start is the first to stop.
    """
    given, store, overrides = components.given, components.store, components.overrides
    async with AsyncExitStack() as stack:
        stack.enter_context(urls.server_lock(given.url))
        await stack.enter_async_context(store)
        stack.enter_context(_on_stop(components.stop, store.fail_fast))
        if given.is_embedded:
            await store.write(schema_version.upgrade)
            await store.write(jobs.release_all)
            _in_background(stack, components.telemetry, lambda: file_watch.watch(store, overrides.timing.poll))
        else:
            await store.read(integrity.require_durable)
            await store.read(schema_version.check)
            await _follow_shared(components, stack)
        await _mark_copy(components)
        needs = system_state.FollowUps(bool(given.notify_url), given.capture_events)
        record = partial(follow_ups.record, store, overrides.clock, needs, alone=given.is_embedded)
        await record()
        _in_background(stack, components.telemetry, partial(follow_ups.run, record))
        yield stack


async def _mark_copy(components: _Components) -> None:
    """Mark a copied database as restored before anything works on it. One that was moved elsewhere is refused."""
    if await components.store.read(system_state.require_original):
        marked = await components.store.write(restoring.mark_restored, components.overrides.clock())
        components.telemetry.log.warning("store_marked_restored", accepted=marked.accepted, queued=marked.queued)


async def _follow_shared(components: _Components, stack: AsyncExitStack) -> None:
    """Follow the clock of a shared database, and listen for its commits on a separate connection."""
    given, store, telemetry = components.given, components.store, components.telemetry
    shared_clock = components.overrides.clock
    read_time = partial(store.read, dialect.server_time)

    def on_failure(reason: str) -> None:
        telemetry.log.warning("listener_disconnected", reason=reason)

    if isinstance(shared_clock, clock.SharedClock):
        await shared_clock.synchronize(read_time)
        _in_background(stack, telemetry, lambda: shared_clock.run(read_time))
    if not (given.database_pooler or urls.is_pooled(given.url)):
        # Its driver is slow to import, and not needed for an embedded database.
        from storage.engine.postgresql import listener

        _in_background(stack, telemetry, lambda: listener.listen(store, on_failure, LISTEN_AGAIN))


def _start_worker(components: _Components, stack: AsyncExitStack) -> None:
    """Run the sequencer, the indexer and the worker, which drains at the end or once the server is stopping."""
    given, overrides, timing = components.given, components.overrides, components.overrides.timing
    telemetry, store = components.telemetry, components.store
    if components.notifier is not None:
        stack.push_async_callback(components.notifier.aclose)
    if urls.file_path(store.url) is None:
        _in_background(stack, telemetry, lambda: sequencer.run(store, telemetry, timing.poll))
    _sign_ledger(components, stack)
    _in_background(stack, telemetry, lambda: indexer.run(store, telemetry, timing.poll))
    _in_background(
        stack,
        telemetry,
        lambda: retention.run(
            store, telemetry, overrides.clock, given.rejected_days, timing.retention, ages=given.retention
        ),
    )
    context = worker_context.Context(
        store,
        _upstream(components, stack, given.worker_concurrency * 2),
        timing,
        overrides.clock,
        partial(_callback_url, given, components.signer),
        telemetry,
        given.sweep_seconds or (timing.sweep if given.public_url else timing.sweep_only),
        given.adopt == "all",
        given.public_url,
        components.notifier,
    )
    _in_background(stack, telemetry, lambda: agent_names.run(context))
    worker = loop.Worker(context, given.worker_concurrency)
    stack.push_async_callback(_drained, worker, asyncio.create_task(_restarted(telemetry, worker.run)))
    stack.enter_context(_on_stop(components.stop, worker.stop))


def _sign_ledger(components: _Components, stack: AsyncExitStack) -> None:
    """Run the tasks that sign and publish the checkpoints of the ledger."""
    given, overrides, policy = components.given, components.overrides, signing_keys.policy(components.given)
    publishes = ledger_tasks.Publishing(
        policy, components.log_signers, given.ledger_checkpoint_dir, overrides.timing, components.telemetry
    )
    for work in publishes.tasks(components.store, overrides.clock):
        _in_background(stack, components.telemetry, work)


def _upstream(components: _Components, stack: AsyncExitStack, connections: int) -> client.Client:
    given, overrides, monitor = components.given, components.overrides, components.telemetry
    opened = client.Client(
        given.casedev_base_url,
        given.casedev_api_key.get_secret_value(),
        overrides.transport,
        lambda call: monitor.called(call.route, call.status, call.seconds, call.limits, overrides.clock()),
        timeout=overrides.timing.call,
        connections=connections,
        clock=overrides.clock,
    )
    stack.push_async_callback(opened.aclose)
    return opened


def _notifier(given: settings.Settings, overrides: Overrides) -> notification_sender.Notifier | None:
    """Return the notifier; None where no backend is notified."""
    secrets = [signatures.decode_notify_secret(secret.get_secret_value()) for secret in given.notify_secrets]
    if not given.notify_url:
        return None
    return notification_sender.Notifier(
        given.notify_url,
        secrets,
        allow_private=given.notify_allow_private,
        timeout=overrides.timing.notify,
        transport=overrides.backend_transport,
    )


def _callback_url(given: settings.Settings, signer: tokens.Signer, run_id: str) -> str | None:
    return f"{given.public_url}{endpoints.CALLBACKS}{signer.token(run_id)}" if given.public_url else None


def _in_background(stack: AsyncExitStack, telemetry: telemetry.Telemetry, work: Work) -> None:
    """Run `work` until the stack ends, which cancels it."""
    stack.push_async_callback(_cancelled, asyncio.create_task(_restarted(telemetry, work)))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _drained(worker: loop.Worker, task: asyncio.Task[None]) -> None:
    worker.stop()
    await task


@contextmanager
def _on_stop(stop: asyncio.Event, then: Callable[[], None]) -> Iterator[None]:
    """Call `then` once the server is stopping, or when the block ends."""
    stop_task = asyncio.create_task(stop.wait())
    stop_task.add_done_callback(lambda _: then())
    try:
        yield
    finally:
        stop_task.cancel()


async def _restarted(telemetry: telemetry.Telemetry, work: Work) -> None:
    """Run `work` to its end. Work that fails is logged and restarted, since a silent end would go unnoticed."""
    while True:
        task = asyncio.create_task(work())
        try:
            await asyncio.wait([task])
        finally:
            await _cancelled(task)
        if task.cancelled() or task.exception() is None:
            return
        telemetry.log.error("background_task_failed", exc_info=task.exception())
        await asyncio.sleep(RESTART)
