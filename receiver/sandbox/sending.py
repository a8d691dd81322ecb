"""What the service sends by itself: attempts, retries and losses, and the callbacks of watchers.

Callbacks are unsigned; the switches decide how much they contain. `events` makes the platform events.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx2 as httpx

from receiver.sandbox import details, endpoints, faults, holds, journal, messages, rules, state

_TIMEOUT = 10.0  # seconds that a receiver has to answer
_LONGEST_PAUSE = 60.0
_RETRIED = (408, 429)


@dataclasses.dataclass(frozen=True)
class Turn:
    """When an event may be sent: at once, or once a later one was sent, or after `longest` seconds."""

    longest: float = 0.0
    passed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    passes: asyncio.Event | None = None

    async def wait(self) -> None:
        """Wait until the event may be sent."""
        if self.longest and self.passes is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.passed.wait(), self.longest)
        self.passed.set()

    def done(self) -> None:
        """Let the event follow that this one passes."""
        if self.passes is not None:
            self.passes.set()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One message to deliver: a callback, or an event where it has a `delivery`, which the history keeps."""

    kind: str
    run: state.Run | None
    url: str
    body: Mapping[str, object]
    delay: float
    retries: int
    delivery: endpoints.Delivery | None = None
    turn: Turn = dataclasses.field(default_factory=Turn)
    held: bool = False

    @property
    def subject(self) -> rules.Subject:
        """What the rules may match the message by."""
        if self.run is None:
            return rules.Subject(self.kind)
        return rules.Subject(self.kind, self.run.id, self.run.agent_id, self.run.prompt)

    @property
    def is_wanted(self) -> bool:
        """Whether the receiver still takes messages."""
        return self.delivery is None or self.delivery.endpoint.receives

    def is_retried(self, status: int | None) -> bool:
        """Return whether an attempt that failed with this answer, or with none, is repeated."""
        return self.delivery is None or status is None or status in _RETRIED or status >= 500


class Sender:
    """Delivers messages in tasks of its own, which live as long as `open`."""

    def __init__(
        self,
        injector: faults.Injector,
        record: journal.Journal,
        waiting: holds.Holds,
        registry: endpoints.Registry,
    ) -> None:
        self._injector = injector
        self._journal = record
        self._holds = waiting
        self._registry = registry
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Own the client and the tasks; at the end, deliveries under way are given up."""
        client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        async with client as self._client, asyncio.TaskGroup() as self._group:
            yield
            for task in self._tasks:
                task.cancel()

    def selected(self, copies: Sequence[Outgoing], drop_rate: float) -> list[Outgoing]:
        """Return the copies of one message that are to be sent, and how; one rule strikes them all."""
        rule = self._injector.pick(copies[0].subject) or rules.NO_RULE
        kept = [copy for copy in copies if rule.verb != "drop" and not self._injector.chance(drop_rate)]
        for copy in copies[len(kept) :]:
            self._note(copy, 0).error = "dropped"
        if rule.verb == "delay":
            return [dataclasses.replace(copy, delay=float(rule.amount)) for copy in kept]
        return [dataclasses.replace(copy, held=rule.verb == "hold") for copy in kept]

    def send(self, outgoing: Sequence[Outgoing]) -> list[asyncio.Task[None]]:
        """Start the tasks that deliver the messages, and return them; events enter the history."""
        for each in outgoing:
            if each.delivery is not None:
                self._registry.keep(each.delivery)
        tasks = [self._group.create_task(self._deliver(each)) for each in outgoing]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)
        return tasks

    async def attempt(self, outgoing: Outgoing, number: int = 1) -> journal.Sent:
        """Make one attempt and return the journal's entry, which has its outcome."""
        sent = self._note(outgoing, number)
        body = messages.encoded(outgoing.body)
        headers = {
            "content-type": "application/json",
            "user-agent": "case-dev-sandbox",
            **self._signed(outgoing, body),
        }
        answer = None
        try:
            response = await self._client.post(outgoing.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            sent.error = type(error).__name__
        else:
            sent.status = response.status_code
            shown = journal.recorded(response.headers.multi_items(), response.content)
            answer = {"status": response.status_code, **shown}
        request = {"method": "POST", "url": outgoing.url, **journal.recorded(headers.items(), body)}
        about: messages.Object = {"kind": sent.kind, "run": sent.run, "attempt": number, "error": sent.error}
        self._journal.record(about, request, answer)
        return sent

    async def _deliver(self, outgoing: Outgoing) -> None:
        if outgoing.held and not await self._holds.wait(holds.Held("hold", outgoing.subject, outgoing.body)):
            return
        await asyncio.sleep(outgoing.delay)
        await outgoing.turn.wait()
        delivered = await self._attempts(outgoing)
        if outgoing.delivery is not None:
            self._registry.ended(outgoing.delivery, delivered, self._injector.faults.auto_disable_after)
        outgoing.turn.done()

    async def _attempts(self, outgoing: Outgoing) -> bool:
        """Return whether one of the attempts was answered with a 2xx."""
        for number in range(1, outgoing.retries + 2):
            if not outgoing.is_wanted:
                return False
            sent = await self.attempt(outgoing, number)
            if outgoing.delivery is not None:
                self._registry.attempted(outgoing.delivery, sent.status)
            outgoing.turn.done()
            if sent.delivered:
                return True
            if number > outgoing.retries or not outgoing.is_retried(sent.status):
                return False
            pause = self._injector.faults.retry_backoff * 2.0 ** min(number - 1, 16)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        return False

    def _note(self, outgoing: Outgoing, attempt: int) -> journal.Sent:
        sent = self._journal.sent(outgoing.kind, outgoing.subject.run, outgoing.url, attempt, outgoing.body)
        if outgoing.delivery is not None:
            sent.event, sent.delivery = outgoing.delivery.event["id"], outgoing.delivery.id
        return sent

    def _signed(self, outgoing: Outgoing, body: bytes) -> Mapping[str, str]:
        if outgoing.delivery is None:
            return {}
        return self._registry.headers(outgoing.delivery, body, forged=self._injector.faults.event_forged)


class Callbacks:
    """Calls the watchers of runs that have ended."""

    def __init__(self, world: state.World, injector: faults.Injector, sender: Sender, seed: int) -> None:
        self._world = world
        self._injector = injector
        self._sender = sender
        self._ids = random.Random(f"{seed}:callbacks")

    def run_ended(self, run: state.Run) -> list[asyncio.Task[None]]:
        """Start a callback to each watcher, and return the tasks."""
        watchers = run.watchers if run.status in self._injector.faults.callback_states else []
        return [task for url in watchers for task in self._call(run, url)]

    def _call(self, run: state.Run, url: str) -> list[asyncio.Task[None]]:
        switches = self._injector.faults
        named = self._another(run) if switches.callback_wrong_run_id else run.id
        outgoing = Outgoing(
            kind="callback",
            run=run,
            url=url,
            body=_body(run, named, switches.callback_body, self._world.clock()),
            delay=switches.callback_delay,
            retries=switches.callback_retries,
        )
        copies = [outgoing] * (1 + switches.callback_duplicates)
        return self._sender.send(self._sender.selected(copies, switches.callback_drop_rate))

    def _another(self, run: state.Run) -> str:
        """Return the id of the newest other run, or one that does not exist."""
        others = [other for other in self._world.runs if other != run.id]
        return others[-1] if others else "run_" + self._ids.randbytes(12).hex()


def _body(run: state.Run, named: str, form: str, now: float) -> Mapping[str, object]:
    """Return a callback's body in one of `faults.BODIES`; `named` is the run id that it gives."""
    if form == "rich":
        shown = details.details(run, now)
        kept = {name: shown[name] for name in ("agentId", "status", "startedAt", "completedAt", "result", "usage")}
        return {"event": f"run.{run.status}", "runId": named, **kept}
    forms: dict[str, Mapping[str, object]] = {
        "id": {"id": named, "status": run.status},
        "run.id": {"run": {"id": named, "status": run.status}},
        "data.runId": {"type": f"run.{run.status}", "data": {"runId": named}},
        "run_id": {"run_id": named, "status": run.status},
    }
    return forms.get(form, {"runId": named})
