"""The bodies of the JSON API, in and out, and the parameters of its lists.

Bodies are camelCase, as the upstream speaks; parameters are spelled as the columns are. What comes in is
checked strictly and without unknown fields; what goes out is read off the frozen values of `storage`.
"""

from receiver.shapes.answers import (
    Alive,
    Deliveries,
    Delivery,
    DeliveryWithBody,
    FoundRun,
    Job,
    Jobs,
    Problem,
    Readiness,
    Ready,
    Receipt,
    Run,
    RunLine,
    Runs,
    Snippet,
    Stats,
    StatsRow,
    StatsWindow,
    Step,
    Steps,
    Timeline,
    TimelineEntry,
    Total,
)
from receiver.shapes.causes import Cause, Causes, Retried
from receiver.shapes.changes import Change, Changes
from receiver.shapes.notification import FullRun, Notification
from receiver.shapes.queries import (
    CauseQuery,
    ChangeQuery,
    DeliveryQuery,
    DocumentQuery,
    EventQuery,
    ExportQuery,
    JobQuery,
    Query,
    RunFilter,
    RunQuery,
    StatsQuery,
    StepQuery,
)
from receiver.shapes.requests import Question, Retry, Submission, WatchRequest
from receiver.shapes.rows import Rows
from receiver.shapes.texts import ID
from receiver.shapes.unread import readable

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
    "EventQuery",
    "ExportQuery",
    "FoundRun",
    "FullRun",
    "Job",
    "JobQuery",
    "Jobs",
    "Notification",
    "Problem",
    "Query",
    "Question",
    "Readiness",
    "Ready",
    "Receipt",
    "Retried",
    "Retry",
    "Rows",
    "Run",
    "RunFilter",
    "RunLine",
    "RunQuery",
    "Runs",
    "Snippet",
    "Stats",
    "StatsQuery",
    "StatsRow",
    "StatsWindow",
    "Step",
    "StepQuery",
    "Steps",
    "Submission",
    "Timeline",
    "TimelineEntry",
    "Total",
    "WatchRequest",
    "readable",
]
