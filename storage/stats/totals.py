"""The sums of a group of runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from storage import bounds
from storage.stats import histogram

#: What is summed, in order; the last but one is the number of runs that have a duration.
SUMS = ("runs", "cost_micros", "input_tokens", "output_tokens", "timed", "duration_ms")
PERCENTILES = (50, 90, 95, 99)


@dataclass(slots=True)
class Totals:
    """The sums in the order of SUMS, the longest duration, and the runs that have a duration by bucket."""

    sums: list[int] = field(default_factory=lambda: [0] * len(SUMS))
    longest: int = 0
    durations: histogram.Histogram = field(default_factory=histogram.Histogram)

    def add(self, sums: Sequence[int | None], longest: int | None) -> None:
        """Add sums, of which None is zero; the longest duration only grows."""
        self.sums = [one + int(other or 0) for one, other in zip(self.sums, sums, strict=True)]
        self.longest = max(self.longest, longest or 0)

    def merge(self, other: Totals) -> None:
        """Add the sums and durations of another group."""
        self.add(other.sums, other.longest)
        self.durations.merge(other.durations)

    @property
    def capped(self) -> list[int]:
        """Return the sums, those beyond 64 bits as the largest number."""
        return [min(each, bounds.SUM) for each in self.sums]

    @property
    def percentiles(self) -> list[int] | list[None]:
        """Return the durations at PERCENTILES; None for each where no run has a duration."""
        found = self.durations.percentiles(PERCENTILES)
        return [None] * len(PERCENTILES) if found is None else [min(each, self.longest) for each in found]
