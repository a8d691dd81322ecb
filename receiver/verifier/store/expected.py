"""What the entries of one run say that its rows must be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from receiver.verifier import coverage
from receiver.verifier.store import hashes
from receiver.verifier.store.entry import Entry

#: The bytes of a salt.
SALT = 16

#: The columns of `runs` by their facts, and the contents by the names of their digests.
FACTS = {
    cover.fact: column
    for column, cover in coverage.COVERED["runs"].items()
    if cover.fact is not None and "run.reviewed" not in cover.kinds
}
TEXTS = {cover.digest: column for column, cover in coverage.COVERED["runs"].items() if cover.digest is not None}
_OF_ACCEPTED = ("origin", "agentId", "model", "submittedBy", "againOf")
_SUBMITTED = ("prompt", "guidance", "instructions", "objectIds", "tags")
#: What an end sets even where the upstream was not asked, and what a reopening removes again.
_OF_EVERY_END = {"settled_at": "settledAt", "settled_by": "settledBy", "failure_source": "failureSource"}
#: The facts that earlier releases did not write: where one is absent, nothing is known.
_LATER = ("model", "acceptedAt", "againOf")
#: The verdicts that are a judgement; the others are comments.
_JUDGEMENTS = ("approved", "rejected")
#: The states that a run may be in after its last entry about one.
_LIVE = {
    "run.accepted": ("accepted",),
    "run.created": ("queued",),
    "run.started": ("running",),
    "run.lost": ("lost", "queued", "running"),
    "run.reopened": ("accepted",),
}


class Unknown:
    """The value of a column of which no entry says anything: it equals every value."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


UNKNOWN = Unknown()


class Sealed(msgspec.Struct, frozen=True):
    """A digest with its salt, if that is there. `is_optional`: the value may be absent as well."""

    digest: str
    salt: str | None
    entry: Entry
    is_optional: bool = False

    def fits(self, name: str, value: bytes | None) -> bool:
        """Return whether this value was hashed under that name, with a salt that is one."""
        if value is None or self.salt is None:
            return False
        try:
            salt = bytes.fromhex(self.salt)
        except ValueError:
            return False
        is_salt = len(salt) == SALT and salt.hex() == self.salt
        return is_salt and hashes.digest(salt, name, value).hex() == self.digest


class Expected(msgspec.Struct):
    """The values of columns, the digests of contents, the versions of the document, the links, what was erased.

    Before the first entry a run has nothing but what it was made with.
    """

    columns: dict[str, Any] = msgspec.field(default_factory=lambda: {**INITIAL})
    states: tuple[str, ...] = ("accepted",)
    contents: dict[str, Sealed] = msgspec.field(default_factory=dict)
    documents: dict[int, Sealed | None] = msgspec.field(default_factory=dict)
    links: dict[str, str] = msgspec.field(default_factory=dict)
    erased: set[str] = msgspec.field(default_factory=set)
    has_entries: bool = False
    is_begun: bool = False
    usage_count: int | None = None
    reviews: dict[str, Entry] = msgspec.field(default_factory=dict)
    #: The reviews whose comment was erased: those that were there at an erasure of comments.
    erased_reviews: set[str] = msgspec.field(default_factory=set)
    #: The last entry by which deliveries were erased.
    erased_deliveries: Entry | None = None

    def add(self, entry: Entry) -> None:
        """Follow the next entry of the run."""
        self.has_entries = True
        kind, facts = entry.body.kind, entry.body.facts
        self.states = _LIVE.get(kind, self.states)
        match kind:
            case "run.accepted":
                self._accept(entry)
            case "run.created":
                self._create(entry)
            case "run.started":
                self.columns["started_at"] = UNKNOWN
            case "run.cancel_requested":
                self.columns["cancel_requested_at"] = entry.body.at
            case "run.orphan":
                self._link(facts, "orphan")
            case "run.reviewed":
                self._review(entry)
            case "run.tagged":
                self._replace(entry, ("tags",))
            case "run.reopened":
                self._reopen(facts)
            case "run.pruned":
                self.columns["pruned_at"] = entry.body.at
                self._erase(entry, _ALL - {"tags", "comment"})
            case "content.erased":
                self.columns["pruned_at"] = entry.body.at
                named = facts.get("fields")
                texts = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
                self._erase(entry, _ALL.intersection(texts))
            case _ if kind in coverage.MEASURED:
                self._measure(entry)

    def _erase(self, entry: Entry, names: set[str]) -> None:
        self.erased |= names
        if "comment" in names:
            self.erased_reviews |= self.reviews.keys()
        if "deliveries" in names:
            self.erased_deliveries = entry

    def _accept(self, entry: Entry) -> None:
        facts, self.is_begun = entry.body.facts, True
        is_submitted = facts.get("origin") == "submitted"
        if is_submitted:
            self.columns["upstream_id"] = None
        for name in _OF_ACCEPTED:
            self.columns[FACTS[name]] = facts.get(name)
        unknown = UNKNOWN if not is_submitted else entry.body.at
        self.columns["accepted_at"] = facts.get("acceptedAt", unknown)
        self._replace(entry, _SUBMITTED if is_submitted else ("prompt", "guidance"))

    def _create(self, entry: Entry) -> None:
        facts = entry.body.facts
        self._link(facts, "run")
        self.columns["upstream_id"] = facts.get("upstreamId")
        self.columns["created_at"] = UNKNOWN
        if "agentId" in facts:
            self.columns["agent_id"] = facts["agentId"]
        if self.columns["origin"] != "submitted":
            self.columns["started_at"] = UNKNOWN

    def _review(self, entry: Entry) -> None:
        facts = entry.body.facts
        self.reviews[str(facts.get("reviewId"))] = entry
        if facts.get("verdict") in _JUDGEMENTS:
            self.columns["review"] = facts["verdict"]

    def _reopen(self, facts: Mapping[str, Any]) -> None:
        self.columns |= dict.fromkeys(_OF_EVERY_END)
        reason = self.contents.get("failureReason")
        if reason is not None:
            self.contents["failureReason"] = Sealed(reason.digest, reason.salt, reason.entry, is_optional=True)
        if isinstance(facts.get("upstreamId"), str):
            self.columns["upstream_id"] = facts["upstreamId"]
            self._link(facts, "run")

    def _measure(self, entry: Entry) -> None:
        kind, facts = entry.body.kind, entry.body.facts
        is_import, is_further = kind == "run.imported", kind == "run.document"
        if not is_further:
            self.states = (str(facts.get("status")) if is_import else kind.removeprefix("run."),)
        if is_import:
            self._import(entry)
        # The end of a run that the upstream did not report changes few columns.
        is_whole = is_import or entry.body.actor == "upstream"
        changed = _MEASURES if is_whole else _OF_EVERY_END
        self.columns.update(zip(changed, map(facts.get, changed.values()), strict=True))
        if not is_import and is_whole:
            self.columns["model"] = facts.get("model", self.columns["model"] or UNKNOWN)
        self._replace(entry, [name for name in entry.body.digests if name != "document"])
        version = facts.get("documentVersion")
        if isinstance(version, int):
            if is_import:
                self.documents |= dict.fromkeys(range(1, min(version, 1000)))
            self.documents[version] = self._sealed(entry, "document")
            self.erased.discard("document")
        if "usage" in entry.body.digests:
            count = facts.get("usageCount")
            self.usage_count = count if isinstance(count, int) else None

    def _import(self, entry: Entry) -> None:
        facts, self.is_begun = entry.body.facts, True
        self._link(facts, "run")
        for name in ("origin", "agentId", "model", "submittedBy", "upstreamId", "acceptedAt"):
            self.columns[FACTS[name]] = facts.get(name)
        self.columns["again_of"] = facts.get("againOf", UNKNOWN)
        self.columns["cancel_requested_at"] = facts.get("cancelRequestedAt", UNKNOWN)
        self.columns["pruned_at"] = UNKNOWN
        self._replace(entry, _SUBMITTED)

    def _link(self, facts: Mapping[str, Any], role: str) -> None:
        if isinstance(facts.get("upstreamId"), str):
            self.links[facts["upstreamId"]] = role

    def _replace(self, entry: Entry, names: Any) -> None:
        for name in names:
            sealed = self._sealed(entry, name)
            if sealed is None:
                self.contents.pop(name, None)
            else:
                self.contents[name] = sealed
                self.erased.discard(name)

    def _sealed(self, entry: Entry, name: str) -> Sealed | None:
        digest = entry.body.digests.get(name)
        return None if digest is None else Sealed(digest, entry.salts.get(name), entry)


#: The columns that an end with measures sets, each with its fact.
_MEASURES = {
    column: cover.fact
    for column, cover in coverage.COVERED["runs"].items()
    if cover.kinds == coverage.MEASURED and cover.fact
}
#: The names under which contents are erased.
_ALL = {*TEXTS, "tags", "document", "steps", "usage", "deliveries", "comment"}
#: The columns of a run of which entries say something, before the first one.
INITIAL: Mapping[str, Any] = {
    **dict.fromkeys(FACTS.values()),
    **dict.fromkeys(("cancel_requested_at", "pruned_at", "review")),
    "step_count": 0,
    **dict.fromkeys(("origin", "submitted_by", "accepted_at", "upstream_id"), UNKNOWN),
}
