"""The API in process over a real database: no sockets, no upstream, jobs just stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx2 as httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware

from receiver import access, api, backoff, endpoint, problems
from storage import database, ledger, transitions
from storage import house as shared
from storage.events import Event
from tests import life
from tests.patience import PATIENT

SUBMISSION: Mapping[str, Any] = {"agentId": "agent_1", "prompt": "Review the lease."}


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    now: datetime = life.NOW

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Metrics:
    """Stands where telemetry does."""

    async def metrics(self, store: database.Database, now: datetime) -> tuple[bytes, str]:
        return b"runledger_up 1\n", "text/plain; version=0.0.4; charset=utf-8"


async def nothing(upstream_id: str, after: int) -> endpoint.Events:
    """Stands where live streams come from: there is no event of any run."""

    async def ended() -> AsyncGenerator[Event | str, None]:
        told: tuple[Event, ...] = ()
        for each in told:
            yield each

    return ended()


def context(store: database.Database, clock: Clock, **changes: Any) -> endpoint.Context:
    """What handlers work with, in tests."""
    timing = backoff.Timing(poll=0.05, slow_body=2.0)
    return replace(endpoint.Context(store, timing, clock, Metrics(), listen=nothing), **changes)


def app(made: endpoint.Context) -> Starlette:
    """The routes with what stands around them in the server."""
    built = Starlette(
        routes=endpoint.routes(api.OPERATIONS, made),
        middleware=[Middleware(problems.LastResort)],
        exception_handlers=problems.HANDLERS,
    )
    built.router.redirect_slashes = False
    return built


@dataclass
class House:
    """The application and its keys, one for each scope."""

    database: database.Database
    clock: Clock
    app: Starlette
    client: httpx.AsyncClient
    keys: dict[str, str] = field(default_factory=dict)

    async def new_key(self, name: str, *scopes: str) -> str:
        """The text of a fresh key."""
        key, text = access.mint(name, scopes, self.clock.now)
        await self.database.write(transitions.create_key, key)
        return text

    def bearer(self, scope: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[scope]}"}

    async def get(self, path: str, scope: str = "read", **options: Any) -> httpx.Response:
        """GET with the key of a scope."""
        return await self.ask("GET", path, scope, **options)

    async def post(self, path: str, scope: str = "submit", **options: Any) -> httpx.Response:
        """POST with the key of a scope."""
        return await self.ask("POST", path, scope, **options)

    async def ask(self, method: str, path: str, scope: str, **options: Any) -> httpx.Response:
        headers = [*self.bearer(scope).items(), *dict(options.pop("headers", {})).items()]
        return await self.client.request(method, path, headers=headers, **options)

    async def submit(self, headers: Mapping[str, str] | None = None, **changes: Any) -> httpx.Response:
        """Submits a run; `changes` are fields of the body."""
        return await self.post("/v1/runs", json={**SUBMISSION, **changes}, headers=headers or {})


async def opened(store: database.Database, **changes: Any) -> AsyncIterator[House]:
    """A house with a key for each scope."""
    clock = Clock()
    served = app(context(store, clock, **changes))
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://runledger.test") as client:
        house = House(store, clock, served, client)
        # At once, so that they share a commit.
        texts = await asyncio.gather(*(house.new_key(f"backend-{scope}", scope) for scope in access.Scope))
        house.keys = dict(zip(access.Scope, texts, strict=True))
        yield house


@asynccontextmanager
async def inhabited(url: str) -> AsyncIterator[House]:
    """A house of its own with a run in each state that matters."""
    async with database.Database(url, limits=PATIENT) as store:
        async for house in opened(store):
            await life.accepted(store)
            await life.running(store, "run_running")
            await life.settled_run(store, upstream_id="run_1", tags={"case": "7"})
            await store.write(ledger.number, 1000)
            await store.write(shared.beat, life.NOW)
            yield house


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that was answered, checked for its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["title"]
    return told
