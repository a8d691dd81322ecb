"""Timeouts of tests: generous ones, because machines are shared; a wait ends as soon as its condition holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from storage.engine.database import Limits

T = TypeVar("T")
#: Only the tests of these limits use short ones.
PATIENT = Limits(timed_read_seconds=60, queue_seconds=60)


def until(look: Callable[[], T], why: str = "the condition did not become true in time") -> T:
    """Call `look` until its result is true, and return that. Fail with `why` after a minute."""
    deadline, pause = time.monotonic() + 60.0, 0.01
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, why
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
