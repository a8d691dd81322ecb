"""The columns of the tables of `storage/models/rollups.py`, made from it by `make docs`."""

from storage.tables.declare import table

ROLLUP_SUMS = table(
    "rollup_sums",
    """text: dimension* span* status* period* key* integer: runs cost_micros input_tokens output_tokens
    timed duration_ms max_duration_ms p50_ms? p90_ms? p95_ms? p99_ms? bytes: histogram""",
    derived=True,
)
