"""The groupings and the time measures of statistics. Pure."""

from __future__ import annotations

from enum import StrEnum


class By(StrEnum):
    """What runs are grouped by, besides tags."""

    AGENT = "agent"
    MODEL = "model"
    STATUS = "status"
    ORIGIN = "origin"
    SETTLED_BY = "settled_by"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    SOURCE = "source"
    FAILURE_REASON = "failure_reason"


class Measure(StrEnum):
    """What is timed: a run's duration, or the delay between its end and the record of it here."""

    DURATION = "duration"
    SETTLING = "settling"
