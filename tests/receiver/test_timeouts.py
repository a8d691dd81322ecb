"""Waits: growing, bounded, jittered."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import timeouts


def test_the_first_waits_are_doubled() -> None:
    waits = [timeouts.delay(attempt, 2, 60, chance=0.999999).total_seconds() for attempt in (1, 2, 3)]
    assert waits == pytest.approx([2, 4, 8], rel=1e-3)


@given(attempt=st.integers(min_value=-5, max_value=10**9), chance=st.floats(min_value=0, max_value=0.999))
def test_no_wait_is_longer_than_the_most_or_shorter_than_half_the_first(attempt: int, chance: float) -> None:
    assert 1.0 <= timeouts.delay(attempt, 2, 60, chance).total_seconds() <= 60.0


def test_jitter_spreads_waits_over_half_the_step() -> None:
    waits = {timeouts.delay(3, 2, 60).total_seconds() for _ in range(50)}
    assert len(waits) > 10
    assert all(4 <= wait <= 8 for wait in waits)


def test_timing_is_frozen_and_refuses_what_is_negative() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        timeouts.Timing().poll = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="refetch"):
        timeouts.Timing(refetch=(-1.0,))


def test_a_lease_is_renewed_in_time_and_lapses_when_its_worker_counts_as_gone() -> None:
    timing = timeouts.Timing()
    assert timing.heartbeat * 3 == timing.worker_gone_after < timing.lease
