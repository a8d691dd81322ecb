"""A browser before a fresh deployment for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.engine.database import Database
from tests.receiver.pages import browsing


@pytest.fixture
async def browser(database: Database) -> AsyncIterator[browsing.Browser]:
    """Yield a browser that is not signed in."""
    async for made in browsing.opened(database):
        yield made
