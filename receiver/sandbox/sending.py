"""Send callbacks and events, with attempts, retries and losses; and the lifecycle of runs, which makes them.

Callbacks are unsigned; the switches decide how much they contain. Where the service's interface is silent about
events, the sandbox assumes: an event whose endpoint is not active is kept as a failed delivery without an attempt
(`event_missed_recorded`); a replay carries `case-webhook-replay: true` and only the current secret signs it; a
vaultIds scope is compared with the vaults of the run's agent; runs belong to no matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fnmatch
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2 as httpx

from receiver.sandbox import endpoints, faults, journal, messages, rules, state

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
        return rules.Subject(self.kind) if self.run is None else self.run.subject(self.kind)

    @property
    def is_wanted(self) -> bool:
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
        delivery, forged = outgoing.delivery, self.injector.faults.event_forged
        signed = {} if delivery is None else self.registry.headers(delivery, body, forged=forged)
        headers = {"content-type": "application/json", "user-agent": "case-dev-sandbox", **signed}
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
        shown = state.details(run, now)
        kept = {name: shown[name] for name in ("agentId", "status", "startedAt", "completedAt", "result", "usage")}
        return {"event": f"run.{run.status}", "runId": named, **kept}
    forms: dict[str, Mapping[str, object]] = {
        "id": {"id": named, "status": run.status},
        "run.id": {"run": {"id": named, "status": run.status}},
        "data.runId": {"type": f"run.{run.status}", "data": {"runId": named}},
        "run_id": {"run_id": named, "status": run.status},
    }
    return forms.get(form, {"runId": named})


#: The event types that can be subscribed to: type, the scope that a key must have, description.
CATALOGUE = (
    ("agent.run.started", "agent", "An agent run has begun."),
    ("agent.run.completed", "agent", "An agent run has finished successfully."),
    ("agent.run.failed", "agent", "An agent run has ended with an error."),
    ("agent.run.cancelled", "agent", "An agent run was cancelled."),
    ("ocr.job.completed", "ocr", "The text of a document has been read."),
)


@dataclasses.dataclass(frozen=True)
class Events:
    """Sends endpoints the events of runs."""

    world: state.World
    sender: Sender
    registry: endpoints.Registry
    #: The signal that the last event of each endpoint waits for, as long as a later event may pass it.
    waiting: dict[str, asyncio.Event] = dataclasses.field(default_factory=dict)

    def run_started(self, run: state.Run) -> None:
        """Start the deliveries of the event that a run has started, where that is switched on."""
        if self.world.injector.faults.event_started:
            self._announce(run, "started")

    def run_ended(self, run: state.Run) -> list[asyncio.Task[None]]:
        """Start the deliveries of the event that a run has ended, and return the tasks."""
        return self._announce(run, run.status) if run.status in self.world.injector.faults.event_states else []

    def replay(self, earlier: endpoints.Delivery, data: object) -> endpoints.Delivery:
        """Start to send the same event again, with other `data` where that is not None."""
        event = earlier.event if data is None else {**earlier.event, "data": data}
        delivery = self._delivery(earlier.endpoint, event, earlier.run)
        delivery.is_replay = True
        self.registry.keep(delivery)
        if not self.sender.send([self._outgoing(delivery)], 0):
            self.registry.ended(delivery, False, 0)
        return delivery

    async def test(self, endpoint: endpoints.Endpoint, kind: str, data: object) -> tuple[journal.Sent, float]:
        """Make one attempt at a test event, which only the journal keeps; return it and its seconds."""
        delivery = self._delivery(endpoint, self._event(kind, data), None)
        began = time.monotonic()
        sent = await self.sender.attempt(self._outgoing(delivery, "test"))
        return sent, time.monotonic() - began

    def _announce(self, run: state.Run, what: str) -> list[asyncio.Task[None]]:
        kind = f"agent.run.{what}"
        subscribed = [each for each in self.registry.endpoints() if self._is_subscribed(each, kind, run)]
        return [task for endpoint in subscribed for task in self._deliver(endpoint, kind, run)]

    def _is_subscribed(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> bool:
        vaults: Any = self.world.agents[run.agent_id].fields.get("vaultIds") or ()
        scopes = endpoint.resource_scopes or {}
        allowed, matters = scopes.get("vaultIds"), scopes.get("matterIds")
        within = matters is None and (allowed is None or not set(allowed).isdisjoint(vaults))
        return within and any(fnmatch.fnmatchcase(kind, pattern) for pattern in endpoint.event_type_filters)

    def _deliver(self, endpoint: endpoints.Endpoint, kind: str, run: state.Run) -> list[asyncio.Task[None]]:
        """Deliver an event in as many copies as the switches ask for, or record that it was missed."""
        switches = self.world.injector.faults
        event = self._event(kind, {"runId": run.id, "agentId": run.agent_id, "status": run.status})
        if not endpoint.receives:
            missed = self._delivery(endpoint, event, run)
            missed.status = "failed"
            if switches.event_missed_recorded:
                self.registry.keep(missed)
            return []
        deliveries = [self._delivery(endpoint, event, run) for _ in range(1 + switches.event_duplicates)]
        waits, passes = self._order(endpoint)
        copies = [dataclasses.replace(self._outgoing(each), waits=waits, passes=passes) for each in deliveries]
        return self.sender.send(copies, switches.event_drop_rate)

    def _order(self, endpoint: endpoints.Endpoint) -> tuple[asyncio.Event | None, asyncio.Event]:
        """Return what a new event waits for and what it sets: it passes an earlier one that waits, or waits."""
        if not self.world.injector.faults.event_disorder:
            return None, asyncio.Event()
        earlier = self.waiting.pop(endpoint.id, None)
        if earlier is not None and not earlier.is_set():
            return None, earlier
        waits = self.waiting[endpoint.id] = asyncio.Event()
        return waits, asyncio.Event()

    def _event(self, kind: str, data: object) -> dict[str, object]:
        at = messages.instant(self.world.clock())
        return {"id": self.world.new_id("evt"), "type": kind, "occurred_at": at, "data": data}

    def _delivery(
        self, endpoint: endpoints.Endpoint, event: Mapping[str, object], run: state.Run | None
    ) -> endpoints.Delivery:
        return endpoints.Delivery(self.world.new_id("dlv"), endpoint, event, run, self.world.clock())

    def _outgoing(self, delivery: endpoints.Delivery, kind: str = "event") -> Outgoing:
        switches = self.world.injector.faults
        return Outgoing(
            kind=kind,
            run=delivery.run,
            url=delivery.endpoint.url,
            body=delivery.event,
            delay=switches.event_delay,
            retries=switches.event_retries,
            delivery=delivery,
        )


@dataclasses.dataclass(frozen=True)
class Lifecycle:
    """Starts and ends runs, and sends what their watchers and endpoints get. Needs a running event loop."""

    world: state.World
    callbacks: Callbacks
    events: Events
    timers: dict[str, asyncio.TimerHandle] = dataclasses.field(default_factory=dict)

    def start(self, run: state.Run) -> None:
        """Start a queued run, with a timer for its end; raises ApiError with status 404 or 409."""
        self.world.begin(run)
        self.events.run_started(run)
        self.timers[run.id] = asyncio.get_running_loop().call_later(run.seconds, self.finish, run)

    def finish(self, run: state.Run, status: str | None = None) -> list[asyncio.Task[None]]:
        """End a live run, in the state that the switches decide unless `status` is given.

        Return the tasks that send its callbacks and events.
        """
        if run.ended:
            return []
        timer = self.timers.pop(run.id, None)
        if timer is not None:
            timer.cancel()
        self.world.end(run, status or self._outcome(run))
        return [*self.callbacks.run_ended(run), *self.events.run_ended(run)]

    def close(self) -> None:
        for timer in self.timers.values():
            timer.cancel()

    def _outcome(self, run: state.Run) -> str:
        switches = self.world.injector.faults
        marked = any(piece in run.prompt for piece in switches.fail_prompts)
        return "failed" if marked or run.transcript.chance < switches.fail_rate else "completed"
