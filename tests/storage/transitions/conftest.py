"""Every store that a test of a transition leaves behind verifies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tamper import opened


@pytest.fixture(autouse=True)
def verified(request: pytest.FixtureRequest) -> Iterator[None]:
    """Verify the ledger and the rows of the test's database after it."""
    url = request.getfixturevalue("database_url") if "database" in request.fixturenames else None
    yield
    if url is not None:
        report = opened.verified(url)
        assert report.is_ok, "\n".join(f"{each.code}: {each.sentence}" for each in report.breaks)
