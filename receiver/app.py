"""Assembly: what stands where, and in which order it starts and stops. No decision is taken here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import (
    access_log,
    addresses,
    admission,
    api,
    backoff,
    callbacks,
    clearing,
    clock,
    endpoint,
    followups,
    indexer,
    keyring,
    live,
    notify,
    problems,
    rejections,
    sealer,
    settings,
    signatures,
    stopping,
    tasks,
    telemetry,
    tokens,
    vault,
    worker,
)
from receiver.upstream import client, wire
from storage import database, dialect, inspection, jobs, migrations, news, sql, transitions, writer

Work = Callable[[], Coroutine[Any, Any, None]]
Life = Callable[[], AbstractAsyncContextManager[None]]
#: Seconds before background work that broke is begun anew, and before a database is listened to again.
RESTART = 1.0
LISTEN_AGAIN = 5.0


@dataclass(frozen=True)
class Seams:
    """Where a test or a host program may stand in: time, waits, wires to upstream and backend, commits, bounds."""

    timing: backoff.Timing = field(default_factory=backoff.Timing)
    clock: Callable[[], datetime] = field(default_factory=clock.Shared)
    transport: wire.Transport | None = None
    backend: wire.Transport | None = None
    observe: Callable[[writer.Group], None] | None = None
    queue: database.Limits | None = None
    bounds: admission.Bounds = field(default_factory=admission.Bounds)


class Application:
    """The server as one ASGI application: the public endpoints in front, everything else behind them.

    It may be mounted under a path of another application, which then has to run its `lifespan`.
    """

    def __init__(self, public: ASGIApp, private: Starlette, stop: asyncio.Event, life: Life) -> None:
        self._public = public
        self._private = private
        self._stopping = stop
        self._life = life
        self._began = self._lives = False
        private.router.lifespan_context = self.lifespan

    @asynccontextmanager
    async def lifespan(self, _host: object = None) -> AsyncIterator[None]:
        """Everything that lives as long as the server, around the block; once. For a host: its `lifespan=`.

        Starlette does not run the lifespans of what is mounted. The block has to be in the loop of the requests;
        at its end the worker drains. Raises SettingsError, InUse, SchemaMismatch, Unavailable.
        """
        if self._began:
            raise RuntimeError("an application lives once: make another one with create_app")
        self._began = True
        async with self._life():
            self._lives = True
            try:
                with stopping.heard(self.stop):
                    yield
            finally:
                self._lives = False
                self.stop()

    def stop(self) -> None:
        """Says that the server is about to stop: requests that wait for a result are answered now."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._private(scope, receive, send)
            return
        if not self._lives:
            raise RuntimeError("Runledger's lifespan does not run: give `lifespan=ledger.lifespan` to its host")
        below = addresses.below(scope)
        scope = {**scope, "path": scope.get("root_path", "") + below}  # whole again where a proxy took a part off
        is_public = scope["type"] == "http" and callbacks.is_public(below)
        await (self._public if is_public else self._private)(scope, receive, send)


@dataclass(frozen=True)
class _House:
    """What a server has, and a worker that has no server."""

    given: settings.Settings
    seams: Seams
    told: telemetry.Telemetry
    store: database.Database
    signer: tokens.Signer
    notifier: notify.Notifier | None
    #: Set when the server is told to stop.
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def create_app(given: settings.Settings, *, seams: Seams | None = None, with_worker: bool = True) -> Application:
    """The server for `given` settings. Raises SettingsError; opening the database may raise at start-up."""
    made = _house(given, seams or Seams(), with_worker)
    seams, told, store = made.seams, made.told, made.store
    secrets = _keyring(made)
    ring = rejections.Ring(store, seams.clock)
    public = callbacks.Public(
        store,
        made.signer,
        secrets,
        ring,
        told,
        seams.timing,
        seams.clock,
        given.body_limit,
        _admission(given, seams),
    )
    hub = live.Hub(seams.timing, told, made.stop)
    context = endpoint.Context(
        store,
        seams.timing,
        seams.clock,
        told,
        given.metrics == "open",
        warnings=secrets.warnings,
        listen=hub.listen if with_worker else None,
        stopping=made.stop,
        admission=public.admission,
        ask_sql=sql.Desk(given.sql_url).ask if given.sql == "on" and given.sql_url else None,
    )

    private = Starlette(
        routes=endpoint.routes(api.OPERATIONS, context),
        middleware=[Middleware(access_log.AccessLog), Middleware(problems.LastResort)],
        exception_handlers=problems.HANDLERS,
    )
    private.router.redirect_slashes = False  # a path that is not ours is a 404 problem, not a redirect
    return Application(
        problems.LastResort(callbacks.Callbacks(public)),
        private,
        made.stop,
        lambda: _serving(made, secrets, ring, hub if with_worker else None),
    )


@asynccontextmanager
async def working(given: settings.Settings, *, seams: Seams | None = None) -> AsyncIterator[None]:
    """A worker and a sealer without a server, around the block; at its end the worker drains.

    Raises SettingsError, InUse, SchemaMismatch, Unavailable.
    """
    made = _house(given, seams or Seams(), with_worker=True)
    async with _opened(made), _employed(made):
        yield


def _house(given: settings.Settings, seams: Seams, with_worker: bool) -> _House:
    if with_worker:
        settings.demand_api_key(given)
    told = telemetry.Telemetry()
    signer = tokens.Signer(settings.signing_keys(given))
    return _House(given, seams, told, _database(given, seams, told), signer, _notifier(given, seams))


def _admission(given: settings.Settings, seams: Seams) -> admission.Admission:
    room = max(seams.bounds.room, 4 * given.body_limit)  # a few of the largest bodies have to fit in
    return admission.Admission(admission.Room(room), admission.Buckets(seams.bounds), given.trusted_proxies)


def _database(given: settings.Settings, seams: Seams, told: telemetry.Telemetry) -> database.Database:
    def observe(group: writer.Group) -> None:
        told.committed(group)
        if seams.observe is not None:
            seams.observe(group)

    limits = replace(seams.queue or database.Limits(), silence_seconds=seams.timing.silence)
    return database.Database(given.url, limits=limits, observe=observe, pooler=given.database_pooler)


def _keyring(made: _House) -> keyring.Keyring:
    return keyring.Keyring(
        made.store,
        vault.Vault(settings.signing_keys(made.given)),
        [secret.get_secret_value() for secret in made.given.webhook_secrets],
        made.given.webhook_key_encoding,
        made.seams.timing,
        lambda trouble: made.told.log.error("webhook_secret_unusable", reason=trouble),
    )


@asynccontextmanager
async def _serving(
    made: _House, secrets: keyring.Keyring, ring: rejections.Ring, hub: live.Hub | None
) -> AsyncIterator[None]:
    """Everything that lives as long as the server; with a hub it works as well."""
    told, timing = made.told, made.seams.timing
    async with (
        _opened(made),
        _in_background(told, lambda: ring.run(timing.ring)),
        _in_background(told, lambda: secrets.run(timing.secrets, made.seams.clock)),
        AsyncExitStack() as stack,
    ):
        if hub is not None:
            # Streams last long, so they have connections of their own.
            streamed = await stack.enter_async_context(_upstream(made, hub.bounds.channels))
            await stack.enter_async_context(_in_background(told, lambda: hub.run(streamed)))
            await stack.enter_async_context(_employed(made))
        yield


@asynccontextmanager
async def _opened(made: _House) -> AsyncIterator[None]:
    """The database at its schema, told what follows an end. What was started last stops first."""
    given, store = made.given, made.store
    async with AsyncExitStack() as stack:
        stack.enter_context(dialect.sole_server(given.url))
        await stack.enter_async_context(store)
        stack.enter_context(_heard(made.stop, store.hurry))
        if given.is_embedded:
            await store.write(migrations.upgrade)
            await store.write(jobs.free_all)
        else:
            await store.read(inspection.demand_durable)
            await store.read(migrations.check)
            await stack.enter_async_context(_shared(made))
        await _take_over(made)
        wanted = followups.Wanted(store, made.seams.clock, given.url, given.notify_url, given.capture_events)
        await stack.enter_async_context(_in_background(made.told, await wanted.begin()))
        yield


async def _take_over(made: _House) -> None:
    """A copy is marked as restored before anything works on it; what was moved elsewhere is left alone."""
    if await made.store.read(transitions.demand_own):
        marked = await made.store.write(transitions.restored, made.seams.clock())
        made.told.log.warning("copy_taken_over", accepted=marked.accepted, queued=marked.queued)


@asynccontextmanager
async def _shared(made: _House) -> AsyncIterator[None]:
    """What a database is shared with: its clock, and the news of others, for which a connection stays its own."""
    store, ticking, told = made.store, made.seams.clock, made.told

    async def look() -> datetime | None:
        return await store.read(dialect.time)

    def missed(reason: str) -> None:
        told.log.warning("news_not_heard", reason=reason)

    async with AsyncExitStack() as stack:
        if isinstance(ticking, clock.Shared):
            await ticking.look(look)
            await stack.enter_async_context(_in_background(told, lambda: ticking.run(look)))
        if not (made.given.database_pooler or dialect.is_pooled(made.given.url)):
            hear = lambda: news.hear(made.given.url, store.heard, missed, LISTEN_AGAIN)  # noqa: E731
            await stack.enter_async_context(_in_background(told, hear))
        yield


@asynccontextmanager
async def _employed(made: _House) -> AsyncIterator[None]:
    """The sealer and the worker, with what they need."""
    given, seams, told, store = made.given, made.seams, made.told, made.store
    async with AsyncExitStack() as stack:
        if made.notifier is not None:
            stack.push_async_callback(made.notifier.aclose)
        await stack.enter_async_context(_in_background(told, lambda: sealer.run(store, told, seams.timing.poll)))
        await stack.enter_async_context(_in_background(told, lambda: indexer.run(store, told, seams.timing.poll)))
        clear = lambda: clearing.run(store, told, seams.clock, given.rejected_days, seams.timing.clear)  # noqa: E731
        await stack.enter_async_context(_in_background(told, clear))
        context = tasks.Context(
            store,
            await stack.enter_async_context(_upstream(made, given.jobs * 2)),
            seams.timing,
            seams.clock,
            _callback_url(given, made.signer),
            told,
            given.sweep_seconds or (seams.timing.sweep if given.public_url else seams.timing.sweep_alone),
            given.adopt == "all",
            given.public_url,
            made.notifier,
        )
        await stack.enter_async_context(_working(told, worker.Worker(context, given.jobs), made.stop))
        yield


@asynccontextmanager
async def _upstream(made: _House, connections: int) -> AsyncIterator[client.Client]:
    given, seams = made.given, made.seams
    opened = client.Client(
        given.casedev_base_url,
        given.casedev_api_key.get_secret_value(),
        seams.transport,
        lambda call: made.told.called(call.route, call.status, call.seconds, call.limits, seams.clock()),
        timeout=seams.timing.call,
        connections=connections,
        clock=seams.clock,
    )
    try:
        yield opened
    finally:
        await opened.aclose()


def _notifier(given: settings.Settings, seams: Seams) -> notify.Notifier | None:
    """The way to the backend; None where nobody is told."""
    secrets = [signatures.decode_own(secret.get_secret_value()) for secret in given.notify_secrets]
    if not given.notify_url:
        return None
    return notify.Notifier(
        given.notify_url,
        secrets,
        allow_private=given.notify_allow_private,
        timeout=seams.timing.notify,
        transport=seams.backend,
    )


def _callback_url(given: settings.Settings, signer: tokens.Signer) -> Callable[[str], str | None]:
    def url(run_id: str) -> str | None:
        return f"{given.public_url}{callbacks.CALLBACKS}{signer.token(run_id)}" if given.public_url else None

    return url


@asynccontextmanager
async def _in_background(told: telemetry.Telemetry, work: Work) -> AsyncIterator[None]:
    """`work` for as long as the block, cancelled at its end."""
    task = asyncio.create_task(_kept_up(told, work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _working(told: telemetry.Telemetry, made: worker.Worker, stop: asyncio.Event) -> AsyncIterator[None]:
    """A worker for as long as the block; it drains at its end, or already while requests under way do."""
    task = asyncio.create_task(_kept_up(told, made.run))
    try:
        with _heard(stop, made.stop):
            yield
    finally:
        made.stop()
        await task


@contextmanager
def _heard(stop: asyncio.Event, then: Callable[[], None]) -> Iterator[None]:
    """Calls `then` once the server is told to stop, or the block is over."""
    hearing = asyncio.create_task(stop.wait())
    hearing.add_done_callback(lambda _: then())
    try:
        yield
    finally:
        hearing.cancel()


async def _kept_up(told: telemetry.Telemetry, work: Work) -> None:
    """Runs `work` to its end. One that breaks is told of and begun anew: silence would be the worst of ends."""
    while True:
        task = asyncio.create_task(work())
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            await asyncio.wait([task])
        if task.cancelled() or task.exception() is None:
            return
        told.log.error("background_work_broke", exc_info=task.exception())
        await asyncio.sleep(RESTART)
