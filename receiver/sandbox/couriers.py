"""Carrying what the service sends by itself, watcher callbacks and platform events: attempts, retries, losses."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

import httpx2 as httpx

from receiver.sandbox import answers, chaos, holds, journal, recording, rules, world

_PATIENCE = 10.0  # seconds that a receiver has to answer
_LONGEST_PAUSE = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parcel:
    """One thing to deliver, mostly about a run; as it stands, a callback: unsigned, and kept nowhere."""

    kind: str
    run: world.Run | None
    url: str
    body: Mapping[str, object]
    delay: float = 0.0
    retries: int = 0
    event: str | None = None
    delivery: str | None = None
    held: bool = False

    @property
    def subject(self) -> rules.Subject:
        """What the rules may match it by."""
        if self.run is None:
            return rules.Subject(self.kind)
        return rules.Subject(self.kind, self.run.id, self.run.agent_id, self.run.prompt)

    def headers(self, body: bytes) -> Mapping[str, str]:
        """Those of an attempt that is made now."""
        return {}

    def again(self, status: int | None) -> bool:
        """Whether an attempt that failed with this answer, or with none, is repeated."""
        return True

    async def turn(self) -> None:
        """Wait for its turn among others."""

    def wanted(self) -> bool:
        """Whether its receiver still takes what is sent."""
        return True

    def attempted(self, status: int | None) -> None:
        """An attempt is over, with this answer or with none."""

    def ended(self, delivered: bool) -> None:
        """No attempt follows."""


P = TypeVar("P", bound=Parcel)


class Couriers:
    """Carries parcels in tasks of its own, which live as long as `open`."""

    def __init__(
        self,
        mischief: chaos.Chaos,
        record: journal.Journal,
        recorder: recording.Recorder,
        waiting: holds.Holds,
    ) -> None:
        self._chaos = mischief
        self._journal = record
        self._recorder = recorder
        self._holds = waiting
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        self._group: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Own the client and the tasks; at the end, what is still on its way is given up."""
        client = httpx.AsyncClient(timeout=_PATIENCE, trust_env=False)
        async with client as self._client, asyncio.TaskGroup() as self._group:
            yield
            for task in self._tasks:
                task.cancel()

    def sifted(self, copies: Sequence[P], drop_rate: float) -> list[P]:
        """The copies of one parcel that are to be sent, and how; one rule strikes them all."""
        rule = self._chaos.pick(copies[0].subject)
        verb = rule.verb if rule is not None else "pass"
        kept = [copy for copy in copies if verb != "drop" and not self._chaos.chance(drop_rate)]
        for copy in copies[len(kept) :]:
            self._note(copy, 0).error = "dropped"
        if rule is not None and verb == "delay":
            return [dataclasses.replace(copy, delay=float(rule.amount)) for copy in kept]
        return [dataclasses.replace(copy, held=verb == "hold") for copy in kept]

    def send(self, parcels: Sequence[Parcel]) -> list[asyncio.Task[None]]:
        """Tasks that deliver them, already under way."""
        return [self._spawn(parcel) for parcel in parcels]

    async def attempt(self, parcel: Parcel, number: int = 1) -> journal.Sent:
        """One attempt at a parcel, whatever comes of it: it is in the journal's entry."""
        sent = self._note(parcel, number)
        body = answers.encoded(parcel.body)
        headers = {"content-type": "application/json", "user-agent": "case-dev-sandbox", **parcel.headers(body)}
        asked = recording.request("POST", parcel.url, headers.items(), body)
        try:
            response = await self._posting.post(parcel.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            sent.error = type(error).__name__
            self._recorder.sent(sent, asked, None)
            return sent
        sent.status = response.status_code
        answer = recording.answer(response.status_code, response.headers.multi_items(), response.content)
        self._recorder.sent(sent, asked, answer)
        return sent

    @property
    def _posting(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the sandbox sends nothing before its lifespan has begun")
        return self._client

    def _spawn(self, parcel: Parcel) -> asyncio.Task[None]:
        if self._group is None:
            raise RuntimeError("the sandbox sends nothing before its lifespan has begun")
        task = self._group.create_task(self._deliver(parcel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, parcel: Parcel) -> None:
        if parcel.held and not await self._holds.wait(holds.Held("hold", parcel.subject, parcel.body)):
            return
        await asyncio.sleep(parcel.delay)
        await parcel.turn()
        parcel.ended(await self._attempts(parcel))

    async def _attempts(self, parcel: Parcel) -> bool:
        """Whether one of them was answered with a 2xx."""
        for number in range(1, parcel.retries + 2):
            if not parcel.wanted():
                return False
            sent = await self.attempt(parcel, number)
            parcel.attempted(sent.status)
            if sent.delivered:
                return True
            if number > parcel.retries or not parcel.again(sent.status):
                return False
            pause = self._chaos.faults.retry_backoff * 2.0 ** min(number - 1, 16)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        return False

    def _note(self, parcel: Parcel, attempt: int) -> journal.Sent:
        sent = self._journal.sent(parcel.kind, parcel.subject.run, parcel.url, attempt, parcel.body)
        sent.event, sent.delivery = parcel.event, parcel.delivery
        return sent
