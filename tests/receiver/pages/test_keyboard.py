"""The list of keys."""

from __future__ import annotations

import pytest

from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def test_only_keys_of_pages_that_are_there_are_listed(browser: Browser) -> None:
    await browser.sign_in("admin")
    listed = await browser.text("/keyboard")
    assert "g r Runs" in listed
    assert "g t Settings" in listed
    assert "SQL" not in listed
    await browser.sign_in("read")
    assert "g t" not in await browser.text("/keyboard")


async def test_the_keys_are_a_fragment_for_the_page_that_is_shown(browser: Browser) -> None:
    await browser.sign_in()
    fragment = (await browser.client.get("/keyboard", headers={"hx-request": "true"})).text
    assert "g r" in fragment
    assert "<html" not in fragment
