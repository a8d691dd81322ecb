"""How long tests wait: machines are shared, and a wait ends with what it is for, or else late enough to fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from storage.engine.database import Limits

T = TypeVar("T")
#: Questions are timed by the tests that are of that alone.
PATIENT = Limits(timed_read_seconds=60, queue_seconds=60)


def until(look: Callable[[], T], why: str = "it did not come true in time") -> T:
    """Looks until what it sees is true, and answers that. Fails with `why` after a minute."""
    deadline, pause = time.monotonic() + 60.0, 0.01
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, why
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
