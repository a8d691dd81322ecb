"""A histogram of durations with sixteen buckets per doubling: percentiles of many runs need few rows. Pure.

Up to 31 ms a bucket holds one value; above that it is as wide as a sixteenth of the power of two below it. A
bucket's middle differs from any value in it by at most 3.2 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, literal_column, null

#: Buckets per doubling.
STEPS_PER_DOUBLING = 16
#: Bits of the longest duration: 139 years in milliseconds. Longer ones share the last bucket.
MAX_BITS = 42
_LAST = (1 << MAX_BITS) - 1


def bucket_of(milliseconds: int) -> int:
    """Return the bucket of a duration.

    >>> [bucket_of(ms) for ms in (-1, 0, 31, 32, 33, 34, 63, 64, 1000)]
    [0, 0, 31, 32, 32, 33, 47, 48, 111]
    """
    clamped = min(max(milliseconds, 0), _LAST)
    shift = max(clamped.bit_length() - 5, 0)
    return STEPS_PER_DOUBLING * shift + (clamped >> shift)


def middle(bucket: int) -> int:
    """Return the duration that represents a bucket.

    >>> [middle(bucket) for bucket in (0, 31, 32, 48, 111)]
    [0, 31, 32, 65, 1007]
    """
    shift = max(bucket // STEPS_PER_DOUBLING - 1, 0)
    low = (bucket - STEPS_PER_DOUBLING * shift) << shift
    return low + ((1 << shift) - 1) // 2


def bucket_sql(milliseconds: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the SQL expression of `bucket_of`; null where there is no duration."""
    ranges = [
        (
            milliseconds < _number(2 * STEPS_PER_DOUBLING << shift),
            _number(STEPS_PER_DOUBLING * shift) + milliseconds // _number(1 << shift),
        )
        for shift in range(MAX_BITS - 4)
    ]
    edges = [(milliseconds.is_(None), null()), (milliseconds < _number(0), _number(0))]
    return case(*edges, *ranges, else_=_number(bucket_of(_LAST)))


def _number(value: int) -> ColumnElement[int]:
    """Return a literal number: a parameter would make two equal expressions differ."""
    return literal_column(str(value), BigInteger)


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """Return the duration that `percent` of the counted runs do not exceed (nearest rank); None without runs."""
    rank = max(-(-sum(counts.values()) * percent // 100), 1)
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle(bucket)
    return None
