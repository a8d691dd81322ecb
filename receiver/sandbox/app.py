"""The sandbox, an imitation of the Case.dev agent-run API and of its bad days, as an ASGI app.

An island: it knows the published interface of the service and nothing of the rest of this product, so that tests
against it are tests against the interface. `faults.Faults` names everything that can be made to go wrong, at the
start or while it runs (`PUT /sandbox/faults`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator
from typing import TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from receiver.sandbox import (
    agent_api,
    control,
    endpoints,
    events,
    faults,
    holds,
    journal,
    messages,
    middleware,
    sending,
    state,
    streams,
    webhook_api,
)


class Sandbox(Starlette):
    """An empty sandbox. Runs take about `run_seconds` (0.8 to 1.2 times); `clock` gives seconds since 1970.

    Run ids and contents follow from `seed` and the order of the calls, so that two sandboxes of one seed mint the
    same ids. `public_only` refuses callback URLs on loopback, as the real service does. Every exchange is written
    to `record`, which stays open (`journal` describes the form). Needs its lifespan to be run; all timers and
    deliveries end with it.
    """

    def __init__(
        self,
        *,
        seed: int,
        run_seconds: float,
        switches: faults.Faults,
        public_only: bool = False,
        record: TextIO | None = None,
        clock: state.Clock = time.time,
    ) -> None:
        injector, world = faults.Injector(switches, seed), state.World(seed, run_seconds, clock)
        entries, held = journal.Journal(clock, record), holds.Holds(clock)
        registry = endpoints.Registry(seed, clock)
        sender = sending.Sender(injector, entries, held, registry)
        callbacks = sending.Callbacks(world, injector, sender, seed)
        platform = events.Events(world, injector, sender, registry, seed)
        ends = [callbacks.run_ended, platform.run_ended]
        lifecycle = state.Lifecycle(world, injector, platform.run_started, ends)
        self._wrap = functools.partial(
            middleware.Middleware, world=world, injector=injector, journal=entries, holds=held
        )
        self._injector, self._holds, self._stopped = injector, held, asyncio.Event()
        self._sender, self._lifecycle = sender, lifecycle
        routes = _routes(
            agent_api.Agents(world),
            agent_api.Runs(world, injector, lifecycle, public_only),
            streams.Streams(world, injector, self._stopped),
            webhook_api.Endpoints(registry, platform, injector, public_only),
            webhook_api.Deliveries(registry, platform),
            control.Control(world, injector, lifecycle, entries, held),
        )
        handlers = {messages.ApiError: self._error, HTTPException: self._error}
        super().__init__(routes=routes, lifespan=self._lifespan, exception_handlers=handlers)
        self.router.redirect_slashes = False

    def stop(self) -> None:
        """End streams and held calls now, so that the server, which is stopping, need not wait for them."""
        self._holds.close()
        self._stopped.set()

    def build_middleware_stack(self) -> ASGIApp:
        # Outermost, so that it sees error answers too.
        return self._wrap(super().build_middleware_stack(), self.routes)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._sender.open():
            yield
            self._lifecycle.close()

    def _error(self, request: Request, error: Exception) -> Response:
        """Answer an error, also of an unknown path or method, in the shape that the switches ask for."""
        # The control routes stay readable, whatever the switches say.
        shape = "status" if request.url.path.startswith("/sandbox/") else self._injector.faults.error_shape
        if isinstance(error, HTTPException):
            return messages.error(error.status_code, error.detail, shape, error.headers)
        if isinstance(error, messages.ApiError):
            return messages.error(error.status, error.message, shape)
        raise error


def _routes(
    agent: agent_api.Agents,
    run: agent_api.Runs,
    stream: streams.Streams,
    endpoint: webhook_api.Endpoints,
    delivery: webhook_api.Deliveries,
    behind: control.Control,
) -> list[Route]:
    table = [
        ("POST", "/agent/v1/agents", agent.create, "agents.create"),
        ("GET", "/agent/v1/agents", agent.list, "agents.list"),
        ("GET", "/agent/v1/agents/{id}", agent.get, "agents.get"),
        ("PATCH", "/agent/v1/agents/{id}", agent.update, "agents.update"),
        ("DELETE", "/agent/v1/agents/{id}", agent.delete, "agents.delete"),
        ("POST", "/agent/v1/execute", run.execute, "execute"),
        ("POST", "/agent/v1/run", run.create, "create"),
        ("GET", "/agent/v1/run", run.list, "list"),
        ("GET", "/agent/v1/run/{id}", run.details, "get"),
        ("POST", "/agent/v1/run/{id}/exec", run.exec, "exec"),
        ("GET", "/agent/v1/run/{id}/status", run.status, "status"),
        ("GET", "/agent/v1/run/{id}/details", run.details, "details"),
        ("POST", "/agent/v1/run/{id}/cancel", run.cancel, "cancel"),
        ("GET", "/agent/v1/run/{id}/events", stream.events, "events"),
        ("POST", "/agent/v1/run/{id}/watch", run.watch, "watch"),
        ("POST", "/webhooks/v1/endpoints", endpoint.create, "endpoints.create"),
        ("GET", "/webhooks/v1/endpoints", endpoint.list, "endpoints.list"),
        ("GET", "/webhooks/v1/endpoints/{id}", endpoint.get, "endpoints.get"),
        ("PATCH", "/webhooks/v1/endpoints/{id}", endpoint.update, "endpoints.update"),
        ("DELETE", "/webhooks/v1/endpoints/{id}", endpoint.delete, "endpoints.delete"),
        ("POST", "/webhooks/v1/endpoints/{id}/test", endpoint.test, "endpoints.test"),
        ("POST", "/webhooks/v1/endpoints/{id}/rotate_secret", endpoint.rotate_secret, "endpoints.rotate_secret"),
        ("GET", "/webhooks/v1/event_types", endpoint.event_types, "event_types"),
        ("GET", "/webhooks/v1/deliveries", delivery.list, "deliveries.list"),
        ("GET", "/webhooks/v1/deliveries/{id}", delivery.get, "deliveries.get"),
        ("POST", "/webhooks/v1/deliveries/{id}/replay", delivery.replay, "deliveries.replay"),
        ("GET", "/sandbox/faults", behind.show_faults, None),
        ("PUT", "/sandbox/faults", behind.change_faults, None),
        ("GET", "/sandbox/journal", behind.show_journal, None),
        ("GET", "/sandbox/held", behind.show_held, None),
        ("POST", "/sandbox/release", behind.release, None),
        ("GET", "/sandbox/runs", behind.show_runs, None),
        ("POST", "/sandbox/runs", behind.add_past, None),
        ("POST", "/sandbox/runs/{id}/finish", behind.finish, None),
    ]
    return [Route(path, handler, methods=[method], name=name) for method, path, handler, name in table]
