"""The database for properties of the storage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import BOTH
from tests.storage import scratch


@pytest.fixture(params=BOTH, scope="session")
def scratch_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the address of an empty database for `scratch.connected`, once per kind of database."""
    if request.param == "sqlite":
        yield scratch.MEMORY
        return
    url: str = request.getfixturevalue("cluster").fresh()
    yield url
    scratch.close(url)
