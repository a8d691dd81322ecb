"""The record of a run as its entries tell it: what they say about its state, times, sums and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: The kinds of entries that this program knows. Others are named, and their proofs are checked all the same.
KNOWN = frozenset(
    {
        *("run.accepted", "run.created", "run.started", "run.cancel_requested", "run.notify_requested"),
        *("run.completed", "run.failed", "run.cancelled", "run.refused", "run.document", "run.imported"),
        *("run.conflict", "run.lost", "run.orphan", "run.reopened", "run.tagged", "run.pruned", "run.reviewed"),
        *("delivery.accepted", "delivery.duplicate", "delivery.processed", "content.erased"),
        *("hold.placed", "hold.released"),
    }
)
ENDS = ("run.completed", "run.failed", "run.cancelled", "run.refused")
DELIVERIES = ("delivery.accepted", "delivery.duplicate")
#: Facts of the first entry, and of those that have a result.
_FIRST = ("origin", "agentId", "model", "submittedBy", "againOf")
_RESULT = (
    *("createdAt", "startedAt", "completedAt", "durationMs", "inputTokens", "outputTokens", "toolCalls"),
    *("costMicros", "stepCount", "failureSource", "settledBy", "settledAt"),
)
#: What a run has no more once it is reopened.
_OF_END = ("status", "settledBy", "settledAt", "failureSource")

Entry = Mapping[str, Any]


def record(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return all that the entries of a run, given in their order, say about it now."""
    found: dict[str, Any] = {}
    for entry in entries:
        kind, facts = entry["kind"], entry["facts"]
        if kind in ("run.accepted", "run.imported"):
            found.update(_some(facts, _FIRST))
        if kind == "run.accepted" and facts.get("origin") == "submitted":
            found["acceptedAt"] = entry["at"]
        if kind == "run.imported":
            found.update(_some(facts, ("acceptedAt", "upstreamId", "status")))
        if kind in ("run.created", "run.reopened"):
            found.update(_some(facts, ("upstreamId",)))
        if kind == "run.reopened":
            for name in _OF_END:
                found.pop(name, None)
        if kind == "run.reviewed" and facts.get("verdict") != "comment":
            found["review"] = facts.get("verdict")
        if kind in ENDS:
            found["status"] = kind[len("run.") :]
        if kind in ENDS or kind in ("run.document", "run.imported"):
            found.update(_some(facts, _RESULT))
    return found


def _some(facts: Entry, names: Iterable[str]) -> dict[str, Any]:
    return {name: facts[name] for name in names if name in facts}


def deliveries(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """Return what the entries say about deliveries, by their ids."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        kind, facts = entry["kind"], entry["facts"]
        if kind in DELIVERIES:
            verdict = kind[len("delivery.") :]
            names = _some(facts, ("source", "eventId", "size", "secretUsed"))
            found[facts["deliveryId"]] = {"receivedAt": entry["at"], "verdict": verdict, **names}
    return found


#: The fields of `content.erased`, by the digests whose values they erase where the names differ.
_ERASED_AS = {"headers": "deliveries", "body": "deliveries"}


class Later:
    """Where the entries of a run last say that a value was replaced or removed, by its name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._given: dict[str, int] = {}
        self._erased: dict[str, int] = {}
        self._pruned = self._reopened = -1
        for place, entry in enumerate(entries):
            self._given |= dict.fromkeys(entry["digests"], place)
            if entry["kind"] == "content.erased":
                self._erased |= dict.fromkeys(map(str, entry["facts"].get("fields", ())), place)
            elif entry["kind"] == "run.pruned":
                self._pruned = place
            elif entry["kind"] == "run.reopened":
                self._reopened = place

    def replaces(self, name: str, behind: int) -> bool:
        """Return whether an entry behind a place of the list has another value of a name, or takes it away."""
        last = self._given.get(name, -1)
        return max(last, self._reopened if name == "failureReason" else -1) > behind

    def erases(self, name: str, behind: int) -> bool:
        """Return whether an entry behind a place of the list says that the values of a name were removed."""
        last = self._erased.get(_ERASED_AS.get(name, name), -1)
        return max(last, self._pruned if name not in ("tags", "comment") else -1) > behind
