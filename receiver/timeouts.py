"""All waits, as fields of one frozen `Timing` that is handed down from the top. Pure.

Tests run the real server with compressed waits; in production the defaults apply.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """All waits, in seconds."""

    #: The first step of a job's back-off, and its longest one.
    backoff: float = 2.0
    backoff_most: float = 3600.0
    #: The interval between two fetches of a live run, growing from the first value to the second.
    alive: float = 2.0
    alive_most: float = 60.0
    #: Ages of a settled run at which missing data is fetched again.
    refetch: tuple[float, ...] = (60.0, 600.0)
    #: The shared pause without a Retry-After: its first step and its longest one.
    pause: float = 2.0
    pause_most: float = 60.0
    #: The length of a lease, after which the jobs of a worker that died can be claimed; the interval at which
    #: leases are renewed and the heartbeat is written.
    lease: float = 20.0
    heartbeat: float = 5.0
    #: The interval between two checks for work by the worker and the sequencer when nothing was signalled.
    poll: float = 1.0
    #: The interval between two sweeps: with a public URL, and where the sweep is the only source.
    sweep: float = 60.0
    sweep_only: float = 3.0
    #: The interval between two lists of the upstream's agents, and the least one where a run names a new agent.
    agents: float = 3600.0
    new_agents: float = 120.0
    #: A run that the upstream has not known for this long is lost; and the interval of asking about lost runs.
    lost: float = 86400.0
    ask_lost: float = 3600.0
    #: How long the upstream must refuse exec, or not know a run to adopt, before the run is refused.
    refuse: float = 600.0
    #: How far the upstream's clock may be behind ours.
    clock_skew: float = 600.0
    #: How long after a lost create its run may still appear upstream; a lost one-call execute is given up then.
    lost_create: float = 600.0
    #: The upstream ends every run within the first value; a run open for longer than both together is overdue.
    hard_limit: float = 1800.0
    overdue: float = 300.0
    #: How long a drain waits for running jobs, and how long a request waits for its body.
    drain: float = 8.0
    slow_body: float = 10.0
    #: The time limit of one call to the upstream.
    call: float = 30.0
    #: A database connection is given up when a statement stays unanswered for the first value; readiness waits
    #: for the second.
    database_timeout: float = 30.0
    readiness: float = 4.0
    #: An upstream stream without a byte for this long has broken; how long its first answer is waited for.
    stream_idle: float = 60.0
    stream_begin: float = 5.0
    #: The interval between two comments to a listener; how long it may read nothing; the interval of checks of its
    #: API key; how long a stream is kept open after its last listener left.
    stream_heartbeat: float = 15.0
    slow_listener: float = 30.0
    stream_key: float = 15.0
    stream_linger: float = 5.0
    #: The limits of one try at capturing a stream, without a byte and in all; the time from the run's end after
    #: which the capture is given up.
    capture_idle: float = 15.0
    capture: float = 120.0
    capture_for: float = 86400.0
    #: The interval between two flushes of the buffer of rejected requests.
    rejection_flush: float = 2.0
    #: The interval between two removals of old or excessive deliveries that belong to no run.
    retention: float = 3600.0
    #: The intervals of checking our endpoint upstream, and its secrets; how long a new secret may be on its way to
    #: us.
    check: float = 300.0
    secrets: float = 5.0
    registering: float = 600.0
    #: The time limit of one call to the backend; the first step of a notification's back-off and its longest one;
    #: the time after which it is given up.
    notify: float = 15.0
    notify_backoff: float = 5.0
    notify_backoff_most: float = 3600.0
    notify_for: float = 259200.0
    #: The least interval between two checkpoints that are written to a folder. How long the first signature of a
    #: server waits until the folder and the witnesses were looked at.
    checkpoint_folder: float = 60.0
    published: float = 10.0
    #: The least interval between two checkpoints that witnesses are asked to sign; the limit of one exchange with
    #: a witness; the first step of the back-off from one that fails, and its longest one.
    witness: float = 300.0
    witness_call: float = 8.0
    witness_backoff: float = 10.0
    witness_backoff_most: float = 3600.0

    @property
    def worker_gone_after(self) -> float:
        """Return the time after which a worker without a heartbeat counts as gone: it missed several."""
        return self.heartbeat * 3

    def overdue_at(self, began: datetime) -> datetime:
        return began + timedelta(seconds=self.hard_limit + self.overdue)

    def __post_init__(self) -> None:
        for each in fields(self):
            values = getattr(self, each.name)
            if min(values if isinstance(values, tuple) else (values,)) < 0:
                raise ValueError(f"{each.name} is negative")


def after_failure(timing: Timing, failures: int) -> timedelta:
    """Return a job's wait after a failure that follows `failures` others in a row."""
    return delay(failures + 1, timing.backoff, timing.backoff_most)


def delay(attempt: int, first: float, most: float, chance: float | None = None) -> timedelta:
    """Return the wait after the given number of tries (from 1): doubling, with jitter, up to `most`.

    `chance` in [0, 1) stands for the jitter: the wait lies between half and the whole of the step.

    >>> [delay(attempt, 2, 60, chance=0).total_seconds() for attempt in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 30.0]
    """
    step = min(most, first * 2.0 ** min(max(attempt - 1, 0), 40))
    share = random.random() if chance is None else chance
    return timedelta(seconds=step * (0.5 + share / 2))
