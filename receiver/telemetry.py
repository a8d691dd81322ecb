"""What the house says of itself: one log line per event, and metrics in a registry of its own."""

from __future__ import annotations

import itertools
import json
import logging
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from receiver import headers
from storage import (
    backlog,
    changes,
    database,
    deliveries,
    errors,
    house,
    ledger,
    runs,
    search,
    states,
    webhooks,
    writer,
)

SETTLE_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
ENDS = frozenset(f"run.{status}" for status in states.TERMINAL)
NOTIFIED = ("delivered", "failed", "stopped")
#: What is logged as an error. Each is counted, since somebody has to look at it.
ERRORS = (
    "background_work_broke",
    "delivery_not_committed",
    "event_outside_tolerance",
    "job_broke",
    "job_release_broke",
    "job_unreadable",
    "no_webhook_secret",
    "notification_stopped",
    "rejection_not_kept",
    "run_not_adopted",
    "run_not_indexed",
    "run_not_observed",
    "webhook_endpoint_disabled",
    "webhook_secret_unusable",
    "worker_look_broke",
)
GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Telemetry:
    """The counters of one process and its log. Gauges are asked of the database when they are read."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self.registry = registry
        #: When the upstream last answered well, and the last rate limit it told: for the heartbeat.
        self.heard: tuple[datetime | None, Mapping[str, str] | None] = (None, None)
        #: Until when no call is left, as an answer that went well said.
        self.spent_until: datetime | None = None
        self._errors = Counter("runledger_errors", "Lines logged as errors", ("event",), registry=registry)
        _from_zero(self._errors, ERRORS)
        self.log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[self._logged, *structlog.get_config()["processors"]],
            logger_factory_args=("runledger",),
        ).bind()
        names = ("road", "verdict")
        self._deliveries = Counter("runledger_deliveries", "Deliveries received", names, registry=registry)
        _from_zero(self._deliveries, (states.Road.WATCHER, states.Road.PLATFORM), states.Verdict)
        self._rejections = Counter(
            "runledger_rejections", "Requests rejected, by cause", ("cause",), registry=registry
        )
        self._settled = Counter("runledger_runs_settled", "Runs settled", ("road", "status"), registry=registry)
        self._to_settle = Histogram(
            "runledger_time_to_settle_seconds",
            "From acceptance to settlement",
            ("road",),
            buckets=SETTLE_BUCKETS,
            registry=registry,
        )
        self._calls = Counter("runledger_upstream_calls", "Calls upstream", ("route", "status"), registry=registry)
        self._call_seconds = Histogram("runledger_upstream_seconds", "Durations", ("route",), registry=registry)
        self._notifications = Counter(
            "runledger_notifications", "Tries to tell the backend, by result", ("result",), registry=registry
        )
        _from_zero(self._notifications, NOTIFIED)
        self._pauses = Counter("runledger_upstream_pauses", "Times the shared pause was set", registry=registry)
        self._skipped = Counter(
            "runledger_stream_events_skipped", "Events of streams passed over", ("why",), registry=registry
        )
        self._streams = Gauge("runledger_streams", "Upstream streams that are listened to", registry=registry)
        self._passed_over = Gauge(
            "runledger_search_passed_over_runs", "Runs that this server could not index", registry=registry
        )
        self._listeners = Gauge("runledger_stream_listeners", "Listeners to streams of events", registry=registry)
        self._group = Histogram(
            "runledger_door_group_size", "Writes per commit", buckets=GROUP_BUCKETS, registry=registry
        )
        self._commit = Histogram("runledger_door_commit_seconds", "Transaction to commit", registry=registry)
        self._database_up = _about_process(registry)
        self._gauges = _Gauges()

    def _logged(
        self, _logger: object, method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Counts errors on their way into the log."""
        if method == "error":
            self._errors.labels(line["event"]).inc()
        return line

    def received(self, receipt: deliveries.Receipt, delivery: deliveries.Delivery) -> None:
        """A delivery was committed."""
        self._deliveries.labels(delivery.road.value, receipt.verdict.value).inc()

    def fact(self, entry: changes.Change) -> None:
        """A fact went into the ledger: one line, with the ids it is about. Ends are counted by their road."""
        try:
            facts = json.loads(entry.body)["facts"]
        except (ValueError, TypeError, LookupError, RecursionError):
            self.log.warning("entry_unreadable", number=entry.number)
            return
        self.log.info(entry.kind, run_id=entry.run_id, number=entry.number, actor=entry.actor, facts=facts)
        if entry.kind in ENDS:
            self._settled.labels(facts.get("settledBy", ""), entry.kind.removeprefix("run.")).inc()

    def rejected(self, road: states.Road, cause: str) -> None:
        """A request to a public endpoint did not verify. Counted, not logged: strangers must not fill a disk."""
        self._deliveries.labels(road.value, states.Verdict.REJECTED.value).inc()
        self._rejections.labels(cause).inc()

    def settled(self, run: runs.Run, road: states.Road, now: datetime) -> None:
        """A run's result was stored here."""
        self._to_settle.labels(road.value).observe(max(0.0, (now - run.accepted_at).total_seconds()))

    def called(
        self, route: str, status: int | None, seconds: float, rate_limit: Mapping[str, str], now: datetime
    ) -> None:
        """A call to the upstream; `status` is None where no answer came."""
        self._calls.labels(route, str(status or "none")).inc()
        self._call_seconds.labels(route).observe(seconds)
        ok_at, limit = self.heard
        is_ok = status is not None and status < 300
        self.heard = (now if is_ok else ok_at, rate_limit or limit)
        if is_ok and rate_limit:
            until = headers.spent_until(rate_limit, now.timestamp())
            self.spent_until = None if until is None else datetime.fromtimestamp(until, UTC)

    def notified(self, result: str, run_id: str, reason: str | None) -> None:
        """What became of a try to tell the backend; `stopped` was the last one, for somebody to look at."""
        self._notifications.labels(result).inc()
        log = {"delivered": self.log.info, "failed": self.log.warning, "stopped": self.log.error}[result]
        log(f"notification_{result}", run_id=run_id, reason=reason)

    def passed_over(self, runs: int) -> None:
        """So many runs broke the indexer of this server, which tries them again later."""
        self._passed_over.set(runs)

    def skipped(self, reason: str) -> None:
        """An event of an upstream stream was passed over: for its id, its type or its data, or as a repeat."""
        self._skipped.labels(reason).inc()

    def streaming(self, streams: int, listeners: int) -> None:
        """So many upstream streams are open for so many listeners."""
        self._streams.set(streams)
        self._listeners.set(listeners)

    def paused(self, reason: str, until: datetime) -> None:
        """Nobody asks the upstream until then."""
        self._pauses.inc()
        self.log.warning("upstream_paused", reason=reason, until=until.isoformat())

    def committed(self, group: writer.Group) -> None:
        """A group passed the door."""
        if group.phase == "after":
            self._group.observe(len(group.names))
            self._commit.observe(group.seconds)

    async def metrics(self, store: database.Database, now: datetime) -> tuple[bytes, str]:
        """The exposition in Prometheus text form and its content type; only our own while the database is away."""
        try:
            await self._gauges.read(store, now)
        except errors.Unavailable:
            self._database_up.set(0)
            return generate_latest(self.registry), CONTENT_TYPE_LATEST
        self._database_up.set(1)
        return generate_latest(self.registry) + generate_latest(self._gauges.registry), CONTENT_TYPE_LATEST


def _from_zero(counter: Counter, *values: Iterable[str]) -> None:
    """Has it tell of all these labels before anything happened, so that rates are seen from the first."""
    for labels in itertools.product(*values):
        counter.labels(*labels)


def _about_process(registry: CollectorRegistry) -> Gauge:
    """What there is to tell of any program; answers the gauge of whether it has its database."""
    ProcessCollector(registry=registry)
    Info("runledger_build", "What runs here", registry=registry).info({"version": metadata.version("runledger")})
    return Gauge(
        "runledger_database_up",
        "1 where the database answered just now; without it what is asked of it is missing here",
        registry=registry,
    )


class _Gauges:
    """What is asked of the database, so that it is the same in every replica."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self._jobs = Gauge("runledger_jobs_due", "Jobs due now", ("kind",), registry=registry)
        self._oldest = Gauge("runledger_jobs_oldest_due_seconds", "Age of the oldest due job", registry=registry)
        self._dead = Gauge("runledger_jobs_dead", "Jobs that nobody tries any more", ("kind",), registry=registry)
        self._failing = Gauge("runledger_jobs_failing", "Jobs whose last try failed", registry=registry)
        self._overdue = Gauge("runledger_expectations_overdue", "Runs that should have ended", registry=registry)
        self._deaf = Gauge(
            "runledger_webhook_disabled",
            "1 while the upstream sends no events to the endpoint that was registered",
            registry=registry,
        )
        self._paused = Gauge("runledger_upstream_paused", "1 while the shared pause holds", registry=registry)
        self._streak = Gauge(
            "runledger_upstream_pause_streak", "Pauses in a row; 0 while the upstream answers", registry=registry
        )
        self._worker = Gauge(
            "runledger_worker_seen_seconds", "Age of the last heartbeat of any worker", registry=registry
        )
        self._swept = Gauge("runledger_swept_seconds", "Age of the last whole sweep", registry=registry)
        self._unnumbered = Gauge(
            "runledger_ledger_oldest_unnumbered_seconds",
            "Age of the oldest ledger entry without a number",
            registry=registry,
        )
        self._unindexed = Gauge(
            "runledger_search_queue_runs", "Runs whose words are not to be found yet", registry=registry
        )
        self._index_lag = Gauge(
            "runledger_search_lag_seconds", "How long the first of these has waited", registry=registry
        )

    async def read(self, store: database.Database, now: datetime) -> None:
        """Sets them all. Raises Unavailable."""
        counts, oldest = await store.read(backlog.due_counts, now)
        dead = await store.read(backlog.dead)
        for kind in states.Kind:
            self._jobs.labels(kind.value).set(counts.get(kind.value, 0))
            self._dead.labels(kind.value).set(dead.get(kind, 0))
        self._oldest.set(_age(oldest, now, 0))
        self._overdue.set(await store.read(runs.overdue, now))
        self._failing.set(await store.read(backlog.failing))
        endpoint = await store.read(webhooks.standing)
        self._deaf.set(endpoint is not None and endpoint.status not in (None, webhooks.ACTIVE))
        state = await store.read(house.read)
        self._paused.set(state.is_paused(now))
        self._streak.set(state.pause_streak)
        self._worker.set(_age(state.worker_seen_at, now, math.inf))
        self._swept.set(_age(state.swept_at, now, math.inf))
        self._unnumbered.set(_age(await store.read(ledger.oldest_unnumbered), now, 0))
        behind = await store.read(search.lag)
        self._unindexed.set(behind.runs)
        self._index_lag.set(_age(behind.since, now, 0))


def _age(at: datetime | None, now: datetime, never: float) -> float:
    """Seconds since then."""
    return never if at is None else max(0.0, (now - at).total_seconds())


def configure(log_format: str, level: str) -> None:
    """Sends our own lines and those of libraries to stderr, in one form: `json` or `console`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if log_format == "console":
        # The plain form: a rich one prints local variables, and with them prompts and keys.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
