"""One tiny run through the real service, with its deliveries, its details, and the answers to wrong requests.

The running server does the work, and stores each delivery with headers and body.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from receiver import clock, errors, settings
from receiver.api import submissions
from receiver.cli import api_calls, event_loop, open_database
from receiver.cli.doctor import configuration_checks, findings, live_findings
from receiver.cli.doctor.findings import CheckContext, Finding
from receiver.crypto import secret_box
from receiver.schemas import bodies, responses
from receiver.upstream import probing, routes
from storage import ids, states
from storage.engine import database
from storage.repositories import deliveries, runs, webhook_endpoints

PROMPT = "Answer with the one word: ready."
LONG_PROMPT = "Count from 1 to 500 and say each number, one a line."
TAGS = {"runledger": "doctor"}
#: Seconds to wait for further copies of a delivery.
COPIES = 2.0
#: Checks that must hold: without them the run would not be executed, or could not be observed.
NEEDED = ("settings", "database", "schema", "worker", "upstream", "agent API", "key", configuration_checks.PUBLIC)
#: The most deliveries that are read.
ROWS = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A run to send: `wait` seconds for its end, and `linger` seconds for deliveries after that."""

    agent: str
    cancel_too: bool
    wait: float
    linger: float


def obstacles(given: settings.Settings, found: Sequence[Finding]) -> Iterator[str]:
    """Yield what prevents the run, a sentence each."""
    if not given.public_url:
        yield "without RUNLEDGER_PUBLIC_URL no callback comes, and nothing can be learned about it"
    named = {each.name for each in found}
    for each in found:
        is_idle = each.name == "worker" and each.level is not findings.Level.OK
        if is_idle or (each.name in NEEDED and each.level is findings.Level.FAULT):
            yield f"{each.name}: {each.message}"
    if "worker" not in named and not findings.is_faulty(found):
        yield "there is no database yet: start `runledger serve` first"


async def run(context: CheckContext, request: Request) -> list[Finding]:
    """Send the run, wait for its end and its deliveries, send wrong requests, and return the findings."""
    async with open_database.existing(context.given) as store:
        texts = await _secrets(store, context)
        run = await _ended(store, request, PROMPT, cancel=False)
        received = await _received(store, run, request.linger, awaits_event=bool(texts))
        cancelled = None
        if request.cancel_too:
            other = await _ended(store, request, LONG_PROMPT, cancel=True)
            cancelled = await _received(store, other, request.linger, awaits_event=bool(texts))
        answers = await _answers(context, run.upstream_id)
    seen = live_findings.Observation(context.given, received, cancelled, tuple(texts), answers)
    return list(live_findings.findings_of(seen))


async def _secrets(store: database.Database, context: CheckContext) -> list[str]:
    """Return every signing secret that is known here, as the upstream spells it."""
    texts = [each.get_secret_value() for each in context.given.webhook_secrets]
    known = await store.read(webhook_endpoints.verification_set, clock.now())
    box = secret_box.SecretBox(context.keys)
    for each in known.secrets:
        with contextlib.suppress(errors.SecretNotDecrypted):
            texts.append(box.open(each.sealed))
    return texts


async def _ended(store: database.Database, request: Request, prompt: str, *, cancel: bool) -> runs.Run:
    """Submit a run here, and return it once it has ended or the time is up."""
    body = api_calls.body(bodies.Submission, {"agentId": request.agent, "prompt": prompt, "tags": TAGS})
    accepted = await api_calls.ask(store, submissions.submit_run, responses.Run, body=body)

    async def read() -> runs.Run:
        run = await store.read(runs.find, accepted.id)
        assert run is not None, "runs are never deleted"
        if cancel and run.status is states.Status.RUNNING and run.cancel_requested_at is None:
            await api_calls.ask(store, submissions.cancel_run, responses.Run, path_id=run.id)
        return run

    return await event_loop.until(lambda run: run.is_terminal, read, request.wait)


async def _received(
    store: database.Database, run: runs.Run, seconds: float, *, awaits_event: bool
) -> live_findings.Received:
    """Return the deliveries about a run: after `seconds`, or soon after one came from each source."""

    def is_whole(received: live_findings.Received) -> bool:
        return bool(received.callbacks and (received.events or received.unverified or not awaits_event))

    received = await event_loop.until(is_whole, lambda: _deliveries(store, run), seconds)
    if not is_whole(received):
        return received
    await asyncio.sleep(min(COPIES, seconds))
    return await _deliveries(store, run)


async def _deliveries(store: database.Database, run: runs.Run) -> live_findings.Received:
    """Return the deliveries of a run with their bodies, oldest first, and rejected events that name it."""
    own = await _with_bodies(store, deliveries.Query(run_id=run.id, limit=ROWS))
    rejected = deliveries.Query(verdict=states.Verdict.REJECTED, source=states.Source.PLATFORM, limit=ROWS)
    name = (run.upstream_id or run.id).encode()
    return live_findings.Received(
        run,
        tuple(each for each in own if each.source is states.Source.WATCHER),
        tuple(each for each in own if each.source is states.Source.PLATFORM),
        tuple(each for each in await _with_bodies(store, rejected) if name in (each.body or b"")),
    )


async def _with_bodies(store: database.Database, query: deliveries.Query) -> list[deliveries.StoredDelivery]:
    listed, _ = await store.read(deliveries.page, query)
    found = [await store.read(deliveries.find, each.id) for each in reversed(listed)]
    return [each for each in found if each is not None]


async def _answers(context: CheckContext, upstream_id: str | None) -> live_findings.Answers:
    """Request the details and the stream of the run, and send two wrong requests."""
    key = context.given.casedev_api_key.get_secret_value()
    probe = probing.Probe(context.given.casedev_base_url, key, clock.now, timeout=context.timeout)
    async with contextlib.aclosing(probe):
        return live_findings.Answers(
            details=await probe.ask(routes.DETAILS, upstream_id) if upstream_id else None,
            stream=await probe.ask(routes.EVENTS, upstream_id, accept=probing.STREAM) if upstream_id else None,
            unknown_run=await probe.ask(routes.STATUS, f"run_{ids.new(clock.now())}"),
            bad_limit=await probe.ask(routes.LIST, query={"limit": "0"}),
        )
