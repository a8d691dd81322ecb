"""The ledger: how far it is signed and verified, by whom it is signed, and its newest entries in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from receiver.crypto import log_policy
from receiver.pages import formats, requests
from receiver.pages.run_parts import words
from receiver.schemas import changes
from receiver.web import readiness
from receiver.web.authentication import Scope
from storage.engine.database import Snapshot
from storage.ledger import entries, proofs, publication
from storage.repositories import ledger_changes

router = requests.Router()
#: Entries of one page.
ROWS = 50


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness, and the newest checkpoint that it signed. Without a `url` the settings name it no longer."""

    title: str
    url: str
    last: proofs.LastSigned | None


@router.page("GET", "/ledger", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show the newest checkpoint, keys and witnesses, and a page of entries, the newest first."""
    text = given.parameter("before")
    before = requests.number(text, most=2**53) if text else None
    return given.page("ledger.html", **await given.read(lambda store: _load(given, before, store)))


def _load(given: requests.PageRequest, before: int | None, store: Snapshot) -> dict[str, Any]:
    policy = given.context.api.ledger.policy
    found = store.read(ledger_changes.before, before, ROWS + 1)
    reports = store.read(publication.read)
    return {
        "size": store.read(entries.last_number) + 1,
        "unnumbered_since": store.read(entries.oldest_unnumbered),
        "checkpoint": store.read(proofs.newest_checkpoint),
        "policy": policy,
        "verified": next((each for each in reports if each.subject == publication.VERIFICATION), None),
        "witnesses": _witnesses(policy, store.read(proofs.last_signed)),
        "rows": [(each, changes.values(each).facts) for each in found[:ROWS]],
        "older": found[ROWS - 1].number if len(found) > ROWS else None,
        "before": before,
        "problems": [formats.capitalize_first(each) for each in readiness.ledger_problems(reports)],
        "words": words,
    }


def _witnesses(policy: log_policy.Policy, signed: dict[str, proofs.LastSigned]) -> Sequence[Witness]:
    """Return the witnesses of the policy, and then those that have signed and are not in it any more."""
    listed = []
    for each in policy.witnesses:
        names = (each.key.text, each.key.title, each.key.name)
        last = next((signed.pop(name) for name in names if name in signed), None)
        listed.append(Witness(each.key.title, each.url, last))
    return [*listed, *(Witness(name, "", last) for name, last in sorted(signed.items()))]
