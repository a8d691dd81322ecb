"""The states of a run and the legal moves between them. Pure.

A move is a guarded UPDATE (`WHERE status IN predecessors(to)`), so the database enforces the table below even
where two processes race.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar, cast


class Status(StrEnum):
    """The state of a run."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    LOST = "lost"


class Origin(StrEnum):
    """Where a run came from: submitted here, or adopted from the upstream."""

    SUBMITTED = "submitted"
    ADOPTED = "adopted"


class Execution(StrEnum):
    """The guarantee of how often a submission is executed."""

    EXACTLY_ONCE = "exactlyOnce"
    AT_MOST_ONCE = "atMostOnce"


class Source(StrEnum):
    """Where a delivery came from, what first reported the end of a run, or what caused a fetch."""

    WATCHER = "watcher"
    PLATFORM = "platform"
    SWEEP = "sweep"
    REQUEST = "request"


class Verdict(StrEnum):
    """The verdict on a delivery."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class ReviewVerdict(StrEnum):
    """What a person says about a run that has ended: a judgement, or a comment alone."""

    APPROVED = "approved"
    REJECTED = "rejected"
    COMMENT = "comment"


class Judgement(StrEnum):
    """The newest judgement on a run: comments do not change it."""

    APPROVED = "approved"
    REJECTED = "rejected"


class Reviewed(StrEnum):
    """How filters name the newest judgement on a run, or that there is none."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NONE = "none"


class Role(StrEnum):
    """The role of an upstream run that belongs to a run of ours."""

    RUN = "run"
    ORPHAN = "orphan"


class Part(StrEnum):
    """The texts of a run that are searched; those of its steps come last."""

    PROMPT = "prompt"
    GUIDANCE = "guidance"
    OUTPUT = "output"
    SUMMARY = "summary"
    FAILURE_REASON = "failure_reason"
    STEP = "step"
    TOOL_INPUT = "tool_input"
    TOOL_OUTPUT = "tool_output"


class Submitter(StrEnum):
    """The submitter of a run that no API key submitted. No key may have one of these names."""

    SWEEP = "sweep"
    BACKFILL = "backfill"
    RESTORED = "restored"
    IMPORT = "import"


class Kind(StrEnum):
    """The kinds of jobs."""

    START = "start"
    SETTLE = "settle"
    CANCEL = "cancel"
    ORPHAN = "orphan"
    ADOPT = "adopt"
    SWEEP = "sweep"
    NOTIFY = "notify"
    CAPTURE = "capture"
    CHECK = "check"
    BULK = "bulk"


class BulkKind(StrEnum):
    """What a bulk action does with each of its runs."""

    CANCEL = "cancel"
    REFRESH = "refresh"
    RETRY_NOTIFICATION = "retry_notification"
    TAG = "tag"
    AGAIN = "again"


class Content(StrEnum):
    """Content of a run that can be erased, by the names of the ledger."""

    PROMPT = "prompt"
    GUIDANCE = "guidance"
    INSTRUCTIONS = "instructions"
    OBJECT_IDS = "objectIds"
    TAGS = "tags"
    OUTPUT = "output"
    SUMMARY = "summary"
    FAILURE_REASON = "failureReason"
    DOCUMENT = "document"
    STEPS = "steps"
    USAGE = "usage"
    DELIVERIES = "deliveries"
    NOTIFICATION = "notification"
    STREAMS = "streams"
    COMMENT = "comment"


class ErasureCause(StrEnum):
    """Why content was erased: it was requested, or its age was reached."""

    REQUEST = "request"
    RETENTION = "retention"


class HoldScope(StrEnum):
    """What a legal hold names."""

    RUN = "run"
    TAG = "tag"
    QUESTION = "question"


class JobState(StrEnum):
    """The state of a job at a moment; of several that apply, the last in this list counts."""

    WAITING = "waiting"
    DUE = "due"
    FAILING = "failing"
    LEASED = "leased"
    DEAD = "dead"


class FailedJobState(StrEnum):
    """Failing jobs come due by themselves; dead ones wait for an operator."""

    FAILING = "failing"
    DEAD = "dead"


#: The order of claims: exec and settle go first, deployment-wide jobs last. Jobs that call the backend or read
#: streams may stall, so they have lanes of their own and delay no other job.
PRIORITY = {
    Kind.START: 0,
    Kind.SETTLE: 0,
    Kind.CANCEL: 1,
    Kind.ORPHAN: 1,
    Kind.ADOPT: 2,
    Kind.SWEEP: 3,
    Kind.CHECK: 3,
    Kind.NOTIFY: 4,
    Kind.CAPTURE: 5,
    Kind.BULK: 6,
}
#: The priorities of jobs that call the upstream, that call the backend, that read the upstream's streams, and that
#: call nobody. The first and the third lane obey the upstream's pause.
UPSTREAM_LANE, BACKEND_LANE, STREAM_LANE, LOCAL_LANE = (0, 1, 2, 3), (4,), (5,), (6,)
EVERY_LANE = UPSTREAM_LANE + BACKEND_LANE + STREAM_LANE + LOCAL_LANE
#: Jobs for which one worker slot is reserved, so that they progress however many exec and settle jobs there are.
#: The sweep comes first here, since it is rarely due.
RESERVED_LANE = (3, 1, 2)

ACCEPTED, QUEUED, RUNNING, LOST = Status.ACCEPTED, Status.QUEUED, Status.RUNNING, Status.LOST
COMPLETED, FAILED, CANCELLED, REFUSED = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.REFUSED

TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED, REFUSED})
LIVE = frozenset(Status) - TERMINAL
#: Terminal states that the upstream itself can report.
REPORTED = frozenset({COMPLETED, FAILED, CANCELLED})

MOVES: dict[tuple[Status, Status], str] = {
    (ACCEPTED, QUEUED): "the upstream created it",
    (ACCEPTED, RUNNING): "it was adopted while it ran",
    (ACCEPTED, COMPLETED): "it ended before its creation was recorded, or had ended when it was adopted",
    (ACCEPTED, FAILED): "likewise",
    (ACCEPTED, CANCELLED): "cancelled here before the upstream knew it, or adopted cancelled",
    (ACCEPTED, REFUSED): "the upstream refused to create it, does not know the run to adopt, or the answer to the "
    "one call was lost and no run was found",
    (QUEUED, RUNNING): "exec was answered, or the upstream shows it running",
    (QUEUED, COMPLETED): "it ended before its start was recorded",
    (QUEUED, FAILED): "likewise",
    (QUEUED, CANCELLED): "cancelled before it started",
    (QUEUED, REFUSED): "the upstream refused to start it",
    (QUEUED, LOST): "the upstream has not known it for a day",
    (RUNNING, COMPLETED): "the usual end",
    (RUNNING, FAILED): "the agent failed",
    (RUNNING, CANCELLED): "cancelled while it ran",
    (RUNNING, LOST): "the upstream has not known it for a day",
    (LOST, QUEUED): "it turned up again",
    (LOST, RUNNING): "it turned up again",
    (LOST, COMPLETED): "it turned up again, ended",
    (LOST, FAILED): "it turned up again, ended",
    (LOST, CANCELLED): "it turned up again, ended",
}

#: The only way out of a terminal state, which is not a move: a caller or a backfill reopens an adoption that was
#: refused because the upstream did not know the run. The run itself never ended: only its refusal was stored. A
#: submission never leaves a terminal state.
REOPENED = (REFUSED, ACCEPTED)


E = TypeVar("E", bound=StrEnum)


def read(kind: type[E], value: str) -> E:
    """Return the member of `kind` with a value from a row. An unknown value stays a text, so the row can be shown.

    >>> read(Kind, "settle") is Kind.SETTLE, read(Kind, "unheard of")
    (True, 'unheard of')
    """
    try:
        return kind(value)
    except ValueError:  # another program wrote it: the rows around it can still be read
        return cast(E, value)


def predecessors(to: Status) -> tuple[Status, ...]:
    """Return the states from which `to` may be reached, in the order of the enum."""
    return tuple(status for status in Status if (status, to) in MOVES)
