"""How long to wait. Pure: every wait of the house is a field of one frozen `Timing`, handed down from the top.

Tests run the real server with a compressed one; in production nobody sets it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """All waits, in seconds."""

    #: The first step of a job's back-off, and where doubling ends.
    backoff: float = 2.0
    backoff_most: float = 3600.0
    #: Between two looks at a run that is still alive, growing from the first to the second.
    alive: float = 2.0
    alive_most: float = 60.0
    #: After these ages of a settled run, what it lacked is fetched again.
    refetch: tuple[float, ...] = (60.0, 600.0)
    #: The shared pause without a Retry-After: first step and end.
    pause: float = 2.0
    pause_most: float = 60.0
    #: A lease, which is how long the jobs of a worker that died are waited for by the others, and how often it is
    #: renewed and the worker's heartbeat written.
    lease: float = 20.0
    heartbeat: float = 5.0
    #: The worker and the sealer look for work this often even when nothing told them of any.
    poll: float = 1.0
    #: Between two sweeps: with a public URL, and where the sweep is the only road.
    sweep: float = 60.0
    sweep_alone: float = 3.0
    #: A run that the upstream does not know for so long is lost; lost ones are asked about this often.
    lost: float = 86400.0
    ask_lost: float = 3600.0
    #: How long the upstream must keep saying no to exec, or not know a run to adopt, before the run is refused.
    refuse: float = 600.0
    #: How far the upstream's clock may be behind ours.
    clock_skew: float = 600.0
    #: How long after a lost create its run may still show up upstream; a lost one-call execute is given up then.
    stray: float = 600.0
    #: The upstream ends every run by then; what is open later is overdue.
    hard_limit: float = 1800.0
    overdue: float = 300.0
    #: How long a drain waits for jobs under way, and a request for its body.
    drain: float = 8.0
    slow_body: float = 10.0
    #: One call to the upstream.
    call: float = 30.0
    #: A database server that leaves a statement unanswered for so long hangs; how long readiness waits for it.
    silence: float = 30.0
    readiness: float = 4.0
    #: A stream of the upstream without a byte for so long has broken; how long its first answer is waited for.
    stream_idle: float = 60.0
    stream_begin: float = 5.0
    #: Between two comments to a listener; how long it may take nothing; how long a stream outlives its last one.
    stream_heartbeat: float = 15.0
    slow_reader: float = 30.0
    #: How often it is looked whether the key that a stream was opened with is still valid.
    stream_key: float = 15.0
    stream_linger: float = 5.0
    #: One try at capturing a run's stream, without a byte and in all; how long after the run's end it is given up.
    capture_idle: float = 15.0
    capture: float = 120.0
    capture_for: float = 86400.0
    #: Between two flushes of the ring of rejected requests.
    ring: float = 2.0
    #: Between two removals of what belongs to no run and is old, or beyond the bound of bytes.
    clear: float = 3600.0
    #: Between two looks at our endpoint upstream, and at its secrets; how long one may be on its way to us.
    check: float = 300.0
    secrets: float = 5.0
    registering: float = 600.0
    #: One call to the backend; the first step of a notification's back-off and its end; when it is given up.
    notify: float = 15.0
    notify_backoff: float = 5.0
    notify_backoff_most: float = 3600.0
    notify_for: float = 259200.0

    @property
    def absent(self) -> float:
        """A worker that was not seen for so long is gone: it missed several heartbeats."""
        return self.heartbeat * 3

    def __post_init__(self) -> None:
        for each in fields(self):
            values = getattr(self, each.name)
            if min(values if isinstance(values, tuple) else (values,)) < 0:
                raise ValueError(f"{each.name} is negative")


def after_failure(timing: Timing, failures: int) -> timedelta:
    """A job's wait after a failure that came after `failures` others in a row."""
    return delay(failures + 1, timing.backoff, timing.backoff_most)


def delay(attempt: int, first: float, most: float, chance: float | None = None) -> timedelta:
    """The wait before the next try after `attempt` tries (1 is the first): doubling, with jitter, up to `most`.

    `chance` in [0, 1) stands for the jitter: the wait lies between half and the whole of the step.

    >>> [delay(attempt, 2, 60, chance=0).total_seconds() for attempt in (1, 2, 3, 10)]
    [1.0, 2.0, 4.0, 30.0]
    """
    step = min(most, first * 2.0 ** min(max(attempt - 1, 0), 40))
    share = random.random() if chance is None else chance
    return timedelta(seconds=step * (0.5 + share / 2))
