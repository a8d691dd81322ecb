"""Sending what the service sends by itself: watcher callbacks (unsigned) and platform events (signed).

Events follow Standard Webhooks in all but the names of the headers: `case-webhook-signature` is `v1,` and the
base64 of HMAC-SHA256 over `<delivery id>.<unix seconds>.<body>`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import fnmatch
import hashlib
import hmac
import itertools
import random
from collections.abc import AsyncIterator, Callable, Mapping

import httpx2 as httpx

from receiver.sandbox import answers, audit, chaos, holds, journal, rules, views, world

_PATIENCE = 10.0  # seconds that a receiver has to answer
_LONGEST_PAUSE = 60.0


@dataclasses.dataclass(frozen=True)
class Parcel:
    """One thing to deliver; `headers` makes those of an attempt, `again` says whether a failed one is repeated."""

    kind: str
    run: world.Run
    url: str
    body: Mapping[str, object]
    delay: float
    retries: int
    again: Callable[[int | None], bool]
    headers: Callable[[bytes], dict[str, str]] = lambda _: {}
    event: str | None = None
    delivery: str | None = None
    held: bool = False

    @property
    def subject(self) -> rules.Subject:
        """What the rules may match it by."""
        return rules.Subject(self.kind, self.run.id, self.run.agent_id, self.run.prompt)


class Couriers:
    """Carries callbacks and events in tasks of its own, which live as long as `open`."""

    def __init__(
        self, house: world.World, mischief: chaos.Chaos, record: journal.Journal, waiting: holds.Holds, seed: int
    ) -> None:
        self._world = house
        self._chaos = mischief
        self._journal = record
        self._holds = waiting
        self._ids = random.Random(f"{seed}:deliveries")
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

    def announce_start(self, run: world.Run) -> None:
        """The event that a run has started, where that is switched on."""
        if self._chaos.faults.event_started:
            self._send_events(run, "started")

    def announce_end(self, run: world.Run) -> list[asyncio.Task[None]]:
        """Everything that the end of a run sets off, as tasks already under way."""
        switches = self._chaos.faults
        tasks = [self._call_back(run, url) for url in run.watchers if run.status in switches.callback_states]
        if run.status in switches.event_states:
            tasks.append(self._send_events(run, run.status))
        return list(itertools.chain.from_iterable(tasks))

    def _call_back(self, run: world.Run, url: str) -> list[asyncio.Task[None]]:
        switches = self._chaos.faults
        named = self._another(run) if switches.callback_wrong_run_id else run.id
        parcel = Parcel(
            kind="callback",
            run=run,
            url=url,
            body=_callback_body(run, named, switches.callback_body, self._world.clock()),
            delay=switches.callback_delay,
            retries=switches.callback_retries,
            again=lambda status: status is None or not 200 <= status < 300,
        )
        copies = [parcel] * (1 + switches.callback_duplicates)
        return self._dispatch(copies, switches.callback_drop_rate)

    def _send_events(self, run: world.Run, what: str) -> list[asyncio.Task[None]]:
        kind = f"agent.run.{what}"
        tasks = []
        for endpoint in self._world.endpoints.values():
            if any(fnmatch.fnmatchcase(kind, pattern) for pattern in endpoint.filters):
                tasks += self._send_event(run, kind, endpoint)
        return tasks

    def _send_event(self, run: world.Run, kind: str, endpoint: world.Endpoint) -> list[asyncio.Task[None]]:
        switches = self._chaos.faults
        data = {"runId": run.id, "agentId": run.agent_id, "status": run.status}
        event = self._id("evt_")
        body = {"id": event, "type": kind, "occurred_at": views.instant(self._world.clock()), "data": data}
        copies = []
        for _ in range(1 + switches.event_duplicates):
            delivery = self._id("dlv_")
            headers = self._signer(endpoint, delivery, forged=switches.event_forged)
            parcel = Parcel(
                kind="event",
                run=run,
                url=endpoint.url,
                body=body,
                delay=switches.event_delay,
                retries=switches.event_retries,
                again=lambda status: status is None or status in (408, 429) or status >= 500,
                headers=headers,
                event=event,
                delivery=delivery,
            )
            copies.append(parcel)
        return self._dispatch(copies, switches.event_drop_rate)

    def _dispatch(self, copies: list[Parcel], drop_rate: float) -> list[asyncio.Task[None]]:
        """Tasks for the copies of one parcel that are not dropped; one rule strikes them all."""
        rule = self._chaos.pick(copies[0].subject)
        if rule is not None and rule.verb == "drop":
            return self._drop(copies)
        if rule is not None and rule.verb == "delay":
            copies = [dataclasses.replace(copy, delay=float(rule.amount)) for copy in copies]
        if rule is not None and rule.verb == "hold":
            copies = [dataclasses.replace(copy, held=True) for copy in copies]
        dropped = [copy for copy in copies if self._chaos.chance(drop_rate)]
        self._drop(dropped)
        return [self._spawn(copy) for copy in copies[len(dropped) :]]

    def _drop(self, copies: list[Parcel]) -> list[asyncio.Task[None]]:
        for copy in copies:
            self._note(copy, 0).error = "dropped"
        return []

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
        for attempt in range(1, parcel.retries + 2):
            status = await self._attempt(parcel, attempt)
            if (status is not None and 200 <= status < 300) or not parcel.again(status):
                return
            if attempt <= parcel.retries:
                pause = self._chaos.faults.retry_backoff * 2.0 ** min(attempt - 1, 16)
                await asyncio.sleep(min(pause, _LONGEST_PAUSE))

    async def _attempt(self, parcel: Parcel, attempt: int) -> int | None:
        sent = self._note(parcel, attempt)
        body = answers.encoded(parcel.body)
        headers = {"content-type": "application/json", "user-agent": "case-dev-sandbox", **parcel.headers(body)}
        client = self._client
        if client is None:
            raise RuntimeError("the sandbox sends nothing before its lifespan has begun")
        try:
            response = await client.post(parcel.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            sent.error = type(error).__name__
            return None
        sent.status = response.status_code
        return sent.status

    def _note(self, parcel: Parcel, attempt: int) -> journal.Sent:
        sent = self._journal.sent(parcel.kind, parcel.run.id, parcel.url, attempt, parcel.body)
        sent.event, sent.delivery = parcel.event, parcel.delivery
        return sent

    def _signer(
        self, endpoint: world.Endpoint, delivery: str, *, forged: bool
    ) -> Callable[[bytes], dict[str, str]]:
        key = b"not the key of this endpoint" if forged else signing_key(endpoint.secret, endpoint.encoding)

        def headers(body: bytes) -> dict[str, str]:
            at = str(int(self._world.clock()))
            return {
                "case-webhook-id": delivery,
                "case-webhook-timestamp": at,
                "case-webhook-signature": signature(key, delivery, at, body),
            }

        return headers

    def _another(self, run: world.Run) -> str:
        """The newest other run, or the id of one that never was."""
        others = [other for other in self._world.runs if other != run.id]
        return others[-1] if others else self._id("run_")

    def _id(self, prefix: str) -> str:
        return prefix + self._ids.randbytes(12).hex()


def signing_key(secret: str, encoding: str) -> bytes:
    """The key that a `whsec_` secret holds, in one of `faults.ENCODINGS`."""
    held = secret.removeprefix("whsec_")
    if encoding == "hex":
        return bytes.fromhex(held)
    return base64.b64decode(held) if encoding == "base64" else held.encode()


def signature(key: bytes, delivery: str, timestamp: str, body: bytes) -> str:
    """The value of the signature header: `v1,<base64>`."""
    mac = hmac.new(key, f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _callback_body(run: world.Run, named: str, form: str, now: float) -> Mapping[str, object]:
    """A callback's body in one of `faults.BODIES`; `named` is the run id that it gives."""
    if form == "rich":
        shown = audit.details(run, now)
        kept = {name: shown[name] for name in ("agentId", "status", "startedAt", "completedAt", "result", "usage")}
        return {"event": f"run.{run.status}", "runId": named, **kept}
    forms: dict[str, Mapping[str, object]] = {
        "id": {"id": named, "status": run.status},
        "run.id": {"run": {"id": named, "status": run.status}},
        "data.runId": {"type": f"run.{run.status}", "data": {"runId": named}},
        "run_id": {"run_id": named, "status": run.status},
    }
    return forms.get(form, {"runId": named})
