"""Buckets of durations: sixteen to each doubling, so that percentiles of any number of runs need few rows. Pure.

Up to 31 ms a bucket holds one value; from there on it is as wide as a sixteenth of the power of two below it. What
a bucket stands for lies at most 3.2 % beside whatever fell into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, literal_column, null

#: Buckets of a doubling.
STEPS = 16
#: Durations have so many bits at most: 139 years in milliseconds. Longer ones share the last bucket.
BITS = 42
_LAST = (1 << BITS) - 1


def of(milliseconds: int) -> int:
    """The bucket of a duration.

    >>> [of(ms) for ms in (-1, 0, 31, 32, 33, 34, 63, 64, 1000)]
    [0, 0, 31, 32, 32, 33, 47, 48, 111]
    """
    held = min(max(milliseconds, 0), _LAST)
    shift = max(held.bit_length() - 5, 0)
    return STEPS * shift + (held >> shift)


def middle(bucket: int) -> int:
    """The duration that a bucket stands for.

    >>> [middle(bucket) for bucket in (0, 31, 32, 48, 111)]
    [0, 31, 32, 65, 1007]
    """
    shift = max(bucket // STEPS - 1, 0)
    low = (bucket - STEPS * shift) << shift
    return low + ((1 << shift) - 1) // 2


def sql(milliseconds: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same as `of` in SQL; null where there is no duration."""
    found = [
        (milliseconds < _number(2 * STEPS << shift), _number(STEPS * shift) + milliseconds // _number(1 << shift))
        for shift in range(BITS - 4)
    ]
    known = [(milliseconds.is_(None), null()), (milliseconds < _number(0), _number(0))]
    return case(*known, *found, else_=_number(of(_LAST)))


def _number(value: int) -> ColumnElement[int]:
    """Spelled out: it is a part of the expression, and the same wherever that stands."""
    return literal_column(str(value), BigInteger)


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """The duration that `percent` of those counted by bucket do not exceed (nearest rank), None of none."""
    rank = max(-(-sum(counts.values()) * percent // 100), 1)
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return middle(bucket)
    return None
