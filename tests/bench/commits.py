"""How long commits took, from /metrics: on SQLite a transaction holds the write lock from begin to commit."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests import server

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


def bound(histogram: Histogram, share: float) -> float:
    """Return the bound in milliseconds that this share of the commits did not exceed: the end of a bucket."""
    ordered = sorted(histogram.items())
    total = ordered[-1][1]
    return next(bound for bound, count in ordered if count >= total * share) * 1000
