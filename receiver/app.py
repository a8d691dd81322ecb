"""Assembly: what stands where, and in which order it starts and stops. No decision is taken here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver import (
    access_log,
    addresses,
    api,
    backoff,
    callbacks,
    clock,
    endpoint,
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
from storage import database, dialect, house, jobs, migrations

Work = Callable[[], Coroutine[Any, Any, None]]
Life = Callable[[], AbstractAsyncContextManager[None]]
#: Seconds before background work that broke is begun anew.
RESTART = 1.0


@dataclass(frozen=True)
class Seams:
    """Where a test or a host program may stand in: time, waits, the wires to upstream and backend, the commits."""

    timing: backoff.Timing = field(default_factory=backoff.Timing)
    clock: Callable[[], datetime] = clock.now
    transport: wire.Transport | None = None
    backend: wire.Transport | None = None
    observe: Callable[[database.Group], None] | None = None


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


def create_app(given: settings.Settings, *, seams: Seams | None = None, with_worker: bool = True) -> Application:
    """The server for `given` settings. Raises SettingsError; opening the database may raise at start-up."""
    seams = seams or Seams()
    if with_worker:
        settings.demand_api_key(given)
    told = telemetry.Telemetry()
    store = _database(given, seams, told)
    signer = tokens.Signer(settings.signing_keys(given))
    secrets = _keyring(given, seams, store, told)
    notifier = _notifier(given, seams)
    ring = rejections.Ring(store, seams.clock)
    public = callbacks.Public(
        store,
        signer,
        secrets,
        ring,
        told,
        seams.timing,
        seams.clock,
        given.body_limit,
        given.trusted_proxies,
    )
    stop = asyncio.Event()
    hub = live.Hub(seams.timing, told, stop)
    context = endpoint.Context(
        store,
        seams.timing,
        seams.clock,
        told,
        given.metrics == "open",
        warnings=secrets.warnings,
        listen=hub.listen if with_worker else None,
        stopping=stop,
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
        stop,
        lambda: _running(given, seams, store, signer, secrets, told, ring, notifier, hub, with_worker),
    )


def _database(given: settings.Settings, seams: Seams, told: telemetry.Telemetry) -> database.Database:
    def observe(group: database.Group) -> None:
        told.committed(group)
        if seams.observe is not None:
            seams.observe(group)

    return database.Database(given.url, observe=observe)


def _keyring(
    given: settings.Settings, seams: Seams, store: database.Database, told: telemetry.Telemetry
) -> keyring.Keyring:
    return keyring.Keyring(
        store,
        vault.Vault(settings.signing_keys(given)),
        [secret.get_secret_value() for secret in given.webhook_secrets],
        given.webhook_key_encoding,
        seams.timing,
        lambda trouble: told.log.error("webhook_secret_unusable", reason=trouble),
    )


@asynccontextmanager
async def _running(
    given: settings.Settings,
    seams: Seams,
    store: database.Database,
    signer: tokens.Signer,
    secrets: keyring.Keyring,
    told: telemetry.Telemetry,
    ring: rejections.Ring,
    notifier: notify.Notifier | None,
    hub: live.Hub,
    with_worker: bool,
) -> AsyncIterator[None]:
    """Everything that lives as long as the server. What was started last stops first."""
    async with AsyncExitStack() as stack:
        stack.enter_context(dialect.sole_server(given.url))
        await stack.enter_async_context(store)
        if given.is_embedded:
            await store.write(migrations.upgrade)
            await store.write(jobs.free_all)
        else:
            await store.read(migrations.check)
        await store.write(house.follow, house.Follows(bool(given.notify_url), given.capture_events))
        await stack.enter_async_context(_in_background(told, lambda: ring.run(seams.timing.ring)))
        await stack.enter_async_context(
            _in_background(told, lambda: secrets.run(seams.timing.secrets, seams.clock))
        )
        if notifier is not None:
            stack.push_async_callback(notifier.aclose)
        if with_worker:
            await stack.enter_async_context(
                _in_background(told, lambda: sealer.run(store, told, seams.timing.poll))
            )
            upstream = await stack.enter_async_context(_upstream(given, seams, told, given.jobs * 2))
            # Streams last long, so they have connections of their own.
            streamed = await stack.enter_async_context(_upstream(given, seams, told, hub.bounds.channels))
            await stack.enter_async_context(_in_background(told, lambda: hub.run(streamed)))
            context = tasks.Context(
                store,
                upstream,
                seams.timing,
                seams.clock,
                _callback_url(given, signer),
                told,
                given.sweep_seconds or _sweep_seconds(given, seams.timing),
                given.adopt == "all",
                given.public_url,
                notifier,
            )
            await stack.enter_async_context(_working(told, worker.Worker(context, given.jobs)))
        yield


@asynccontextmanager
async def _upstream(
    given: settings.Settings, seams: Seams, told: telemetry.Telemetry, connections: int
) -> AsyncIterator[client.Client]:
    made = client.Client(
        given.casedev_base_url,
        given.casedev_api_key.get_secret_value(),
        seams.transport,
        lambda call: told.called(call.route, call.status, call.seconds, call.limits, seams.clock()),
        timeout=seams.timing.call,
        connections=connections,
    )
    try:
        yield made
    finally:
        await made.aclose()


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


def _sweep_seconds(given: settings.Settings, timing: backoff.Timing) -> float:
    return timing.sweep if given.public_url else timing.sweep_alone


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
async def _working(told: telemetry.Telemetry, made: worker.Worker) -> AsyncIterator[None]:
    """A worker for as long as the block; at its end it drains."""
    task = asyncio.create_task(_kept_up(told, made.run))
    try:
        yield
    finally:
        made.stop()
        await task


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
