"""How long commits took, from /metrics: on SQLite a transaction holds the write lock from begin to commit."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests import server
from tests.bench.report import Figure

#: How many commits took at most so many seconds, by that bound.
Histogram = Mapping[float, float]
_NAME = "runledger_db_commit_duration_seconds"


def read(ours: server.Server) -> Histogram:
    """Return the histogram as it is now."""
    with ours.client() as client:
        families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
        return {
            float(sample.labels["le"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"{_NAME}_bucket"
        }


def between(before: Histogram, after: Histogram) -> Histogram:
    """Return the histogram of the commits between two looks."""
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def quantile(histogram: Histogram, share: float) -> Figure:
    """Return the milliseconds that this share of the commits did not exceed, with the ends of their bucket.

    Within the bucket the commits count as evenly spread, as Prometheus does it.
    """
    ordered = sorted(histogram.items())
    wanted, low, below = ordered[-1][1] * share, 0.0, 0.0
    for high, count in ordered:
        if count >= wanted:
            inside = (wanted - below) / (count - below) if count > below else 1.0
            return Figure((low + (high - low) * inside) * 1000, low * 1000, high * 1000)
        low, below = high, count
    raise ValueError("a histogram ends with the count of all")
