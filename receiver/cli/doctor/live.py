"""One tiny run through the real service, and what is kept of it: deliveries, details, answers to odd questions.

The running server does the work; what comes to its public endpoints is kept anyway, with headers and body.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from receiver import clock, errors, settings, shapes, vault
from receiver.api import submissions
from receiver.cli import asking, opening
from receiver.cli.doctor import findings, inside, observed
from receiver.cli.doctor.findings import Finding
from receiver.cli.doctor.scene import Scene
from receiver.upstream import probing, routes
from storage import database, deliveries, ids, runs, states, webhooks

PROMPT = "Answer with the one word: ready."
LONG_PROMPT = "Count from 1 to 500 and say each number, one a line."
TAGS = {"runledger": "doctor"}
#: Seconds between two looks; and how long copies may take once everything was heard once.
LOOK, COPIES = 0.25, 2.0
#: Without these nothing would come of a run, or nothing of it be seen.
NEEDED = ("settings", "database", "schema", "worker", "upstream", "agent API", "key", inside.PUBLIC)
#: Deliveries that are looked through at most.
ROWS = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which agent runs; how long that may take, and how long what follows may, in seconds."""

    agent: str
    cancel_too: bool
    wait: float
    linger: float


def obstacles(given: settings.Settings, found: Sequence[Finding]) -> Iterator[str]:
    """What stands in the way, a sentence each."""
    if not given.public_url:
        yield "without RUNLEDGER_PUBLIC_URL no callback comes, and there is nothing to be seen of one"
    named = {each.name for each in found}
    for each in found:
        is_idle = each.name == "worker" and each.level is not findings.Level.OK
        if is_idle or (each.name in NEEDED and each.level is findings.Level.FAULT):
            yield f"{each.name}: {each.said}"
    if "worker" not in named and not findings.is_faulty(found):
        yield "there is no database yet: start `runledger serve` first"


async def tried(scene: Scene, wanted: Wanted) -> list[Finding]:
    """Sends the run, waits for its end and for what follows, asks the odd questions, and tells it all."""
    async with opening.existing(scene.given) as store:
        texts = await _secrets(store, scene)
        run = await _run(store, wanted, PROMPT, cancel=False)
        heard = await _heard(store, run, wanted.linger, awaits_event=bool(texts))
        cancelled = None
        if wanted.cancel_too:
            other = await _run(store, wanted, LONG_PROMPT, cancel=True)
            cancelled = await _heard(store, other, wanted.linger, awaits_event=bool(texts))
        asked = await _asked(scene, run.upstream_id)
    return list(observed.told(observed.Observation(scene.given, heard, cancelled, tuple(texts), asked)))


async def _secrets(store: database.Database, scene: Scene) -> list[str]:
    """Every signing secret that we know, as the upstream spells it."""
    texts = [each.get_secret_value() for each in scene.given.webhook_secrets]
    known = await store.read(webhooks.known, clock.now())
    box = vault.Vault(scene.keys)
    for each in known.secrets:
        with contextlib.suppress(errors.BadSeal):
            texts.append(box.open(each.sealed))
    return texts


async def _run(store: database.Database, wanted: Wanted, prompt: str, *, cancel: bool) -> runs.Run:
    """A run that was submitted here, once it has ended or the time is up."""
    body = await asking.body(shapes.Submission, {"agentId": wanted.agent, "prompt": prompt, "tags": TAGS})
    accepted = await asking.ask(store, submissions.submit_run, shapes.Run, body=body)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wanted.wait):
            async for run in _looks(store, accepted.id):
                if cancel and run.status is states.Status.RUNNING and run.cancel_requested_at is None:
                    await asking.ask(store, submissions.cancel_run, shapes.Run, named=run.id)
                if run.is_terminal:
                    break
    return await _found(store, accepted.id)


async def _looks(store: database.Database, run_id: str) -> AsyncIterator[runs.Run]:
    """The run again and again: the server commits in a process of its own, unheard here."""
    while True:
        yield await _found(store, run_id)
        await asyncio.sleep(LOOK)


async def _found(store: database.Database, run_id: str) -> runs.Run:
    found = await store.read(runs.find, run_id)
    assert found is not None, "runs are never deleted"
    return found


async def _heard(store: database.Database, run: runs.Run, seconds: float, *, awaits_event: bool) -> observed.Heard:
    """What came about the run: after `seconds`, or a little after each road was heard."""
    until = clock.now() + timedelta(seconds=seconds)
    while True:
        heard = await _came(store, run)
        if heard.callbacks and (heard.events or heard.unverified or not awaits_event):
            await asyncio.sleep(min(COPIES, seconds))
            return await _came(store, run)
        if clock.now() >= until:
            return heard
        await asyncio.sleep(LOOK)


async def _came(store: database.Database, run: runs.Run) -> observed.Heard:
    """The deliveries of a run with their bodies, oldest first, and rejected events that name it."""
    own = await _whole(store, deliveries.Query(run_id=run.id, limit=ROWS))
    rejected = deliveries.Query(verdict=states.Verdict.REJECTED, road=states.Road.PLATFORM, limit=ROWS)
    name = (run.upstream_id or run.id).encode()
    return observed.Heard(
        run,
        tuple(each for each in own if each.road is states.Road.WATCHER),
        tuple(each for each in own if each.road is states.Road.PLATFORM),
        tuple(each for each in await _whole(store, rejected) if name in (each.body or b"")),
    )


async def _whole(store: database.Database, query: deliveries.Query) -> list[deliveries.Stored]:
    listed, _ = await store.read(deliveries.page, query)
    found = [await store.read(deliveries.find, each.id) for each in reversed(listed)]
    return [each for each in found if each is not None]


async def _asked(scene: Scene, upstream_id: str | None) -> observed.Asked:
    """The details and the stream of the run, and what is answered to mistakes."""
    key = scene.given.casedev_api_key.get_secret_value()
    probe = probing.Probe(scene.given.casedev_base_url, key, clock.now, timeout=scene.timeout)
    try:
        return observed.Asked(
            details=await probe.ask(routes.DETAILS, upstream_id) if upstream_id else None,
            stream=await probe.ask(routes.EVENTS, upstream_id, accept=probing.STREAM) if upstream_id else None,
            unknown_run=await probe.ask(routes.STATUS, _never(clock.now())),
            bad_limit=await probe.ask(routes.LIST, query={"limit": "0"}),
        )
    finally:
        await probe.aclose()


def _never(now: datetime) -> str:
    """The id of no run."""
    return f"run_{ids.new(now)}"
