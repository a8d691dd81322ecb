"""The names of agents, which every page shows in place of their ids."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage import errors
from storage.engine.database import Database
from storage.query import agents

#: How long names are kept that were read once.
KEPT = timedelta(minutes=1)


@dataclass(slots=True)
class Names:
    """The names as they were last read, for all pages of this process."""

    _known: Mapping[str, str] = field(default_factory=dict)
    _until: datetime | None = None

    async def read(self, store: Database, now: datetime) -> Mapping[str, str]:
        """Return the names by the ids of agents, at most a minute old."""
        if self._until is None or not now < self._until <= now + KEPT:
            self._until = now + KEPT
            with contextlib.suppress(errors.StorageError):
                self._known = await store.read(agents.names)
        return self._known
