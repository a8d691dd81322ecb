"""A fresh house for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from tests.receiver.api import house as houses


@pytest.fixture
async def house(database: Database) -> AsyncIterator[houses.House]:
    """The API over a fresh database, with a key for each scope."""
    async for made in houses.opened(database):
        yield made
