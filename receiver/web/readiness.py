"""The state of a deployment's work: worker, upstream, jobs, notifications, index. Monitoring and pages show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage import states
from storage.engine.database import Snapshot
from storage.ledger import publication
from storage.repositories import job_counts, runs, system_state
from storage.search import index

#: How the reason begins where the upstream has a fault.
PAUSED = "the upstream is not asked now: "
#: The time after which a run should be indexed.
BEHIND = timedelta(minutes=10)
NOT_INDEXED = (
    "{count} run(s) have waited for more than ten minutes to be found by their words, run {run_id} the longest: "
    "the log gives the reason (`run_indexing_failed` or `indexer_paused`)"
)
NOBODY_NOTIFIES = (
    "{count} notify job(s) wait, and no worker that has RUNLEDGER_NOTIFY_URL was seen lately: "
    "start one that has it, on this database"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """The shared state, and counts of what waits; `worker_gone_after` is in seconds.

    `not_indexed` are the runs that the indexer has not reached, or skips since they make it fail, and the first.
    """

    state: system_state.State
    now: datetime
    worker_gone_after: float
    overdue: int = 0
    failing: int = 0
    dead: Mapping[states.Kind, int] = field(default_factory=dict)
    unsent: int = 0
    not_indexed: tuple[int, str | None] = (0, None)
    ledger: Sequence[publication.Report] = ()

    @property
    def has_worker(self) -> bool:
        """Return whether a worker was seen lately."""
        seen, longest = self.state.worker_seen_at, timedelta(seconds=self.worker_gone_after)
        return seen is not None and self.now - seen <= longest

    @property
    def has_notifier(self) -> bool:
        """Return whether a worker that can send notifications was seen lately."""
        return self.state.has_notifier(self.now, self.worker_gone_after)

    @property
    def reasons(self) -> list[str]:
        """Return why runs that are submitted now will not be executed."""
        reasons = []
        if self.state.pause_streak > 0:  # also between two pauses, until the upstream has answered
            reasons.append(f"{PAUSED}{self.state.pause_reason}")
        return reasons if self.has_worker else [*reasons, "no worker was seen lately"]

    @property
    def warnings(self) -> list[str]:
        """Return sentences about what needs attention, although no run waits for it."""
        dead = [_given_up(kind, count) for kind, count in self.dead.items()]
        unsent = [NOBODY_NOTIFIES.format(count=self.unsent)] if self.unsent and not self.has_notifier else []
        count, run_id = self.not_indexed
        unfound = [NOT_INDEXED.format(count=count, run_id=run_id)] if count else []
        return [*dead, *unsent, *unfound, *ledger_problems(self.ledger)]


def ledger_problems(reports: Sequence[publication.Report]) -> list[str]:
    """Return why checkpoints of the ledger are not signed, or not published, a sentence for each cause."""
    signing = next((each.problem or "" for each in reports if each.subject == publication.SIGNING), "")
    # The signing that stops because of another place repeats the problem of that place.
    causes = [each for each in reports if not (each.halts and signing.endswith(f"{each.subject} {each.problem}"))]
    return [problem for each in causes if (problem := _ledger_problem(each))]


def _ledger_problem(report: publication.Report) -> str | None:
    """Return the problem of a place in a sentence; None where it has none."""
    if report.problem is None:
        return None
    if report.witness:
        return f"the witness {report.witness} does not sign checkpoints of the ledger: {report.problem}"
    if report.subject == publication.VERIFICATION:
        return f"the last verification of the ledger found {report.problem}; `runledger ledger verify` names each"
    missing = "signed" if report.subject == publication.SIGNING else "written to their folder"
    return f"checkpoints of the ledger are not {missing}: {report.problem}"


def _given_up(kind: states.Kind, count: int) -> str:
    return (
        f"{count} {kind} {'job was' if count == 1 else 'jobs were'} given up: "
        f"`runledger jobs --by cause` tells why, `runledger jobs retry --kind {kind}` tries again"
    )


def read_state(store: Snapshot, now: datetime, worker_gone_after: float) -> Facts:
    """Return the shared state without counts: a caller without an API key may ask for it often."""
    return Facts(store.read(system_state.read), now, worker_gone_after)


def read(store: Snapshot, now: datetime, worker_gone_after: float) -> Facts:
    """Return the state now."""
    return Facts(
        store.read(system_state.read),
        now,
        worker_gone_after,
        store.read(runs.overdue, now),
        store.read(job_counts.count_failing),
        store.read(job_counts.count_dead),
        store.read(job_counts.count_open, states.Kind.NOTIFY),
        store.read(index.waits_longest, now - BEHIND),
        store.read(publication.read),
    )
