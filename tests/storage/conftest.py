"""The database for properties of the storage."""

from __future__ import annotations

import pytest

from tests.conftest import BOTH
from tests.storage import scratch


@pytest.fixture(params=BOTH, scope="session")
def scratch_url(request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database for `scratch.connected`, once per kind of database."""
    if request.param == "sqlite":
        return scratch.MEMORY
    url: str = request.getfixturevalue("cluster").fresh()
    return url
