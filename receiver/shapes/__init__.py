"""The bodies of the JSON API, in and out, and the parameters of its lists.

Bodies are camelCase, as the upstream speaks; parameters are spelled as the columns are. What comes in is
checked strictly and without unknown fields; what goes out is read off the frozen values of `storage`.
"""

from receiver.shapes.answers import (
    Alive,
    Change,
    Changes,
    Deliveries,
    Delivery,
    DeliveryWithBody,
    Job,
    Jobs,
    Problem,
    Readiness,
    Ready,
    Receipt,
    Run,
    RunLine,
    Runs,
    Stats,
    StatsRow,
    Step,
    Steps,
    Timeline,
    TimelineEntry,
)
from receiver.shapes.causes import Cause, Causes, Retried
from receiver.shapes.notification import FullRun, Notification
from receiver.shapes.queries import (
    CauseQuery,
    ChangeQuery,
    DeliveryQuery,
    DocumentQuery,
    JobQuery,
    Query,
    RunFilter,
    RunQuery,
    StatsQuery,
    StepQuery,
)
from receiver.shapes.requests import Retry, Submission, WatchRequest
from receiver.shapes.texts import ID

__all__ = [
    "ID",
    "Alive",
    "Cause",
    "CauseQuery",
    "Causes",
    "Change",
    "ChangeQuery",
    "Changes",
    "Deliveries",
    "Delivery",
    "DeliveryQuery",
    "DeliveryWithBody",
    "DocumentQuery",
    "FullRun",
    "Job",
    "JobQuery",
    "Jobs",
    "Notification",
    "Problem",
    "Query",
    "Readiness",
    "Ready",
    "Receipt",
    "Retried",
    "Retry",
    "Run",
    "RunFilter",
    "RunLine",
    "RunQuery",
    "Runs",
    "Stats",
    "StatsQuery",
    "StatsRow",
    "Step",
    "StepQuery",
    "Steps",
    "Submission",
    "Timeline",
    "TimelineEntry",
    "WatchRequest",
]
