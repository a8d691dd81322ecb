"""A histogram of durations with sixteen buckets per doubling: percentiles of many runs need few rows. Pure.

Up to 31 ms a bucket holds one value; above that it is as wide as a sixteenth of the power of two below it. A
bucket's middle differs from any value in it by at most 3.2 %.
"""

from __future__ import annotations

import operator
import sys
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
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


class Histogram:
    """How many runs each bucket has.

    It is packed as numbers of four bytes: the first bucket that has runs, and then its runs and those of each
    further bucket.
    """

    __slots__ = ("_counts", "_first")
    #: The largest number that is packed.
    MOST = (1 << 32) - 1

    def __init__(self, packed: bytes = b"") -> None:
        self._counts: list[int]
        self._first, *self._counts = _in_order(array("I", packed[: len(packed) // 4 * 4])) or (0,)

    def add(self, bucket: int, runs: int) -> None:
        """Add runs to a bucket; a negative number takes them away."""
        self._widen(bucket, bucket + 1)
        at = bucket - self._first
        self._counts[at] = max(self._counts[at] + runs, 0)

    def merge(self, other: Histogram) -> None:
        """Add the runs of another histogram."""
        if other._counts:
            self._widen(other._first, other._first + len(other._counts))
            low = other._first - self._first
            high = low + len(other._counts)
            self._counts[low:high] = map(operator.add, self._counts[low:high], other._counts)

    def _widen(self, low: int, high: int) -> None:
        """Add empty buckets, so that those from `low` up to, but not including, `high` are there."""
        if not self._counts:
            self._first = low
        elif low < self._first:
            self._counts[:0] = [0] * (self._first - low)
            self._first = low
        self._counts += [0] * (high - self._first - len(self._counts))

    @property
    def counts(self) -> Mapping[int, int]:
        """Return the runs by bucket, without empty buckets."""
        return {bucket: runs for bucket, runs in enumerate(self._counts, self._first) if runs}

    @property
    def packed(self) -> bytes:
        """Return the bytes from which the histogram can be made again."""
        numbers = [self._first, *self._counts]
        try:
            packed = array("I", numbers)
        except OverflowError:
            packed = array("I", [min(each, self.MOST) for each in numbers])
        return _in_order(packed).tobytes()

    def percentiles(self, percents: Sequence[int]) -> list[int] | None:
        """Return the longest duration of each percentage of the runs (nearest rank); None without runs."""
        sums = list(accumulate(self._counts))
        if not sums or not sums[-1]:
            return None
        ranks = (max(-(-sums[-1] * percent // 100), 1) for percent in percents)
        return [middle(self._first + bisect_left(sums, rank)) for rank in ranks]


def _in_order(numbers: array[int]) -> array[int]:
    """Return numbers whose least significant byte is first as those of this machine, or the reverse."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
