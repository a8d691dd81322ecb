"""The only speaker of Case.dev's HTTP: one method per route, one error tree, no second attempt."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

import anyio
import httpx2 as httpx

from receiver import clock as clocks
from receiver import errors
from receiver.upstream import large, payloads, routes, streams, webhooks, wire
from storage import events

_Shown = TypeVar("_Shown", payloads.Status, payloads.Details)


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """A run's details, both as the bytes that came and as they were understood."""

    body: bytes
    details: payloads.Details


class Client:
    """Case.dev's runs behind `base_url`, an http or https origin with an optional path.

    Each method raises UpstreamError: NoAnswer where the transport failed or the time was up, Answered for any
    status other than 2xx (redirects too), Unreadable for a 2xx that cannot be used, and the bare root for an id
    that cannot stand in an address, in which case nothing was sent. `observe` hears of every call that was sent.
    Times are in seconds, `body_limit` in bytes; `clock` tells which instants of an answer can be, `bounds` are
    those of parsing a large answer. The constructor
    raises SettingsError for an address or a key that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        transport: httpx.AsyncBaseTransport | None = None,
        observe: Callable[[wire.Call], None] | None = None,
        *,
        timeout: float = wire.TIMEOUT,
        connect_timeout: float = wire.CONNECT_TIMEOUT,
        body_limit: int = wire.BODY_LIMIT,
        connections: int = wire.CONNECTIONS,
        clock: Callable[[], datetime.datetime] = clocks.now,
        bounds: large.Bounds = large.BOUNDS,
    ) -> None:
        self._clock = clock
        self._wire = wire.Wire(
            base_url,
            api_key,
            transport or wire.transport(connections),
            observe,
            timeout=timeout,
            connect_timeout=connect_timeout,
            body_limit=body_limit,
        )
        self._places, self._bounds = large.Places(), bounds
        #: The routes about webhook endpoints.
        self.webhooks = webhooks.Webhooks(self._wire, clock)

    async def create(
        self,
        *,
        agent_id: str,
        prompt: str,
        guidance: str | None = None,
        model: str | None = None,
        object_ids: Sequence[str] | None = None,
        callback_url: str | None = None,
    ) -> payloads.Created:
        """Queue a run, its watcher registered with it. Not idempotent upstream."""
        wishes = {
            "agentId": agent_id,
            "prompt": prompt,
            "guidance": guidance,
            "model": model,
            "objectIds": None if object_ids is None else list(object_ids),
            "callbackUrl": callback_url,
        }
        body = {name: value for name, value in wishes.items() if value is not None}
        return payloads.created(await self._wire.call(routes.CREATE, body=body), self._clock())

    async def execute_ad_hoc(
        self,
        *,
        instructions: str,
        prompt: str,
        guidance: str | None = None,
        model: str | None = None,
        object_ids: Sequence[str] | None = None,
    ) -> payloads.Executed:
        """Create an agent for one run, and that run, and start it. Not idempotent upstream."""
        wishes = {
            "instructions": instructions,
            "prompt": prompt,
            "guidance": guidance,
            "model": model,
            "objectIds": None if object_ids is None else list(object_ids),
        }
        body = {name: value for name, value in wishes.items() if value is not None}
        return payloads.executed(await self._wire.call(routes.EXECUTE_AD_HOC, body=body), self._clock())

    async def instructions(self, agent_id: str) -> str | None:
        """The instructions of an agent that is not deleted."""
        return payloads.instructions(await self._wire.call(routes.AGENT, agent_id), self._clock())

    async def execute(self, run_id: str) -> None:
        """Start a queued run; Answered with status 409 where it is no longer queued. Not idempotent upstream."""
        body = await self._wire.call(routes.EXECUTE, run_id)
        _check_same(run_id, payloads.status(body, self._clock(), routes.EXECUTE), routes.EXECUTE, body)

    async def status(self, run_id: str) -> payloads.Status:
        """The run's state."""
        body = await self._wire.call(routes.STATUS, run_id)
        return _check_same(run_id, payloads.status(body, self._clock()), routes.STATUS, body)

    @contextlib.asynccontextmanager
    async def details(self, run_id: str) -> AsyncIterator[Fetched]:
        """The run's full audit trail, for the length of the block: large ones are held one at a time.

        Where another one is, this one is asked for again when its turn has come: neither a connection nor the
        time of a call is spent on waiting. Raises TooLarge, TooDeep and TooCostly as well.
        """
        with self._places.place() as place:
            try:
                body = await self._wire.call(routes.DETAILS, run_id, most=large.SMALL, grow=place.take_now)
            except errors.TooLarge:
                if not place.must_wait:
                    raise
                await place.take()
                body = await self._wire.call(routes.DETAILS, run_id, most=large.SMALL, grow=place.take_now)
            shown = await large.details(body, self._clock(), self._bounds)
            yield Fetched(body, _check_same(run_id, shown, routes.DETAILS, body))

    async def list(
        self,
        agent_id: str | None = None,
        status: str | None = None,
        limit: int = 250,
        cursor: str | None = None,
    ) -> payloads.Page:
        """A page of 1 to 250 runs, newest first; `cursor` is the `next_cursor` of the page before."""
        wishes = {"agentId": agent_id, "status": status, "limit": str(limit), "cursor": cursor}
        query = {name: value for name, value in wishes.items() if value is not None}
        body = await self._wire.call(routes.LIST, query=query)
        # 250 runs are worth a few milliseconds, and nobody bounds what stands in them.
        if len(body) <= large.TINY:
            return payloads.page(body, self._clock())
        return await anyio.to_thread.run_sync(payloads.page, body, self._clock())

    async def cancel(self, run_id: str) -> str:
        """Cancel a run and tell the state it is in now, which is another one where it had ended before."""
        body = await self._wire.call(routes.CANCEL, run_id)
        return _check_same(run_id, payloads.status(body, self._clock(), routes.CANCEL), routes.CANCEL, body).status

    async def watch(self, run_id: str, callback_url: str) -> None:
        """Have the end of a run reported to `callback_url`."""
        payloads.acknowledged(
            await self._wire.call(routes.WATCH, run_id, body={"callbackUrl": callback_url}), routes.WATCH
        )

    @contextlib.asynccontextmanager
    async def events(
        self, run_id: str, after: int, *, idle: float, skipped: Callable[[str], None]
    ) -> AsyncIterator[AsyncGenerator[events.Event, None]]:
        """A connected stream of the run's events behind the id `after`, from the first for 0, up to its end.

        `idle` is how many seconds may pass without a byte; `skipped` hears why an event was passed over. Ids
        grow. Raises UpstreamError, also while it is read.
        """
        query = {"lastEventId": str(after)}
        async with (
            self._wire.stream(routes.EVENTS, run_id, query=query, idle=idle) as response,
            contextlib.aclosing(streams.read(response, after, skipped)) as found,
        ):
            yield found

    async def aclose(self) -> None:
        """Close the connections."""
        await self._wire.aclose()


def _check_same(asked: str, shown: _Shown, route: str, body: bytes) -> _Shown:
    if shown.id != asked:
        raise errors.Unreadable(route, "the answer is about another run", body)
    return shown
