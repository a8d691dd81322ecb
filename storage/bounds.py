"""What of the outside's values is kept, so that every database here can hold, index, add up and read it. Pure.

An index of PostgreSQL takes rows of 2,704 bytes, and a character may have four: a name of 200 characters fits
beside whatever else stands in its index.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: Characters of a name that is indexed: an agent, a model, a tool.
NAME = 200
#: Characters of what tells deliveries apart, of an idempotency key, of a tag's name and of its value.
KEY, IDEMPOTENCY_KEY, TAG_KEY, TAG_VALUE = 512, 255, 64, 256
#: Integers from here on are not the same in every JSON reader.
INTEGER = 2**53
#: A sum over runs is told as this much where it is more: what 64 bits hold.
SUM = 2**63 - 1
#: A run takes 30 minutes at most upstream: what claims to have taken longer than 30 days (in ms) is no measure.
DURATION_MS = 30 * 24 * 3600 * 1000
#: Before this, and later than so far from now, nothing can have happened that is told of a run.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=365)
#: The ends of the calendar: what is told of an instant that lies beyond, or cannot be read.
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def is_plausible(moment: datetime, now: datetime) -> bool:
    """Return whether something may have happened then: from the year 2000 to a year from `now`.

    >>> now = datetime(2026, 11, 23, tzinfo=UTC)
    >>> [is_plausible(datetime(year, 1, 1, tzinfo=UTC), now) for year in (1, 1999, 2000, 2026, 2027, 2028, 9999)]
    [False, False, True, True, True, False, False]
    """
    return moment >= EARLIEST and moment - now <= AHEAD


def before(moment: datetime, span: timedelta) -> datetime:
    """Return the moment so long before, or the beginning of the calendar.

    >>> before(FIRST, timedelta(days=1)) == FIRST
    True
    """
    return moment - span if moment - FIRST > span else FIRST


def total(value: int) -> int:
    """Return a sum as it is told.

    >>> total(5), total(1100 * (2**53 - 1))
    (5, 9223372036854775807)
    """
    return min(value, SUM)
