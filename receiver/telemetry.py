"""The log and the metrics of one process: one log line per event, and metrics in a registry of their own."""

from __future__ import annotations

import itertools
import logging
import math
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import metadata

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

from receiver import http_headers
from storage import errors, states
from storage.engine import database, writer
from storage.ledger import checkpoints, entries, publication
from storage.repositories import deliveries, job_counts, runs, system_state, webhook_endpoints
from storage.search import index

SETTLE_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
ENDS = frozenset(f"run.{status}" for status in states.TERMINAL)
NOTIFICATION_RESULTS = ("delivered", "failed", "stopped")
#: Events that are logged as errors. Each is counted, since an operator has to look at it.
ERRORS = (
    "background_task_failed",
    "bulk_run_skipped",
    "delivery_commit_failed",
    "event_timestamp_rejected",
    "job_crashed",
    "job_release_failed",
    "ledger_history_changed",
    "job_row_skipped",
    "webhook_secret_missing",
    "notification_stopped",
    "rejection_store_failed",
    "row_not_readable",
    "run_adoption_failed",
    "run_indexing_failed",
    "run_observation_failed",
    "webhook_endpoint_disabled",
    "webhook_secret_rejected",
    "job_claim_failed",
)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Telemetry:
    """The log and the counters of one process. Gauges are read from the database when they are requested."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        self.registry = registry
        #: When the upstream last answered 2xx, and its last rate limit: for the heartbeat.
        self.upstream_seen: tuple[datetime | None, Mapping[str, str] | None] = (None, None)
        #: When the used-up rate limit resets, by the last 2xx answer.
        self.exhausted_until: datetime | None = None
        self.log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[self._logged, *structlog.get_config()["processors"]],
            logger_factory_args=("runledger",),
        ).bind()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._errors = counter("runledger_errors", "Lines logged as errors", ("event",))
        _from_zero(self._errors, ERRORS)
        deliveries_received = counter("runledger_deliveries", "Deliveries received", ("source", "verdict"))
        received = itertools.product((states.Source.WATCHER, states.Source.PLATFORM), states.Verdict)
        # All of them at once, so that rates are visible from the first one on, and none is looked up later.
        self._received = {each: deliveries_received.labels(*each) for each in received}
        self._rejections = counter("runledger_rejections", "Requests rejected, by cause", ("cause",))
        self._settled = counter(
            "runledger_runs_settled", "Runs whose end this process committed", ("source", "status")
        )
        self._to_settle = histogram(
            "runledger_time_to_settle_seconds",
            "From acceptance to settlement",
            ("source",),
            buckets=SETTLE_BUCKETS,
        )
        self._calls = counter("runledger_upstream_calls", "Calls to the upstream", ("route", "status"))
        self._call_seconds = histogram("runledger_upstream_call_duration_seconds", "Duration of calls", ("route",))
        self._notifications = counter("runledger_notifications", "Notifications sent, by result", ("result",))
        _from_zero(self._notifications, NOTIFICATION_RESULTS)
        self._pauses = counter("runledger_upstream_pauses", "Times the shared pause was set")
        self._skipped = counter("runledger_stream_events_skipped", "Stream events that were left out", ("why",))
        self._streams = gauge("runledger_streams", "Open upstream streams")
        self._passed_over = gauge("runledger_search_unindexable_runs", "Runs that this server could not index")
        self._listeners = gauge("runledger_stream_listeners", "Listeners of event streams")
        self._batch_size = histogram("runledger_db_commit_batch_size", "Writes per commit", buckets=BATCH_BUCKETS)
        self._commit = histogram("runledger_db_commit_duration_seconds", "Time from begin to commit")
        ProcessCollector(registry=registry)
        build = Info("runledger_build", "Version of the running program", registry=registry)
        build.info({"version": metadata.version("runledger")})
        self._database_up = gauge(
            "runledger_database_up", "1 while the database answers; at 0 the metrics read from it are missing"
        )
        self._gauges = _Gauges()

    def _logged(
        self, _logger: object, method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Count errors on their way into the log."""
        if method == "error":
            self._errors.labels(line["event"]).inc()
        return line

    def received(self, receipt: deliveries.Receipt, delivery: deliveries.Delivery) -> None:
        self._received[delivery.source, receipt.verdict].inc()

    def _appended(self, appended: entries.Appended) -> None:
        """Log a ledger entry at debug level, with the ids it is about, and count an end by its source."""
        entry = appended.entry
        if self.log.is_enabled_for(logging.DEBUG):
            facts = {name: value for name, value in entry.facts.items() if value is not None}
            self.log.debug(entry.kind, run_id=entry.run_id, number=appended.number, actor=entry.actor, facts=facts)
        if entry.kind in ENDS:
            settled_by = entry.facts.get("settledBy") or ""
            self._settled.labels(settled_by, entry.kind.removeprefix("run.")).inc()

    def rejected(self, source: states.Source, cause: str) -> None:
        """Count a request to a public endpoint that did not verify.

        It is not logged, or senders could fill the disk.
        """
        self._received[source, states.Verdict.REJECTED].inc()
        self._rejections.labels(cause).inc()

    def settled(self, run: runs.Run, source: states.Source, now: datetime) -> None:
        self._to_settle.labels(source.value).observe(max(0.0, (now - run.accepted_at).total_seconds()))

    def called(
        self, route: str, status: int | None, seconds: float, rate_limit: Mapping[str, str], now: datetime
    ) -> None:
        """Record a call to the upstream; `status` is None where no answer came."""
        self._calls.labels(route, str(status or "none")).inc()
        self._call_seconds.labels(route).observe(seconds)
        ok_at, limit = self.upstream_seen
        is_ok = status is not None and status < 300
        self.upstream_seen = (now if is_ok else ok_at, rate_limit or limit)
        if is_ok and rate_limit:
            until = http_headers.exhausted_until(rate_limit, now.timestamp())
            self.exhausted_until = None if until is None else datetime.fromtimestamp(until, UTC)

    def notified(self, result: str, run_id: str, reason: str | None) -> None:
        """Record the result of a notification: `stopped` is an error, since no further try follows."""
        self._notifications.labels(result).inc()
        log = {"delivered": self.log.info, "failed": self.log.warning, "stopped": self.log.error}[result]
        log(f"notification_{result}", run_id=run_id, reason=reason)

    def unindexable(self, runs: int) -> None:
        self._passed_over.set(runs)

    def skipped(self, reason: str) -> None:
        """Count an event of an upstream stream that was left out: for its id, type or data, or as a repeat."""
        self._skipped.labels(reason).inc()

    def streaming(self, streams: int, listeners: int) -> None:
        self._streams.set(streams)
        self._listeners.set(listeners)

    def paused(self, reason: str, until: datetime) -> None:
        self._pauses.inc()
        self.log.warning("upstream_paused", reason=reason, until=until.isoformat())

    def committed(self, batch: writer.CommitBatch) -> None:
        if batch.phase == "after":
            self._batch_size.observe(len(batch.names))
            self._commit.observe(batch.seconds)
            for each in batch.observed:
                self._appended(each)

    async def metrics(self, store: database.Database, now: datetime) -> tuple[bytes, str]:
        """Return the metrics in Prometheus text form and their content type.

        While the database is unavailable, only the metrics of this process are included.
        """
        try:
            await self._gauges.read(store, now)
        except errors.Unavailable:
            self._database_up.set(0)
            return generate_latest(self.registry), CONTENT_TYPE_LATEST
        self._database_up.set(1)
        return generate_latest(self.registry) + generate_latest(self._gauges.registry), CONTENT_TYPE_LATEST


def _from_zero(counter: Counter, *values: Iterable[str]) -> None:
    """Create all label combinations at once, so that rates are visible from the first event on."""
    for labels in itertools.product(*values):
        counter.labels(*labels)


class _Gauges:
    """The metrics that are read from the database, and so are the same in every replica."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        self._jobs = gauge("runledger_jobs_due", "Jobs due now", ("kind",))
        self._oldest = gauge("runledger_jobs_oldest_due_age_seconds", "Age of the oldest due job")
        self._dead = gauge("runledger_jobs_dead", "Jobs that are not tried any more", ("kind",))
        self._failing = gauge("runledger_jobs_failing", "Jobs whose last try failed")
        self._overdue = gauge("runledger_runs_overdue", "Runs that should have ended")
        self._webhook_disabled = gauge(
            "runledger_webhook_disabled",
            "1 while the upstream sends no events to the endpoint that was registered",
        )
        self._paused = gauge("runledger_upstream_paused", "1 while the shared pause holds")
        self._streak = gauge("runledger_upstream_pause_streak", "Pauses in a row; 0 while the upstream answers")
        self._worker = gauge("runledger_worker_heartbeat_age_seconds", "Age of the last heartbeat of any worker")
        self._sweep_age = gauge("runledger_last_sweep_age_seconds", "Age of the last complete sweep")
        self._unnumbered = gauge(
            "runledger_ledger_oldest_unnumbered_age_seconds", "Age of the oldest ledger entry without a number"
        )
        self._signed = gauge("runledger_ledger_signed_entries", "Ledger entries under the newest checkpoint")
        self._witnessed = gauge(
            "runledger_ledger_witnessed_entries", "Ledger entries under the newest checkpoint that a quorum signed"
        )
        self._halted = gauge("runledger_ledger_signing_stopped", "1 while no checkpoint may be signed")
        self._folder = gauge("runledger_ledger_folder_failed", "1 while checkpoints are not written to a folder")
        self._verified = gauge(
            "runledger_ledger_verified_timestamp_seconds",
            "When the ledger was last verified without a break",
        )
        self._breaks = gauge("runledger_ledger_breaks", "Breaks that the last verification of the ledger found")
        self._witness_age = gauge(
            "runledger_ledger_witness_age_seconds", "Time since a witness last signed a checkpoint", ("witness",)
        )
        self._witness_behind = gauge(
            "runledger_ledger_witness_unsigned_entries",
            "Signed entries that a witness has not signed",
            ("witness",),
        )
        self._unindexed = gauge("runledger_search_queue_runs", "Runs that wait to be indexed for search")
        self._index_lag = gauge("runledger_search_lag_seconds", "Age of the oldest run that waits to be indexed")

    async def read(self, store: database.Database, now: datetime) -> None:
        """Set all of them. Raises Unavailable."""
        counts, oldest = await store.read(job_counts.count_due, now)
        dead = await store.read(job_counts.count_dead)
        for kind in states.Kind:
            self._jobs.labels(kind.value).set(counts.get(kind.value, 0))
            self._dead.labels(kind.value).set(dead.get(kind, 0))
        self._oldest.set(_age(oldest, now, 0))
        self._overdue.set(await store.read(runs.overdue, now))
        self._failing.set(await store.read(job_counts.count_failing))
        endpoint = await store.read(webhook_endpoints.find_active)
        self._webhook_disabled.set(
            endpoint is not None and endpoint.status not in (None, webhook_endpoints.ACTIVE)
        )
        state = await store.read(system_state.read)
        self._paused.set(state.is_paused(now))
        self._streak.set(state.pause_streak)
        self._worker.set(_age(state.worker_seen_at, now, math.inf))
        self._sweep_age.set(_age(state.swept_at, now, math.inf))
        self._unnumbered.set(_age(await store.read(entries.oldest_unnumbered), now, 0))
        await self._read_ledger(store, now)
        behind = await store.read(index.lag)
        self._unindexed.set(behind.runs)
        self._index_lag.set(_age(behind.since, now, 0))

    async def _read_ledger(self, store: database.Database, now: datetime) -> None:
        reports, newest = await store.read(publication.read), await store.read(checkpoints.newest)
        problems = {each.subject for each in reports if each.problem is not None}
        signed = 0 if newest is None else newest.size
        self._signed.set(signed)
        self._witnessed.set(next((each.size or 0 for each in reports if each.subject == publication.QUORUM), 0))
        self._halted.set(publication.SIGNING in problems)
        self._folder.set(publication.FOLDER in problems)
        verified = next((each for each in reports if each.subject == publication.VERIFICATION), None)
        self._breaks.set(0 if verified is None else verified.breaks)
        at = None if verified is None else verified.reached_at
        self._verified.set(0 if at is None else at.timestamp())
        self._witness_age.clear()
        self._witness_behind.clear()
        for each in reports:
            if each.witness is not None:
                self._witness_age.labels(each.witness).set(_age(each.reached_at, now, math.inf))
                self._witness_behind.labels(each.witness).set(max(0, signed - (each.size or 0)))


def _age(at: datetime | None, now: datetime, never: float) -> float:
    return never if at is None else max(0.0, (now - at).total_seconds())


def configure(log_format: str, level: str) -> None:
    """Send our log lines and those of libraries to stderr, in one form: `json` or `console`."""
    shared: list[structlog.typing.Processor] = [
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
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if log_format == "console":
        # A plain traceback: a rich one prints local variables, and with them prompts and keys.
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
