"""Limits of values from outside, so that both databases can store, index, add up and read them. Pure.

An index row of PostgreSQL holds up to 2,704 bytes, and a character may take four bytes: a name of 200 characters
fits beside the other columns of its index.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

#: The length in characters of an indexed name: an agent, a model, a tool.
NAME = 200
#: The length in characters of a dedupe key, an idempotency key, a tag's name and a tag's value.
KEY, IDEMPOTENCY_KEY, TAG_KEY, TAG_VALUE = 512, 255, 64, 256
#: JSON readers may change integers from here on.
INTEGER = 2**53
#: The largest sum that is reported: the maximum of 64 bits. A larger sum is reported as this value.
SUM = 2**63 - 1
#: 30 days in milliseconds. A run takes at most 30 minutes upstream, so a longer duration is not a measurement.
DURATION_MS = 30 * 24 * 3600 * 1000
#: The most tags of one run, and the most views of one owner.
TAGS, VIEWS = 50, 200
#: The most reviews of one run, and the length in characters of a comment.
REVIEWS, COMMENT = 200, 10_000
#: No event of a run is plausible before EARLIEST, or later than AHEAD from now.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=365)
#: The ends of the calendar. They replace an instant beyond them, and FIRST also one that cannot be read.
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def is_plausible(moment: datetime, now: datetime) -> bool:
    """Return whether an event may have happened then: from the year 2000 to a year from `now`.

    >>> now = datetime(2026, 11, 23, tzinfo=UTC)
    >>> [is_plausible(datetime(year, 1, 1, tzinfo=UTC), now) for year in (1, 1999, 2000, 2026, 2027, 2028, 9999)]
    [False, False, True, True, True, False, False]
    """
    return moment >= EARLIEST and moment - now <= AHEAD


def before(moment: datetime, span: timedelta) -> datetime:
    """Return `moment - span`, or the beginning of the calendar where that lies before it.

    >>> before(FIRST, timedelta(days=1)) == FIRST
    True
    """
    return moment - span if moment - FIRST > span else FIRST
