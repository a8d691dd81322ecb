"""What is removed of one run: the chosen texts, all that may repeat them, and the salts of their digests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.ledger import entries as ledger_entries
from storage.repositories import deliveries, documents, runs
from storage.search import index
from storage.states import Content
from storage.tables.deliveries import DELIVERIES
from storage.tables.integrations import NOTIFICATIONS
from storage.tables.jobs import JOBS
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_DOCUMENTS, RUN_EVENTS, RUN_REVIEWS, RUN_STEPS, RUN_TAGS, RUN_USAGE, RUNS

#: The columns of the texts that can be chosen.
TEXTS: Mapping[Content, sa.Column[Any]] = {
    Content.PROMPT: RUNS.c.prompt,
    Content.GUIDANCE: RUNS.c.guidance,
    Content.INSTRUCTIONS: RUNS.c.instructions,
    Content.OBJECT_IDS: RUNS.c.object_ids,
    Content.OUTPUT: RUNS.c.output,
    Content.SUMMARY: RUNS.c.summary,
    Content.FAILURE_REASON: RUNS.c.failure_reason,
}
#: What can be chosen. Digests of the ledger have the same names.
CHOICES = (*TEXTS, Content.TAGS, Content.COMMENT)
#: What goes where nothing is chosen: tags and reviews are not what was sent to the agent, nor what it answered.
USUAL = frozenset(TEXTS)
#: The values of a delivery after the removal of its content; a digest of the body in place of an id goes too.
ERASED_DELIVERY: dict[str, Any] = deliveries.ERASED_CONTENT | {
    "dedupe_key": sa.case(
        (sa.func.substr(DELIVERIES.c.dedupe_key, 1, len(deliveries.BODY_KEY)) == deliveries.BODY_KEY, None),
        else_=DELIVERIES.c.dedupe_key,
    )
}
#: Rows that may repeat a text, so they go with whichever is chosen.
_ROWS = {Content.STEPS: RUN_STEPS, Content.DOCUMENT: RUN_DOCUMENTS, Content.STREAMS: RUN_EVENTS}


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of a run, and how many rows of each kind."""

    fields: frozenset[Content]
    rows: Mapping[str, int]


def has_any(chosen: Collection[Content]) -> sa.ColumnElement[bool]:
    """Return the condition that a run still has something of what is chosen, or of what may repeat it."""
    found = [RUNS.c.pruned_at.is_(None), *(_has(each) for each in sorted(chosen) if each in TEXTS)]
    if Content.TAGS in chosen:
        found.append(sa.exists().where(RUN_TAGS.c.run_seq == RUNS.c.seq))
    if Content.COMMENT in chosen:
        found.append(sa.exists().where(RUN_REVIEWS.c.run_id == RUNS.c.id, RUN_REVIEWS.c.comment.is_not(None)))
    return sa.or_(*found)


def _has(text: Content) -> sa.ColumnElement[bool]:
    """Return the condition that a run has a text; that there were instructions stays visible."""
    return TEXTS[text] != "" if text is Content.INSTRUCTIONS else TEXTS[text].is_not(None)


def remove(connection: sa.Connection, run_id: str, chosen: Collection[Content], now: datetime) -> Removed:
    """Remove what is chosen of a run, whose row is locked, and all that may repeat it."""
    shown = [_has(each).label(each.value) for each in TEXTS]
    run = connection.execute(sa.select(RUNS.c.seq, *shown).where(RUNS.c.id == run_id)).one()._mapping
    gone = {each for each in TEXTS if each in chosen and run[each.value]}
    without_salts = _remove_salts(connection, run_id, chosen)
    index.remove(connection, run["seq"])
    documents.delete_tools(connection, run["seq"])
    counts = {
        field: connection.execute(sa.delete(table).where(table.c.run_id == run_id)).rowcount
        for field, table in _ROWS.items()
    }
    counts |= {field: connection.execute(statement).rowcount for field, statement in _emptied(run_id, chosen)}
    connection.execute(sa.delete(JOBS).where(JOBS.c.run_id == run_id))
    runs.update(connection, RUNS.c.id == run_id, _values(chosen) | {"pruned_at": now})
    # Of a value that was replaced before, or of no tags, the salt alone was left: its digest proves nothing now.
    gone |= {field for field, count in counts.items() if count} | {
        each for each in CHOICES if each in without_salts
    }
    return Removed(frozenset(gone), {_NOUNS[field]: counts[field] for field in _NOUNS})


def _emptied(run_id: str, chosen: Collection[Content]) -> list[tuple[Content, sa.UpdateBase]]:
    """Return the statements that empty rows, whose measures stay, or delete what was chosen of them."""
    filled = sa.and_(DELIVERIES.c.run_id == run_id, DELIVERIES.c.body_sha256 != "")
    notified = sa.and_(NOTIFICATIONS.c.run_id == run_id, sa.func.length(NOTIFICATIONS.c.body) > 0)
    used = sa.and_(RUN_USAGE.c.run_id == run_id, sa.func.length(RUN_USAGE.c.salt) > 0)
    reviewed = sa.and_(RUN_REVIEWS.c.run_id == run_id, RUN_REVIEWS.c.comment.is_not(None))
    statements: dict[Content, sa.UpdateBase] = {
        Content.DELIVERIES: sa.update(DELIVERIES).where(filled).values(ERASED_DELIVERY),
        Content.NOTIFICATION: sa.update(NOTIFICATIONS).where(notified).values(body=b""),
        Content.USAGE: sa.update(RUN_USAGE).where(used).values(metadata=None, salt=b""),
        Content.TAGS: sa.delete(RUN_TAGS).where(RUN_TAGS.c.run_id == run_id),
        Content.COMMENT: sa.update(RUN_REVIEWS).where(reviewed).values(comment=None),
    }
    return [(field, each) for field, each in statements.items() if field not in CHOICES or field in chosen]


def _values(chosen: Collection[Content]) -> dict[str, Any]:
    """Return the columns of texts, and the digest of all that was submitted, against which one could guess."""
    values: dict[str, Any] = {TEXTS[each].name: None for each in TEXTS if each in chosen}
    if Content.INSTRUCTIONS in chosen:  # that there were some decides what was promised of the execution
        values["instructions"] = sa.case((RUNS.c.instructions.is_(None), None), else_="")
    return values | {"request_sha256": None}


def _remove_salts(connection: sa.Connection, run_id: str, chosen: Collection[Content]) -> set[str]:
    """Remove the salts of what is chosen; return the names of their digests."""
    kept = [each.value for each in CHOICES if each not in chosen]
    early = _early_entries(connection, run_id)
    names = ledger_entries.erase_salts(connection, LEDGER_ENTRIES.c.run_id == run_id, kept)
    return names | ledger_entries.erase_salts(connection, LEDGER_ENTRIES.c.id.in_(early), kept)


def _early_entries(connection: sa.Connection, run_id: str) -> list[str]:
    """Return the entries of deliveries that came before their run was known: these entries name no run."""
    of_run = (LEDGER_ENTRIES.c.run_id == run_id, ledger_entries.IS_OF_DELIVERY)
    bodies = connection.execute(sa.select(LEDGER_ENTRIES.c.body).where(*of_run)).scalars()
    recorded = {ledger_entries.delivery_of(body) for body in bodies}
    received = sa.select(DELIVERIES.c.id, DELIVERIES.c.received_at).where(DELIVERIES.c.run_id == run_id)
    early = {each.id: each.received_at for each in connection.execute(received) if each.id not in recorded}
    return ledger_entries.of_early_deliveries(connection, early)


#: Rows that are counted, by the words that people read.
_NOUNS = {
    Content.STEPS: "steps",
    Content.DOCUMENT: "documents",
    Content.STREAMS: "events",
    Content.DELIVERIES: "deliveries",
}
