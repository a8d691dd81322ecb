"""Legal holds: what must not be removed."""

from __future__ import annotations

from datetime import datetime

from storage import states
from storage.models import declare


class Hold(declare.Base, table=True):
    """A legal hold. What it covers is decided when something is about to be removed."""

    __tablename__ = "holds"
    __table_args__ = (declare.one_of("scope", states.HoldScope),)
    id: str = declare.text(null=False, primary_key=True)
    scope: str = declare.text(null=False)
    #: The run by our id, the tag as `key=value`, or the question in the filter language, as its scope says.
    target: str = declare.text(null=False)
    reason: str = declare.text(null=False)
    #: Actors as in the ledger: `key:<name>` or `operator`.
    placed_by: str = declare.text(null=False)
    placed_at: datetime = declare.at(null=False)
    released_by: str | None = declare.text()
    released_at: datetime | None = declare.at()
