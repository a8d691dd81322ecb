"""The states of a run and the legal moves between them. Pure.

A move is carried out as a guarded UPDATE (`WHERE status IN sources(to)`), so the table below is what the
database enforces, whoever comes first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar, cast


class Status(StrEnum):
    """Where a run stands."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    LOST = "lost"


class Origin(StrEnum):
    """Who created the run upstream."""

    SUBMITTED = "submitted"
    ADOPTED = "adopted"


class Execution(StrEnum):
    """What we promise of a submission's execution."""

    EXACTLY_ONCE = "exactlyOnce"
    AT_MOST_ONCE = "atMostOnce"


class Road(StrEnum):
    """How we came to know that a run has ended, or why we asked."""

    WATCHER = "watcher"
    PLATFORM = "platform"
    SWEEP = "sweep"
    REQUEST = "request"


class Verdict(StrEnum):
    """What became of a delivery."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class Role(StrEnum):
    """What an upstream run is to a run of ours."""

    RUN = "run"
    ORPHAN = "orphan"


class Part(StrEnum):
    """The texts of a run that are searched, those of its steps last."""

    PROMPT = "prompt"
    GUIDANCE = "guidance"
    OUTPUT = "output"
    SUMMARY = "summary"
    FAILURE_REASON = "failure_reason"
    STEP = "step"
    TOOL_INPUT = "tool_input"
    TOOL_OUTPUT = "tool_output"


class Submitter(StrEnum):
    """By whom a run is submitted that no API key submitted. No key has such a name."""

    SWEEP = "sweep"
    BACKFILL = "backfill"
    RESTORED = "restored"
    IMPORT = "import"


class Kind(StrEnum):
    """The kinds of work in `jobs`."""

    START = "start"
    SETTLE = "settle"
    CANCEL = "cancel"
    ORPHAN = "orphan"
    ADOPT = "adopt"
    SWEEP = "sweep"
    NOTIFY = "notify"
    CAPTURE = "capture"
    CHECK = "check"


#: Claimed in this order: exec and settle go first, what looks after the house last. What asks the backend and what
#: reads streams, which may stall, have lanes of their own, so that nobody waits for them.
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
}
#: The priorities of what asks the upstream, of what asks the backend, and of what reads the upstream's streams.
#: The first and the last obey the upstream's pause.
UPSTREAM_LANE, BACKEND_LANE, STREAM_LANE = (0, 1, 2, 3), (4,), (5,)
EVERY_LANE = UPSTREAM_LANE + BACKEND_LANE + STREAM_LANE
#: What has one place of its own beside exec and settle, so that it goes on however many of those there are. The
#: sweep comes first here: it is due but now and then.
UNHURRIED_LANE = (3, 1, 2)

ACCEPTED, QUEUED, RUNNING, LOST = Status.ACCEPTED, Status.QUEUED, Status.RUNNING, Status.LOST
COMPLETED, FAILED, CANCELLED, REFUSED = Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.REFUSED

TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED, REFUSED})
LIVE = frozenset(Status) - TERMINAL
#: What the upstream itself can report as an end.
REPORTED = frozenset({COMPLETED, FAILED, CANCELLED})

MOVES: dict[tuple[Status, Status], str] = {
    (ACCEPTED, QUEUED): "the upstream created it",
    (ACCEPTED, RUNNING): "it was adopted while it ran",
    (ACCEPTED, COMPLETED): "it ended before we had written that it was created, or was adopted ended",
    (ACCEPTED, FAILED): "likewise",
    (ACCEPTED, CANCELLED): "cancelled here before the upstream knew it, or adopted cancelled",
    (ACCEPTED, REFUSED): "the upstream would not create it, does not know the run to adopt, or the answer to its "
    "one call was lost and no run of it was found",
    (QUEUED, RUNNING): "exec was answered, or the upstream shows it running",
    (QUEUED, COMPLETED): "it ended before we had written that it was started",
    (QUEUED, FAILED): "likewise",
    (QUEUED, CANCELLED): "cancelled before it started",
    (QUEUED, REFUSED): "the upstream would not start it",
    (QUEUED, LOST): "the upstream has not known it for a day",
    (RUNNING, COMPLETED): "the usual end",
    (RUNNING, FAILED): "the agent failed",
    (RUNNING, CANCELLED): "cancelled while it ran",
    (RUNNING, LOST): "the upstream has not known it for a day",
    (LOST, QUEUED): "it turned up again",
    (LOST, RUNNING): "it turned up again",
    (LOST, COMPLETED): "it turned up ended",
    (LOST, FAILED): "it turned up ended",
    (LOST, CANCELLED): "it turned up ended",
}

#: The one way out of an end, which is no move: an adoption that was refused since the upstream did not know the
#: run is open again where a caller or a backfill names the run once more. The run itself never ended here: nothing
#: of it was stored but that it was not found. No other end is left, and a submission never leaves one.
REOPENED = (REFUSED, ACCEPTED)


E = TypeVar("E", bound=StrEnum)


def read(kind: type[E], value: str) -> E:
    """Return the member of `kind` that a row names. What names none stays as it is, so that the row can be shown.

    >>> read(Kind, "settle") is Kind.SETTLE, read(Kind, "unheard of")
    (True, 'unheard of')
    """
    try:
        return kind(value)
    except ValueError:  # somebody else wrote it: no reason to lose the rows around it
        return cast(E, value)


def sources(to: Status) -> tuple[Status, ...]:
    """The states from which `to` may be reached, in the order of the enum."""
    return tuple(status for status in Status if (status, to) in MOVES)
