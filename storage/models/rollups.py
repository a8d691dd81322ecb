"""Rollups: sums over ended runs, so that statistics need not read every row. They can be rebuilt from the runs."""

from __future__ import annotations

from storage.models import declare


class RollupSum(declare.Base, table=True):
    """Sums over the ended runs of a state in a period: over all of them, or those of an agent or a model.

    `dimension` is `all`, `agent` or `model`, and `key` the agent or model, empty where it is unknown. `span` is
    `day`, `month` or `ever`, and `period` the UTC day or month of creation upstream, or of acceptance where a run
    was never created; empty for `ever`. Rows with an empty `status` sum over all states: days have one beside
    those of each state, and `ever` has such ones alone. Only these have percentiles.

    `duration_ms` is the sum over the `timed` runs, which have a duration. `histogram` has numbers of four bytes,
    the least significant first: the first bucket of durations, then its runs and those of each further bucket.
    Buckets up to 31 are milliseconds; above, each doubling has sixteen.
    """

    __tablename__ = "rollup_sums"
    __table_args__ = (declare.DERIVED,)
    dimension: str = declare.text(null=False, primary_key=True)
    span: str = declare.text(null=False, primary_key=True)
    status: str = declare.text(null=False, primary_key=True)
    period: str = declare.text(null=False, primary_key=True)
    key: str = declare.text(null=False, primary_key=True)
    runs: int = declare.integer(null=False)
    cost_micros: int = declare.integer(null=False)
    input_tokens: int = declare.integer(null=False)
    output_tokens: int = declare.integer(null=False)
    timed: int = declare.integer(null=False)
    duration_ms: int = declare.integer(null=False)
    max_duration_ms: int = declare.integer(null=False)
    p50_ms: int | None = declare.integer()
    p90_ms: int | None = declare.integer()
    p95_ms: int | None = declare.integer()
    p99_ms: int | None = declare.integer()
    histogram: bytes = declare.blob(null=False)
