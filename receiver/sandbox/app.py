"""The sandbox, an imitation of the Case.dev agent-run API and of its faults, as an ASGI app.

It implements the published interface of the service and imports nothing from the rest of this product, so that
tests against it are tests against the interface. `faults.Faults` lists the faults that can be switched on, at the
start or while it runs (`PUT /sandbox/faults`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import re
import time
from collections.abc import AsyncIterator
from typing import Any, TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from receiver.sandbox import api, endpoints, faults, journal, messages, middleware, rules, sending, state

_PAST: dict[str, messages.Check] = {
    "count": messages.whole(0, 10_000),
    "ago": messages.whole(0, 10**9),
    "seconds": messages.whole(1, 86_400),
    "agentId": messages.text,
    "prompt": messages.text,
    "status": faults.ENDED.__contains__,
}


@dataclasses.dataclass(frozen=True)
class Control:
    """The handlers of /sandbox/*, which the real service does not have: what tests look at and change. No key."""

    world: state.World
    lifecycle: sending.Lifecycle
    journal: journal.Journal
    holds: rules.Holds

    async def show_faults(self, request: Request) -> messages.Json:
        return messages.Json(faults.as_json(self.world.injector.faults))

    async def change_faults(self, request: Request) -> messages.Json:
        """Take a partial object of switches; the counts of those that are named start again."""
        changes = messages.parsed(await request.body())
        if not isinstance(changes, dict):
            raise messages.ApiError(400, "send a JSON object of switches")
        try:
            switches = faults.merged(self.world.injector.faults, changes)
        except faults.FaultError as error:
            raise messages.ApiError(400, str(error)) from error
        self.world.injector.change(switches, changes)
        return messages.Json(faults.as_json(switches))

    async def show_journal(self, request: Request) -> messages.Json:
        """Answer calls and attempts to send whose seq is above `after`, and successful execs by run."""
        after = request.query_params.get("after", "0")
        if not re.fullmatch(r"[0-9]{1,15}", after):
            raise messages.ApiError(400, "after is the seq of an entry")
        execs = {run.id: run.exec_count for run in self.world.runs.values() if run.exec_count}
        return messages.Json({**self.journal.as_json(int(after)), "execs": execs})

    async def show_held(self, request: Request) -> messages.Json:
        return messages.Json({"held": self.holds.as_json()})

    async def release(self, request: Request) -> messages.Json:
        """Release everything that is held now, or that of one route: `{"route": "exec"}`."""
        body = await request.body() or b"{}"
        route = messages.fields(body, {"route": rules.ROUTES[1:].__contains__}).get("route")
        return messages.Json({"released": self.holds.release(str(route) if route else None)})

    async def show_runs(self, request: Request) -> messages.Json:
        """Answer all runs in order of creation, with full prompts."""
        return messages.Json({"runs": [_run(run) for run in self.world.runs.values()]})

    async def add_past(self, request: Request) -> messages.Json:
        """Add `count` runs that ended `ago` seconds ago and took `seconds`; answer their ids."""
        fields: dict[str, Any] = messages.fields(await request.body(), _PAST, required=("count",))
        given, world = fields.get("agentId"), self.world
        agent = world.agent(given) if given else world.add_agent({"name": "Past", "instructions": "Work."})
        prompt, status = fields.get("prompt", "Review the lease."), fields.get("status", "completed")
        about = (agent, prompt, status, fields.get("ago", 0), fields.get("seconds"))
        added = [world.add_past(*about) for _ in range(fields["count"])]
        return messages.Json({"runs": [run.id for run in added]})

    async def finish(self, request: Request) -> messages.Json:
        """End a live run: `{"status": "completed"}`, or as the switches decide where no status is given."""
        run = self.world.run(request.path_params["id"])
        body = await request.body() or b"{}"
        status = messages.fields(body, {"status": faults.ENDED.__contains__}).get("status")
        if run.ended:
            raise messages.ApiError(409, f"Run already {run.status}")
        self.lifecycle.finish(run, str(status) if status else None)
        return messages.Json(_run(run))


def _run(run: state.Run) -> messages.Object:
    names = ("id", "agent_id", "status", "prompt", "model", "guidance", "object_ids", "exec_count", "watchers")
    return messages.shown(run, *names, *state.TIMES)


class Sandbox(Starlette):
    """An empty sandbox. Runs take about `run_seconds` (0.8 to 1.2 times).

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
    ) -> None:
        self._world = world = state.World(seed, run_seconds, time.time, faults.Injector(switches, seed))
        self._holds, self._stopped = rules.Holds(), asyncio.Event()
        entries, registry = journal.Journal(record), endpoints.Registry(world)
        self._sender = sending.Sender(world.injector, entries, self._holds, registry)
        platform = sending.Events(world, self._sender, registry)
        self._lifecycle = sending.Lifecycle(world, sending.Callbacks(world, self._sender), platform)
        self._wrap = functools.partial(middleware.Middleware, world=world, journal=entries, holds=self._holds)
        routes = _routes(
            api.Agents(world),
            api.Runs(world, self._lifecycle, public_only, self._stopped),
            api.Endpoints(world, platform, registry, public_only),
            api.Deliveries(registry, platform),
            Control(world, self._lifecycle, entries, self._holds),
        )
        handlers = {messages.ApiError: self._error, HTTPException: self._error}
        super().__init__(routes=routes, lifespan=self.lifespan, exception_handlers=handlers)
        self.router.redirect_slashes = False

    def stop(self) -> None:
        """End streams and held calls now, so that the server, which is stopping, need not wait for them."""
        self._holds.close()
        self._stopped.set()

    def build_middleware_stack(self) -> ASGIApp:
        # Outermost, so that it sees error answers too.
        return self._wrap(super().build_middleware_stack(), self.routes)

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Send callbacks and events, and end runs, within the block."""
        async with self._sender.open():
            yield
            self._lifecycle.close()

    def _error(self, request: Request, error: Exception) -> Response:
        """Answer an error, also of an unknown path or method, in the shape that the switches ask for."""
        # The control routes stay readable, whatever the switches say.
        shape = "status" if request.url.path.startswith("/sandbox/") else self._world.injector.faults.error_shape
        if isinstance(error, HTTPException):
            return messages.error(error.status_code, error.detail, shape, error.headers)
        if isinstance(error, messages.ApiError):
            return messages.error(error.status, error.message, shape)
        raise error


def _routes(
    agent: api.Agents, run: api.Runs, endpoint: api.Endpoints, delivery: api.Deliveries, behind: Control
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
        ("GET", "/agent/v1/run/{id}/events", run.events, "events"),
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
