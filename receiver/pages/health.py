"""The health of the deployment, a line for each part; every page shows the worst as one mark."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from receiver.pages import formats
from receiver.web import operations, readiness
from storage import errors, states
from storage.engine.database import Reader, Snapshot
from storage.repositories import deliveries, system_state, webhook_endpoints

#: How long an answer is shown again, in seconds.
KEPT = 5


class Level(IntEnum):
    """The state of a part: a warning may need attention, a fault prevents some work."""

    WELL = 0
    WARNING = 1
    BAD = 2

    @property
    def icon(self) -> str:
        return ("completed", "warn", "failed")[self]


@dataclass(frozen=True, slots=True)
class Line:
    """What is known about one part: a sentence, a few words for the mark, and the page with more."""

    name: str
    level: Level
    words: str
    mark: str = ""
    path: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """All lines, and the mark of the worst."""

    lines: Sequence[Line]

    @property
    def level(self) -> Level:
        return max((each.level for each in self.lines), default=Level.WELL)

    @property
    def mark(self) -> str:
        """Return what is wrong in few words."""
        worst = [each.mark for each in self.lines if each.level is self.level and each.mark]
        if self.level is Level.WELL or not worst:
            return "All well"
        return worst[0] if len(worst) == 1 else f"{worst[0]}, {len(worst) - 1} more"


AWAY = Health((Line("Database", Level.BAD, "The database does not answer.", "Database away"),))


@dataclass(slots=True)
class Watch:
    """The health as it was last read, for all pages of this process."""

    _seen: Health | None = None
    _until: datetime | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self, context: operations.Context, now: datetime) -> Health:
        """Return the health, at most KEPT seconds old."""
        async with self._lock:
            if self._seen is None or self._until is None or not now < self._until <= now + timedelta(seconds=KEPT):
                self._seen, self._until = await _look(context, now), now + timedelta(seconds=KEPT)
            return self._seen


async def _look(context: operations.Context, now: datetime) -> Health:
    try:
        async with asyncio.timeout(context.timing.readiness):
            seen = await context.database.read_by(Reader.PLAIN, lambda store: _read(store, context, now))
            warnings = await context.warnings(now)
    except (errors.StorageError, TimeoutError):
        return AWAY
    return Health([*_lines(seen, warnings)])


@dataclass(frozen=True, slots=True)
class _Seen:
    facts: readiness.Facts
    endpoint: webhook_endpoints.Endpoint | None
    last: deliveries.StoredDelivery | None
    notifies: bool


def _read(store: Snapshot, context: operations.Context, now: datetime) -> _Seen:
    newest, _ = store.read(deliveries.page, deliveries.Query(verdict=states.Verdict.ACCEPTED, limit=1))
    return _Seen(
        readiness.read(store, now, context.timing.worker_gone_after),
        store.read(webhook_endpoints.find_active),
        newest[0] if newest else None,
        store.read(system_state.follow_ups).notifies,
    )


def _lines(seen: _Seen, warnings: Sequence[str]) -> Iterator[Line]:
    facts, now = seen.facts, seen.facts.now
    yield _worker(facts, now)
    yield _upstream(facts, now)
    yield _webhooks(seen, warnings, now)
    yield _backend(seen)
    yield _jobs(facts)
    yield _overdue(facts)
    yield _sweep(facts, now)
    yield _search(facts)
    yield _ledger(facts)


def _worker(facts: readiness.Facts, now: datetime) -> Line:
    seen = facts.state.worker_seen_at
    if facts.has_worker:
        return Line("Worker", Level.WELL, f"at work, seen {formats.ago(seen, now)}", path="/jobs")
    last = "was never seen" if seen is None else f"was last seen {formats.ago(seen, now)}"
    advice = "Start runledger serve: until then runs are accepted and not sent."
    return Line("Worker", Level.BAD, f"none is at work: it {last}", "No worker", "/jobs", advice)


def _upstream(facts: readiness.Facts, now: datetime) -> Line:
    state = facts.state
    answered = "" if state.upstream_ok_at is None else f"answered {formats.ago(state.upstream_ok_at, now)}"
    if state.pause_streak > 0:
        words = f"is not asked now: {state.pause_reason}"
        advice = (
            "It is retried by itself; a wrong key or address is corrected in CASEDEV_API_KEY or CASEDEV_BASE_URL."
        )
        return Line("Upstream", Level.BAD, words, "Upstream paused", "/jobs", advice)
    return Line("Upstream", Level.WELL, answered or "was not asked yet", path="/jobs")


def _webhooks(seen: _Seen, warnings: Sequence[str], now: datetime) -> Line:
    if warnings:
        message, _, advice = warnings[0].rpartition(": ")
        more = f" ({len(warnings) - 1} more)" if len(warnings) > 1 else ""
        said = f"{message or advice}{more}"
        return Line(
            "Webhooks", Level.WARNING, said, "Webhooks", "/deliveries", f"{advice[:1].upper()}{advice[1:]}."
        )
    last = "" if seen.last is None else f"last delivery {formats.ago(seen.last.received_at, now)}"
    if seen.endpoint is None:
        return Line(
            "Webhooks", Level.WELL, last or "no delivery yet; no endpoint is registered", path="/deliveries"
        )
    failures = seen.endpoint.failures or 0
    state = f"endpoint {seen.endpoint.status or 'registered'}" + (f", {failures} failures" if failures else "")
    return Line("Webhooks", Level.WELL, "; ".join(filter(None, (state, last))), path="/deliveries")


def _backend(seen: _Seen) -> Line:
    facts = seen.facts
    waiting = formats.plural(facts.unsent, "notification")
    if facts.unsent and not facts.has_notifier:
        advice = "Start a server that has RUNLEDGER_NOTIFY_URL, on this database."
        words = f"{waiting} wait, and no worker that can send them was seen lately"
        return Line("Your backend", Level.WARNING, words, "Backend not notified", "/jobs", advice)
    given_up = facts.dead.get(states.Kind.NOTIFY, 0)
    if given_up:
        words = f"{formats.plural(given_up, 'notification')} given up"
        return Line("Your backend", Level.WARNING, words, words, "/jobs", "Retry them on the page Jobs.")
    if not seen.notifies and not facts.unsent:
        return Line("Your backend", Level.WELL, "none is configured, so nothing is sent")
    return Line(
        "Your backend", Level.WELL, f"{waiting} to be sent" if facts.unsent else "nothing waits to be sent"
    )


def _ledger(facts: readiness.Facts) -> Line:
    problems = readiness.ledger_problems(facts.ledger)
    if not problems:
        return Line("Ledger", Level.WELL, "its checkpoints are signed and published")
    said, more = problems[0], f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return Line("Ledger", Level.WARNING, f"{said}{more}", "Ledger", advice="The runbook says what to do.")


def _jobs(facts: readiness.Facts) -> Line:
    dead = sum(facts.dead.values())
    if dead:
        kinds = ", ".join(f"{count} {kind}" for kind, count in facts.dead.items())
        words = f"{formats.plural(dead, 'job')} given up: {kinds}"
        return Line(
            "Jobs", Level.WARNING, words, f"{dead} dead {'job' if dead == 1 else 'jobs'}", "/jobs", "Retry them."
        )
    if facts.failing:
        words = f"{formats.plural(facts.failing, 'job')} failed when last tried"
        return Line(
            "Jobs",
            Level.WARNING,
            words,
            f"{facts.failing} failing",
            "/jobs",
            "They are retried by themselves.",
        )
    return Line("Jobs", Level.WELL, "none fails", path="/jobs")


def _overdue(facts: readiness.Facts) -> Line:
    if not facts.overdue:
        return Line("Runs", Level.WELL, "none is overdue")
    words = f"{formats.plural(facts.overdue, 'run')} should have ended"
    return Line(
        "Runs", Level.WARNING, words, f"{facts.overdue} overdue", "/#overdue", "The sweep asks about them."
    )


def _sweep(facts: readiness.Facts, now: datetime) -> Line:
    swept = facts.state.swept_at
    return Line(
        "Sweep", Level.WELL, "none was complete yet" if swept is None else f"completed {formats.ago(swept, now)}"
    )


def _search(facts: readiness.Facts) -> Line:
    count, run_id = facts.not_indexed
    if not count:
        return Line("Search", Level.WELL, "runs are found by their words")
    words = f"{formats.plural(count, 'run')} not found by their words for ten minutes"
    advice = "The log gives the reason: run_indexing_failed or indexer_paused."
    return Line("Search", Level.WARNING, words, "Search behind", f"/runs/{run_id}", advice)
