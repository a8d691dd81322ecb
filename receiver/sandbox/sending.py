"""Send what the service sends by itself: callbacks and events, with attempts, retries and losses.

Callbacks are unsigned; the switches decide how much they contain. `events` makes the platform events.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx2 as httpx

from receiver.sandbox import details, endpoints, faults, journal, messages, rules, state

_TIMEOUT = 10.0  # seconds that a receiver has to answer
_LONGEST_PAUSE = 60.0
_RETRIED = (408, 429)


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
    #: Set once a later message was sent, for which this one waits; and set once this one was sent.
    waits: asyncio.Event | None = None
    passes: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    @property
    def subject(self) -> rules.Subject:
        """Return the subject by which rules match the message."""
        return rules.Subject(self.kind) if self.run is None else self.run.subject(self.kind)

    @property
    def is_wanted(self) -> bool:
        """Return whether the receiver still takes messages."""
        return self.delivery is None or self.delivery.endpoint.receives

    def is_retried(self, status: int | None) -> bool:
        """Return whether an attempt that failed with this answer, or with none, is repeated."""
        return self.delivery is None or status is None or status in _RETRIED or status >= 500


@dataclasses.dataclass
class Sender:
    """Delivers messages in tasks of its own, which live as long as `open`."""

    injector: faults.Injector
    entries: journal.Journal
    held: rules.Holds
    registry: endpoints.Registry
    tasks: set[asyncio.Task[None]] = dataclasses.field(default_factory=set)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Own the client and the tasks; at the end, deliveries under way are given up."""
        client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        async with client as self._client, asyncio.TaskGroup() as self._group:
            yield
            for task in self.tasks:
                task.cancel()

    def send(self, copies: Sequence[Outgoing], drop_rate: float) -> list[asyncio.Task[None]]:
        """Start the tasks that deliver the copies that are not dropped, and return them; one rule applies to all.

        Events enter the history.
        """
        rule = self.injector.pick(copies[0].subject) or rules.NO_RULE
        kept = [copy for copy in copies if rule.verb != "drop" and not self.injector.chance(drop_rate)]
        for copy in copies[len(kept) :]:
            self._note(copy, 0).error = "dropped"
        for copy in kept:
            if copy.delivery is not None:
                self.registry.keep(copy.delivery)
        tasks = [self._group.create_task(self._deliver(copy, rule)) for copy in kept]
        self.tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self.tasks.discard)
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
        self.entries.record(about, request, answer)
        return sent

    async def _deliver(self, outgoing: Outgoing, rule: rules.Rule) -> None:
        held = rules.Held("hold", outgoing.subject, outgoing.body)
        if rule.verb == "hold" and not await self.held.wait(held):
            return
        await asyncio.sleep(float(rule.amount) if rule.verb == "delay" else outgoing.delay)
        if outgoing.waits is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(outgoing.waits.wait(), self.injector.faults.event_disorder)
            outgoing.waits.set()
        delivered = await self._attempts(outgoing)
        if outgoing.delivery is not None:
            self.registry.ended(outgoing.delivery, delivered, self.injector.faults.auto_disable_after)
        outgoing.passes.set()

    async def _attempts(self, outgoing: Outgoing) -> bool:
        """Return whether one of the attempts was answered with a 2xx."""
        for number in range(1, outgoing.retries + 2):
            if not outgoing.is_wanted:
                return False
            sent = await self.attempt(outgoing, number)
            if outgoing.delivery is not None:
                self.registry.attempted(outgoing.delivery, sent.status)
            outgoing.passes.set()
            if sent.delivered:
                return True
            if number > outgoing.retries or not outgoing.is_retried(sent.status):
                return False
            pause = self.injector.faults.retry_backoff * 2.0 ** min(number - 1, 16)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        return False

    def _note(self, outgoing: Outgoing, attempt: int) -> journal.Sent:
        sent = self.entries.sent(outgoing.kind, outgoing.subject.run, outgoing.url, attempt, outgoing.body)
        if outgoing.delivery is not None:
            sent.event, sent.delivery = outgoing.delivery.event["id"], outgoing.delivery.id
        return sent

    def _signed(self, outgoing: Outgoing, body: bytes) -> Mapping[str, str]:
        if outgoing.delivery is None:
            return {}
        return self.registry.headers(outgoing.delivery, body, forged=self.injector.faults.event_forged)


@dataclasses.dataclass(frozen=True)
class Callbacks:
    """Calls the watchers of runs that have ended."""

    world: state.World
    sender: Sender

    def run_ended(self, run: state.Run) -> list[asyncio.Task[None]]:
        """Start a callback to each watcher, and return the tasks."""
        watchers = run.watchers if run.status in self.world.injector.faults.callback_states else []
        return [task for url in watchers for task in self._call(run, url)]

    def _call(self, run: state.Run, url: str) -> list[asyncio.Task[None]]:
        switches = self.world.injector.faults
        named = self._another(run) if switches.callback_wrong_run_id else run.id
        outgoing = Outgoing(
            kind="callback",
            run=run,
            url=url,
            body=_body(run, named, switches.callback_body, self.world.clock()),
            delay=switches.callback_delay,
            retries=switches.callback_retries,
        )
        return self.sender.send([outgoing] * (1 + switches.callback_duplicates), switches.callback_drop_rate)

    def _another(self, run: state.Run) -> str:
        """Return the id of the newest other run, or one that does not exist."""
        others = [other for other in self.world.runs if other != run.id]
        return others[-1] if others else "run_of_nobody"


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
