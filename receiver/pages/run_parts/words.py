"""Sentences for the names of a run's facts: the source of its end, and the entries of its timeline."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from receiver.pages import formats
from receiver.schemas import json_rows
from storage import states
from storage.repositories import deliveries
from storage.retention import holds

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

#: How Runledger learns of an end, by the source that `settled_by` names.
SOURCES: Mapping[str, str] = {
    "watcher": "the upstream called the callback address that was registered for this run",
    "platform": "a signed event of the organisation’s webhook reported it",
    "sweep": "no report had come; the sweep found the end in the upstream’s list",
    "request": "the answer to a call of Runledger showed it: a start, adoption, cancellation or “Fetch again”",
}
#: What happened, by the kind of an entry of the timeline.
KINDS: Mapping[str, str] = {
    "run.accepted": "The run was accepted and stored",
    "run.created": "The upstream created it",
    "run.started": "Its execution began",
    "run.cancel_requested": "Its cancellation was requested",
    "run.notify_requested": "A further notification was requested",
    "run.completed": "It completed",
    "run.failed": "It failed",
    "run.cancelled": "It was cancelled",
    "run.refused": "The upstream refused it",
    "run.document": "A further version of its details was stored",
    "run.conflict": "A report contradicted its stored state, which was kept",
    "run.lost": "The upstream does not show it any more",
    "run.orphan": "A lost answer left an orphan upstream",
    "run.reopened": "It was reopened, since the upstream has it after all",
    "run.tagged": "Its tags were changed",
    "run.reviewed": "It was reviewed",
    "run.pruned": "Its content was removed",
    "content.erased": "Content of it was erased",
    "run.imported": "It was imported from another Runledger",
    "delivery.accepted": "A delivery was accepted",
    "delivery.duplicate": "A delivery repeated a known one",
    "delivery.rejected": "A delivery was rejected",
    "delivery.processed": "A stored delivery was processed again",
    "notification.pending": "A notification waits to be sent to the backend",
    "notification.delivered": "The backend was notified",
    "notification.stopped": "The notification of the backend was given up",
}
#: What happened to the deployment, by the kind of an entry.
DEPLOYMENT: Mapping[str, str] = {
    "key.created": "An API key was made",
    "key.revoked": "An API key was revoked",
    "key.linked": "A link that signs in once was made",
    "key.signed_out": "All sessions of a key were ended",
    "webhook.registered": "An endpoint for platform events was registered",
    "webhook.rotated": "The secret of an endpoint was rotated",
    "bulk.requested": "An action on many runs was requested",
    "view.saved": "A view was saved",
    "view.deleted": "A view was deleted",
    "hold.placed": "A legal hold was placed",
    "hold.released": "A legal hold was released",
    "completeness.checked": "The upstream’s list was compared with the store",
    "rejections.counted": "Rejected requests of an hour were counted",
    "deliveries.pruned": "Deliveries without a run were removed",
    "store.restored": "The store was restored from an older copy",
}
#: Facts with words of their own, in the order in which they are read; others follow, by their names.
_FACTS: Mapping[str, str] = {
    "verdict": "verdict",
    "origin": "origin",
    "submittedBy": "submitted by",
    "agentId": "agent",
    "model": "model",
    "againOf": "again of",
    "upstreamId": "upstream id",
    "reported": "reported",
    "kept": "kept",
    "settledBy": "settled by",
    "via": "known from",
    "durationMs": "took",
    "costMicros": "cost",
    "stepCount": "steps",
    "toolCalls": "tool calls",
    "inputTokens": "tokens in",
    "outputTokens": "tokens out",
}
#: How it became known that a run began.
_VIA: Mapping[str, str] = {"exec": "the upstream’s answer to the start reported it"}
_ACTORS: Mapping[str, str] = {
    "upstream": "from the upstream",
    "worker": "by the worker of Runledger",
    "operator": "by the operator",
}


def source(name: str | None) -> str:
    """Return how a source reports an end, as half a sentence; nothing for a source of a newer release."""
    return SOURCES.get(name or "", "")


def kind(name: str) -> str:
    """Return what an entry of the ledger is about; for a kind of a newer release its name.

    >>> kind("run.started"), kind("run.moved")
    ('Its execution began', 'run.moved')
    """
    return KINDS.get(name) or DEPLOYMENT.get(name, name)


def actor(name: str) -> str:
    """Return who did something.

    >>> actor("key:backend"), actor("worker")
    ('with the key backend', 'by the worker of Runledger')
    """
    key = name.removeprefix("key:")
    return f"with the key {key}" if key != name else _ACTORS.get(name, name)


def hold_target(of: holds.Hold) -> str:
    """Return what a legal hold is on. A question is shown to administrators only, where they release it."""
    match of.scope:
        case states.HoldScope.RUN:
            return "this run"
        case states.HoldScope.TAG:
            return f"the tag {of.target}"
    return "all runs that a question finds"


def verdict(of: deliveries.StoredDelivery) -> str:
    """Return why a delivery has its verdict, as half a sentence."""
    is_event = of.source is states.Source.PLATFORM
    match of.verdict:
        case _ if of.reason:
            return of.reason
        case states.Verdict.ACCEPTED:
            return "its signature was made with one of our secrets" if is_event else "its address is one of ours"
        case states.Verdict.DUPLICATE:
            return "an event with its id was known" if is_event else "the same callback had come before"
    return "no cause is stored"


def facts(of: Mapping[str, Any]) -> str:
    """Return the facts of an entry as one line, the most important ones first.

    >>> facts({"costMicros": 1680000, "by": None, "settledBy": "sweep", "stepCount": 1})
    'settled by sweep, cost $1.68, 1 step'
    """
    places = {name: place for place, name in enumerate(_FACTS)}
    known = [(name, value) for name, value in of.items() if value is not None and value != ""]
    known.sort(key=lambda each: places.get(each[0], len(places)))
    return ", ".join(_fact(name, value) for name, value in known)


def _fact(name: str, value: Any) -> str:
    words = _FACTS.get(name) or "".join(f" {each.lower()}" if each.isupper() else each for each in name)
    match name, value:
        case "costMicros", int():
            return f"{words} {formats.money(value)}"
        case "durationMs", int():
            return f"{words} {formats.duration(value)}"
        case "size", int():
            return f"{words} {formats.size(value)}"
        case "via", str():
            return _VIA.get(value, f"{words} {value}")
        case _, list() if all(isinstance(each, str) for each in value):
            return f"{words} {', '.join(value)[:200]}"
        case (("stepCount" | "toolCalls"), int()):
            return formats.plural(value, words.removesuffix("s"))
        case _, bool():
            return words if value else f"not {words}"
        case _, int():
            return f"{words} {value:,}"
        case _, str() if _INSTANT.fullmatch(value):
            return f"{words} {value[11:23]}"
        case _, str():
            return f"{words} {value[:200]}"
    return f"{words} {json_rows.encode(value)[:200].decode('utf-8', 'replace')}"
