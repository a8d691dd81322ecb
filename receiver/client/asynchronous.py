"""The client for programs with an event loop, made from `synchronous` by `make docs`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import httpx2 as httpx

from receiver.client import answers, calls, errors, exchange, filters
from receiver.client.exchange import Ask

T = TypeVar("T")


class AsyncClient:
    """A client of one server. Every method raises RunledgerError; answers are the API's JSON.

    `timeout` is for each answer, in seconds. A context manager closes its connections.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 30.0,
        retries: exchange.Retries = exchange.Retries(),  # noqa: B008 - a frozen value
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._server = exchange.Server(url, key, timeout, retries)
        self._http = httpx.AsyncClient(transport=transport, **self._server.options)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._server.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, ask: Ask[Any]) -> httpx.Response:
        """Return the whole answer of a call, which is repeated where that does nothing twice."""
        attempts = exchange.Attempts(ask, self._server.retries)
        while True:
            try:
                return await self._sent(ask)
            except (errors.Problem, errors.ServerUnreachable) as failure:
                await self._sleep(attempts.pause(failure))

    async def _sent(self, ask: Ask[Any]) -> httpx.Response:
        try:
            response = await self._http.request(**self._server.request(ask))
        except httpx.TransportError as failure:
            raise exchange.unreachable(failure, self._server) from failure
        exchange.demand_success(response, ask.accepts)
        return response

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """Return the JSON of any other operation, as in `request("GET", "/v1/holds", state="all")`."""
        ask: Ask[Any] = Ask(method, path, exchange.parameters(query), body)
        return await self._ask(ask)

    async def _ask(self, ask: Ask[T]) -> T:
        return cast(T, exchange.value(await self.send(ask)))

    async def _rows(self, ask: Ask[Any], noun: str) -> AsyncIterator[Any]:
        following: Ask[Any] | None = ask
        while following is not None:
            page = await self._ask(following)
            for row in page[noun]:
                yield row
            following = exchange.next_page(following, page)

    async def submit(
        self,
        agent_id: str | None,
        prompt: str,
        *,
        instructions: str | None = None,
        guidance: str | None = None,
        model: str | None = None,
        object_ids: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        wait: int = 0,
    ) -> answers.FullRun:
        """Submit a run, and wait up to `wait` seconds (60 at most) for its end.

        Without an `idempotency_key` it has one of its own: repeating it after a lost answer makes no second run.
        `instructions` take the place of an agent.
        """
        return await self._ask(
            calls.submit(
                agent_id,
                prompt,
                instructions=instructions,
                guidance=guidance,
                model=model,
                object_ids=object_ids,
                tags=tags,
                idempotency_key=idempotency_key,
                wait=wait,
            )
        )

    async def wait(self, run: str, seconds: float | None = None) -> answers.FullRun:
        """Return the run once it has ended. Raises StillRunning after so many seconds."""
        looks = exchange.Looks(run, seconds)
        while (found := await self.run(run))["status"] not in exchange.ENDED:
            await self._sleep(looks.pause())
        return found

    async def watch(self, upstream_id: str) -> answers.FullRun:
        """Adopt a run that was created elsewhere."""
        return await self._ask(calls.watch(upstream_id))

    async def run(self, run: str) -> answers.FullRun:
        """Return a run by either id."""
        return await self._ask(calls.run(run))

    def runs(self, **given: Unpack[filters.RunsFilters]) -> AsyncIterator[answers.FoundRun]:
        """Yield all runs that match, newest first; `limit` is the size of a page."""
        return self._rows(calls.runs(given), "runs")

    def steps(self, run: str) -> AsyncIterator[answers.Step]:
        """Yield the steps of a run."""
        return self._rows(calls.steps(run), "steps")

    async def timeline(self, run: str) -> list[answers.TimelineEntry]:
        """Return what happened to a run, oldest first."""
        return (await self._ask(calls.timeline(run)))["timeline"]

    async def document(self, run: str, version: int | None = None) -> bytes:
        """Return the upstream's answer, byte for byte."""
        return (await self.send(calls.document(run, version))).content

    async def cancel(self, run: str) -> answers.FullRun:
        """Cancel a run. One that has ended stays as it is."""
        return await self._ask(calls.cancel(run))

    async def refresh(self, run: str) -> answers.FullRun:
        """Have a run fetched again, also one that has ended."""
        return await self._ask(calls.refresh(run))

    async def notify(self, run: str) -> answers.FullRun:
        """Have the backend notified of the end of a run again."""
        return await self._ask(calls.notify(run))

    async def tag(self, run: str, tags: Mapping[str, str | None]) -> answers.FullRun:
        """Set tags of a run; None removes one, and the others stay."""
        return await self._ask(calls.tag(run, tags))

    async def again(self, run: str, *, idempotency_key: str | None = None, **changes: Any) -> answers.FullRun:
        """Run a run again, as a new run; `changes` are `prompt`, `guidance`, `model`, `tags`."""
        return await self._ask(calls.again(run, idempotency_key, changes))

    async def reviews(self, run: str) -> list[answers.Review]:
        """Return what people said about a run, newest first."""
        return (await self._ask(calls.reviews(run)))["reviews"]

    async def review(self, run: str, verdict: answers.ReviewVerdict, comment: str | None = None) -> answers.Review:
        """Say something about a run that has ended."""
        return await self._ask(calls.review(run, verdict, comment))

    def receipt(self, run: str) -> AsyncIterator[answers.ReceiptEntry]:
        """Yield the entries of a run in the ledger, each with its proof."""
        return self._rows(calls.receipt(run), "entries")

    def deliveries(self, **given: Unpack[filters.DeliveriesFilters]) -> AsyncIterator[answers.Delivery]:
        """Yield requests to the public endpoints, newest first."""
        return self._rows(calls.deliveries(given), "deliveries")

    async def delivery(self, delivery: str) -> answers.DeliveryWithBody:
        """Return a delivery with its headers and body."""
        return await self._ask(calls.delivery(delivery))

    def jobs(self, **given: Unpack[filters.JobsFilters]) -> AsyncIterator[answers.Job]:
        """Yield the work that is under way."""
        return self._rows(calls.jobs(given), "jobs")

    async def retry_job(self, job: str) -> answers.Job:
        """Make a job due now."""
        return await self._ask(calls.retry_job(job))

    async def stats(self, **given: Unpack[filters.StatsFilters]) -> answers.Stats:
        """Return sums over runs."""
        return await self._ask(calls.stats(given))

    async def sql(self, statement: str, *values: Any, limit: int = 1000) -> answers.SqlResult:
        """Return the rows of a statement that reads; `$1`, `$2` and so on are the values."""
        return await self._ask(calls.sql(statement, values, limit))

    async def readiness(self) -> answers.Readiness:
        """Return whether the deployment can do its work, and why not."""
        return await self._ask(calls.readiness())

    async def changes(self, **given: Unpack[filters.ChangesFilters]) -> answers.Changes:
        """Return a page of the change feed; `after` is the number of the last change that was read."""
        return await self._ask(calls.changes(given))

    async def follow(self, **given: Unpack[filters.ChangesFilters]) -> AsyncIterator[answers.Change]:
        """Yield changes as they come, without end: from now on, or after the change `after`."""
        async for event in self._stream(calls.changes(given)):
            yield cast(answers.Change, event.json())

    def events(self, run: str, after: int | None = None) -> AsyncIterator[httpx.ServerSentEvent]:
        """Yield the events of a run's stream, until it has ended."""
        return self._stream(calls.events(run, after))

    async def _stream(self, ask: Ask[Any]) -> AsyncIterator[httpx.ServerSentEvent]:
        """Yield events; connect again behind the last one where the stream is cut."""
        attempts = exchange.Attempts(ask, self._server.retries)
        while True:
            failure: errors.RunledgerError = errors.ServerUnreachable("the stream ended early")
            try:
                async with self._http.sse(**self._server.stream(ask)) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                    exchange.demand_success(source.response)
                    async for event in source:
                        if event.event == exchange.CLOSE:
                            return
                        ask, attempts = exchange.after(ask, event), exchange.Attempts(ask, self._server.retries)
                        if event.data:
                            yield event
            except httpx.TransportError as cut:
                failure = exchange.unreachable(cut, self._server)
            except errors.Problem as refused:
                failure = refused
            await self._sleep(attempts.pause(failure))

    @contextlib.asynccontextmanager
    async def export(self, **given: Unpack[filters.ExportFilters]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an export: the block gets its bytes, a piece at a time."""
        try:
            async with self._http.stream(**self._server.request(calls.export(given))) as response:
                if not response.is_success:
                    await response.aread()
                exchange.demand_success(response)
                yield response.aiter_bytes()
        except httpx.TransportError as failure:
            raise exchange.unreachable(failure, self._server) from failure
