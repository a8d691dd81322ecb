"""The only client of Case.dev's HTTP API: one method per route, one error tree, no second attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import TypeVar

import anyio
import httpx2 as httpx

from receiver import clock as clocks
from receiver import errors
from receiver.upstream import event_stream, exchange, large_answers, payloads, routes, sanitize, webhooks
from storage.repositories import runs, stream_events

_Shown = TypeVar("_Shown", bound=payloads.Status)
_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """A run's details, as the received bytes and as the parsed value."""

    body: bytes
    details: payloads.Details


class Client:
    """The client of Case.dev's runs under `base_url`, an http or https origin with an optional path.

    Each method raises UpstreamError: UpstreamUnreachable where the transport failed or the time was up,
    UpstreamStatusError for any status other than 2xx (redirects too), InvalidResponse for a 2xx that cannot be
    used. An id that cannot be part of an address raises the root class, and nothing is sent.

    `observe` is called with every call that was sent. Times are in seconds, `body_limit` in bytes. `clock` decides
    which instants of an answer are plausible, `bounds` limit the parsing of a large answer. The constructor raises
    SettingsError for an unusable address or key.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        transport: httpx.AsyncBaseTransport | None = None,
        observe: Callable[[exchange.Call], None] | None = None,
        *,
        timeout: float = exchange.TIMEOUT,
        body_limit: int = exchange.BODY_LIMIT,
        connections: int = exchange.CONNECTIONS,
        clock: Callable[[], datetime.datetime] = clocks.now,
        bounds: large_answers.Bounds = large_answers.BOUNDS,
    ) -> None:
        self._clock = clock
        self._wire = exchange.Connection(
            base_url,
            api_key,
            transport or exchange.HttpTransport(connections),
            observe,
            timeout=timeout,
            body_limit=body_limit,
        )
        self._slots, self._bounds = anyio.Semaphore(large_answers.SLOTS), bounds
        #: The routes for webhook endpoints.
        self.webhooks = webhooks.Webhooks(self._wire, clock)

    async def create(self, run: runs.Run, callback_url: str | None) -> payloads.Created:
        """Queue a run and register its watcher with it. Not idempotent upstream."""
        body = _without_none({"agentId": run.agent_id or "", **_asked(run), "callbackUrl": callback_url})
        return payloads.created(await self._wire.call(routes.CREATE, body=body), self._clock())

    async def execute_ad_hoc(self, run: runs.Run) -> payloads.Created:
        """Create an agent for one run, create that run, and start it. Not idempotent upstream."""
        body = _without_none({"instructions": run.instructions or "", **_asked(run)})
        return payloads.executed(await self._wire.call(routes.EXECUTE_AD_HOC, body=body), self._clock())

    async def agents(self, cursor: str | None = None) -> payloads.AgentPage:
        """Return a page of 250 agents; `cursor` is the `next_cursor` of the page before."""
        body = await self._wire.call(routes.AGENTS, query=_without_none({"limit": "250", "cursor": cursor}))
        if len(body) <= large_answers.INLINE_BYTES:
            return payloads.agents(body, self._clock())
        return await anyio.to_thread.run_sync(payloads.agents, body, self._clock())

    async def instructions(self, agent_id: str) -> str | None:
        """Return the instructions of an agent that is not deleted."""
        return payloads.instructions(await self._wire.call(routes.AGENT, agent_id), self._clock())

    async def execute(self, run_id: str) -> None:
        """Start a queued run. Not idempotent upstream.

        Raises UpstreamStatusError with status 409 where the run is no longer queued.
        """
        body = await self._wire.call(routes.EXECUTE, run_id)
        _check_same(run_id, payloads.status(body, self._clock(), routes.EXECUTE), routes.EXECUTE, body)

    async def status(self, run_id: str) -> payloads.Status:
        body = await self._wire.call(routes.STATUS, run_id)
        return _check_same(run_id, payloads.status(body, self._clock()), routes.STATUS, body)

    @contextlib.asynccontextmanager
    async def details(self, run_id: str) -> AsyncIterator[Fetched]:
        """Fetch the run's complete audit trail, for the length of the block.

        Large answers are held one at a time. Where another one is held, this one is requested again in its turn,
        so that waiting takes neither a connection nor the time of a call. Raises ResponseTooLarge, ResponseTooDeep
        and ParserLimitExceeded as well.
        """
        with large_answers.Slot(self._slots) as slot:
            try:
                body = await self._details(run_id, slot)
            except errors.ResponseTooLarge:
                if not slot.must_wait:
                    raise
                await slot.acquire()
                body = await self._details(run_id, slot)
            shown = await large_answers.details(body, self._clock(), self._bounds)
            yield Fetched(body, _check_same(run_id, shown, routes.DETAILS, body))

    async def _details(self, run_id: str, slot: large_answers.Slot) -> bytes:
        limit = large_answers.THREAD_BYTES
        return await self._wire.call(routes.DETAILS, run_id, limit=limit, grow=slot.try_acquire)

    async def list(
        self, agent_id: str | None = None, status: str | None = None, limit: int = 250, cursor: str | None = None
    ) -> payloads.Page:
        """Return a page of 1 to 250 runs, newest first; `cursor` is the `next_cursor` of the page before."""
        query = _without_none({"agentId": agent_id, "status": status, "limit": str(limit), "cursor": cursor})
        body = await self._wire.call(routes.LIST, query=query)
        # Parsing 250 runs takes a few milliseconds, more where their fields are large.
        if len(body) <= large_answers.INLINE_BYTES:
            return payloads.page(body, self._clock())
        return await anyio.to_thread.run_sync(payloads.page, body, self._clock())

    async def cancel(self, run_id: str) -> str:
        """Cancel a run and return its state, which is another terminal one where the run had ended before."""
        body = await self._wire.call(routes.CANCEL, run_id)
        return _check_same(run_id, payloads.status(body, self._clock(), routes.CANCEL), routes.CANCEL, body).status

    async def watch(self, run_id: str, callback_url: str) -> None:
        body = await self._wire.call(routes.WATCH, run_id, body={"callbackUrl": callback_url})
        sanitize.document(routes.WATCH, body)  # its content does not matter

    @contextlib.asynccontextmanager
    async def events(
        self, run_id: str, after: int, *, idle: float, skipped: Callable[[str], None]
    ) -> AsyncIterator[AsyncGenerator[stream_events.Event, None]]:
        """Open the stream of the run's events after the id `after` (0 for all), up to the run's end.

        `idle` is the longest time without a byte, in seconds. `skipped` is called with the reason of each event
        that is left out. Ids grow. Raises UpstreamError, also while the stream is read.
        """
        query = {"lastEventId": str(after)}
        async with (
            self._wire.stream(routes.EVENTS, run_id, query=query, idle=idle) as response,
            contextlib.aclosing(event_stream.read(response, after, skipped)) as found,
        ):
            yield found

    async def aclose(self) -> None:
        await self._wire.aclose()


def _asked(run: runs.Run) -> dict[str, object]:
    """Return what a submission asks of its agent, as the upstream names it."""
    object_ids = None if run.object_ids is None else list(run.object_ids)
    return {"prompt": run.prompt or "", "guidance": run.guidance, "model": run.model, "objectIds": object_ids}


def _without_none(fields: Mapping[str, _Value | None]) -> dict[str, _Value]:
    return {name: value for name, value in fields.items() if value is not None}


def _check_same(run_id: str, shown: _Shown, route: str, body: bytes) -> _Shown:
    if shown.id != run_id:
        raise errors.InvalidResponse(route, "the answer is about another run", body)
    return shown
