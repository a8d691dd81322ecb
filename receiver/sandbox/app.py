"""The sandbox as an ASGI app: the route table and the lifespan."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from receiver.sandbox import agents, answers, control, deliveries, endpoints, faults, gate, house, runs, streams


class Sandbox(Starlette):
    """Starlette with the gate around everything, error handling included, and the record around that."""

    parts: house.House

    def stop(self) -> None:
        """The server is told to stop: streams and calls that are held end now, so that it need not wait."""
        self.parts.holds.close()
        self.parts.stopped.set()

    def build_middleware_stack(self) -> ASGIApp:
        gated = gate.Gate(super().build_middleware_stack(), self.parts, self.routes)
        return self.parts.recorder.watching(gated)


def create_app(
    *,
    seed: int,
    run_seconds: float,
    faults: faults.Faults,
    public_only: bool = False,
    record: TextIO | None = None,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """An empty sandbox. Runs take about `run_seconds` (0.8 to 1.2 times); `clock` gives seconds since 1970.

    Run ids and contents follow from `seed` and the order of the calls, so that two sandboxes of one seed mint
    the same ids. Every exchange is written to `record`, which stays open (`recording` tells the form). Needs its
    lifespan to be run; all timers and deliveries end with it.
    """
    parts = house.build(seed, run_seconds, faults, public_only, record, clock)
    app = Sandbox(
        routes=_routes(parts),
        lifespan=_lifespan(parts),
        exception_handlers={answers.Refusal: _refused(parts), HTTPException: _refused(parts)},
    )
    app.router.redirect_slashes = False
    app.parts = parts
    return app


def _routes(parts: house.House) -> list[Route]:
    agent, run, stream = agents.Agents(parts), runs.Runs(parts), streams.Streams(parts)
    endpoint, delivery = endpoints.Endpoints(parts), deliveries.Deliveries(parts)
    behind = control.Control(parts)
    return [
        Route("/agent/v1/agents", agent.create, methods=["POST"], name="agents.create"),
        Route("/agent/v1/agents", agent.list, methods=["GET"], name="agents.list"),
        Route("/agent/v1/agents/{id}", agent.get, methods=["GET"], name="agents.get"),
        Route("/agent/v1/agents/{id}", agent.update, methods=["PATCH"], name="agents.update"),
        Route("/agent/v1/agents/{id}", agent.delete, methods=["DELETE"], name="agents.delete"),
        Route("/agent/v1/execute", run.execute, methods=["POST"], name="execute"),
        Route("/agent/v1/run", run.create, methods=["POST"], name="create"),
        Route("/agent/v1/run", run.list, methods=["GET"], name="list"),
        Route("/agent/v1/run/{id}", run.details, methods=["GET"], name="get"),
        Route("/agent/v1/run/{id}/exec", run.exec, methods=["POST"], name="exec"),
        Route("/agent/v1/run/{id}/status", run.status, methods=["GET"], name="status"),
        Route("/agent/v1/run/{id}/details", run.details, methods=["GET"], name="details"),
        Route("/agent/v1/run/{id}/cancel", run.cancel, methods=["POST"], name="cancel"),
        Route("/agent/v1/run/{id}/events", stream.events, methods=["GET"], name="events"),
        Route("/agent/v1/run/{id}/watch", run.watch, methods=["POST"], name="watch"),
        Route("/webhooks/v1/endpoints", endpoint.create, methods=["POST"], name="endpoints.create"),
        Route("/webhooks/v1/endpoints", endpoint.list, methods=["GET"], name="endpoints.list"),
        Route("/webhooks/v1/endpoints/{id}", endpoint.get, methods=["GET"], name="endpoints.get"),
        Route("/webhooks/v1/endpoints/{id}", endpoint.update, methods=["PATCH"], name="endpoints.update"),
        Route("/webhooks/v1/endpoints/{id}", endpoint.delete, methods=["DELETE"], name="endpoints.delete"),
        Route("/webhooks/v1/endpoints/{id}/test", endpoint.test, methods=["POST"], name="endpoints.test"),
        Route(
            "/webhooks/v1/endpoints/{id}/rotate_secret",
            endpoint.rotate_secret,
            methods=["POST"],
            name="endpoints.rotate_secret",
        ),
        Route("/webhooks/v1/event_types", endpoint.event_types, methods=["GET"], name="event_types"),
        Route("/webhooks/v1/deliveries", delivery.list, methods=["GET"], name="deliveries.list"),
        Route("/webhooks/v1/deliveries/{id}", delivery.get, methods=["GET"], name="deliveries.get"),
        Route("/webhooks/v1/deliveries/{id}/replay", delivery.replay, methods=["POST"], name="deliveries.replay"),
        Route("/sandbox/faults", behind.show_faults, methods=["GET"]),
        Route("/sandbox/faults", behind.change_faults, methods=["PUT"]),
        Route("/sandbox/journal", behind.journal, methods=["GET"]),
        Route("/sandbox/held", behind.held, methods=["GET"]),
        Route("/sandbox/release", behind.release, methods=["POST"]),
        Route("/sandbox/runs", behind.runs, methods=["GET"]),
        Route("/sandbox/runs", behind.make_past, methods=["POST"]),
        Route("/sandbox/runs/{id}/finish", behind.finish, methods=["POST"]),
    ]


def _lifespan(parts: house.House) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with parts.couriers.open():
            yield
            parts.life.close()

    return lifespan


def _refused(parts: house.House) -> Callable[[Request, Exception], Response]:
    """Refusals, and paths and methods that do not exist, in the error shape of the moment."""

    def answer(request: Request, error: Exception) -> Response:
        # The switches' own routes stay readable whatever the switches say.
        behind = request.url.path.startswith("/sandbox/")
        shape = "status" if behind else parts.chaos.faults.error_shape
        if isinstance(error, HTTPException):
            return answers.error(error.status_code, error.detail, shape, error.headers)
        if isinstance(error, answers.Refusal):
            return answers.error(error.status, error.message, shape)
        raise error

    return answer
