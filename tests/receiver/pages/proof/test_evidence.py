"""Evidence from a run's page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from receiver.verifier.evidence import check, values
from receiver.web import operations
from storage.engine.database import Database
from tests import evidence_store
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(database: Database) -> AsyncIterator[Browser]:
    async for made in browsing.opened(database, ledger=operations.Ledger(evidence_store.POLICY)):
        await made.sign_in()
        yield made


@pytest.fixture
async def run_id(browser: Browser) -> str:
    settled = await evidence_store.settle(browser.database)
    await evidence_store.sign(browser.database)
    return settled


async def disclosed(browser: Browser, path: Path, address: str) -> list[str]:
    path.write_bytes((await browser.get(address)).content)
    found = check.check(path)
    assert found.failures == []
    return sorted(found.runs[0][values.DISCLOSED])


async def test_the_form_names_all_values_that_evidence_can_disclose(browser: Browser, run_id: str) -> None:
    page = (await browser.get(f"/runs/{run_id}?tab=proof")).text
    assert f'action="/runs/{run_id}/evidence.zip"' in page
    assert all(f'name="only" value="{name}" checked' in page for name in values.NAMES)


async def test_what_is_ticked_is_disclosed(browser: Browser, run_id: str, tmp_path: Path) -> None:
    address, path = f"/runs/{run_id}/evidence.zip", tmp_path / "evidence.zip"
    assert await disclosed(browser, path, f"{address}?chosen=1&only=prompt&only=tags") == ["prompt", "tags"]
    assert await disclosed(browser, path, f"{address}?chosen=1") == []
    assert "output" in await disclosed(browser, path, address)


async def test_evidence_that_cannot_be_made_is_a_page_that_says_why(browser: Browser, run_id: str) -> None:
    assert "is one of prompt" in await browser.text(f"/runs/{run_id}/evidence.zip?only=answer", 400)
    assert "no run" in await browser.text("/runs/no/evidence.zip", 404)
