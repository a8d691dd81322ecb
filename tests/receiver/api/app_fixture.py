"""The API in process over a real database: no sockets, no upstream, and no worker for its jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx2 as httpx
from starlette.types import Receive, Scope, Send

from receiver import telemetry, timeouts
from receiver.api import route_table
from receiver.crypto import secret_box
from receiver.inbound import processing, webhook_secrets
from receiver.web import authentication, operations, problems, routing, streaming
from storage.engine import database
from storage.ledger import entries
from storage.repositories import system_state
from storage.repositories.stream_events import Event
from storage.transitions import api_key_changes
from tests import life
from tests.patience import PATIENT

SUBMISSION: Mapping[str, Any] = {"agentId": "agent_1", "prompt": "Review the lease."}


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = life.NOW

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Metrics(telemetry.Telemetry):
    """Telemetry whose metrics are short."""

    async def metrics(self, store: database.Database, now: datetime) -> tuple[bytes, str]:
        return b"runledger_up 1\n", "text/plain; version=0.0.4; charset=utf-8"


async def nothing(upstream_id: str, after: int) -> streaming.Events:
    """Return no live events: the runs of these tests have none."""

    async def ended() -> AsyncGenerator[Event | str, None]:
        events: tuple[Event, ...] = ()
        for each in events:
            yield each

    return ended()


def context(store: database.Database, clock: Clock, **changes: Any) -> operations.Context:
    """Return the context of the handlers."""
    timing = timeouts.Timing(poll=0.05, slow_body=2.0)
    box = secret_box.SecretBox(["a key of this test, which is long enough"])
    process = processing.Processor(
        store, webhook_secrets.WebhookSecrets(store, box, [], "base64", timing, lambda _: None)
    )
    made = operations.Context(store, timing, clock, Metrics(), process=process, listen=nothing)
    return replace(made, **changes)


class Served:
    """The API without the public endpoints, with nothing to start."""

    def __init__(self, made: operations.Context) -> None:
        self._api = routing.Api(route_table.OPERATIONS, made)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._api(scope, receive, send)

    def lifespan(self) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    def stop(self) -> None:
        """Do nothing."""


@dataclass
class Deployment:
    """The application and its keys, one for each scope."""

    database: database.Database
    clock: Clock
    app: Served
    client: httpx.AsyncClient
    keys: dict[str, str] = field(default_factory=dict)

    async def new_key(self, name: str, *scopes: str) -> str:
        """Create a key and return its text."""
        key, text = authentication.mint(name, scopes, self.clock.now)
        await self.database.write(api_key_changes.create_key, key)
        return text

    def bearer(self, scope: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[scope]}"}

    async def get(self, path: str, scope: str = "read", **options: Any) -> httpx.Response:
        """Send a GET with the key of a scope."""
        return await self.ask("GET", path, scope, **options)

    async def post(self, path: str, scope: str = "submit", **options: Any) -> httpx.Response:
        """Send a POST with the key of a scope."""
        return await self.ask("POST", path, scope, **options)

    async def ask(self, method: str, path: str, scope: str, **options: Any) -> httpx.Response:
        headers = [*self.bearer(scope).items(), *dict(options.pop("headers", {})).items()]
        return await self.client.request(method, path, headers=headers, **options)

    async def submit(self, headers: Mapping[str, str] | None = None, **changes: Any) -> httpx.Response:
        """Submit a run; `changes` are fields of the body."""
        return await self.post("/v1/runs", json={**SUBMISSION, **changes}, headers=headers or {})


async def opened(store: database.Database, **changes: Any) -> AsyncIterator[Deployment]:
    """Yield a deployment with a key for each scope."""
    clock = Clock()
    served = Served(context(store, clock, **changes))
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://runledger.test") as client:
        deployment = Deployment(store, clock, served, client)
        # At once, so that they share a commit.
        texts = await asyncio.gather(
            *(deployment.new_key(f"backend-{scope}", scope) for scope in authentication.Scope)
        )
        deployment.keys = dict(zip(authentication.Scope, texts, strict=True))
        yield deployment


@asynccontextmanager
async def inhabited(url: str) -> AsyncIterator[Deployment]:
    """Yield a deployment of its own with a run in each state that matters."""
    async with database.Database(url, limits=PATIENT) as store:
        async for deployment in opened(store):
            await life.accepted(store)
            await life.running(store, "run_running")
            await life.settled_run(store, upstream_id="run_1", tags={"case": "7"})
            await store.write(entries.number, 1000)
            await store.write(system_state.record_heartbeat, life.NOW)
            yield deployment


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the problem in an answer; check its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    return body
