"""Every table, constraint and index. People query these with their own SQL: names are contracts.

The classes define tables and validate nothing; CHECK constraints guard the schema, pydantic guards the edges.
Statements use the Core tables below.
"""

from __future__ import annotations

from storage.tables import declare
from storage.tables.intake import Delivery, Rejection
from storage.tables.outside import ApiKey, Notification, WebhookEndpoint, WebhookSecret
from storage.tables.proof import LedgerEntry, LedgerSalt
from storage.tables.rollups import RollupAgent, RollupDuration, RollupModel
from storage.tables.runs import Run, RunDocument, RunEvent, RunStep, RunTag, RunTool, RunUsage, UpstreamLink
from storage.tables.search import Passage, Queued
from storage.tables.work import Backfill, House, Job, UnknownRun

#: Rows of a run in a table that is keyed by its seq times ROWS, plus a position.
ROWS = 65536

Base, metadata, table = declare.Base, declare.metadata, declare.table

RUNS, RUN_TAGS, RUN_TOOLS, RUN_STEPS = table(Run), table(RunTag), table(RunTool), table(RunStep)
PASSAGES, SEARCH_QUEUE = table(Passage), table(Queued)
ROLLUP_MODELS, ROLLUP_AGENTS, ROLLUP_DURATIONS = table(RollupModel), table(RollupAgent), table(RollupDuration)
RUN_USAGE, RUN_DOCUMENTS, UPSTREAM_LINKS = table(RunUsage), table(RunDocument), table(UpstreamLink)
DELIVERIES, REJECTIONS, JOBS, HOUSE = table(Delivery), table(Rejection), table(Job), table(House)
LEDGER_ENTRIES, LEDGER_SALTS, API_KEYS = table(LedgerEntry), table(LedgerSalt), table(ApiKey)
RUN_EVENTS, NOTIFICATIONS, BACKFILLS = table(RunEvent), table(Notification), table(Backfill)
UNKNOWN_RUNS = table(UnknownRun)
WEBHOOK_ENDPOINTS, WEBHOOK_SECRETS = table(WebhookEndpoint), table(WebhookSecret)
