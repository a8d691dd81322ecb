"""A fresh deployment for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.engine.database import Database
from tests.receiver.api import app_fixture


@pytest.fixture
async def deployment(database: Database) -> AsyncIterator[app_fixture.Deployment]:
    """Yield the API over a fresh database, with a key for each scope."""
    async for made in app_fixture.opened(database):
        yield made
