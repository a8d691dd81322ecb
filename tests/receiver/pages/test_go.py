"""Going to a page, a run or a saved view by its name."""

from __future__ import annotations

import pytest

from tests import life
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def target(browser: Browser, text: str) -> str:
    response = await browser.client.get("/go", params={"to": text})
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def test_a_run_is_found_by_either_id(browser: Browser) -> None:
    await browser.sign_in()
    run = await life.settled_run(browser.database)
    assert run.upstream_id is not None
    assert await target(browser, f" {run.id} ") == f"/runs/{run.id}"
    assert await target(browser, run.upstream_id) == f"/runs/{run.id}"


async def test_a_page_is_found_by_its_name_or_a_part_that_no_other_has(browser: Browser) -> None:
    await browser.sign_in()
    assert await target(browser, "runs") == "/runs"
    assert await target(browser, "deliv") == "/deliveries"


async def test_a_saved_view_is_found_with_its_question_and_columns(browser: Browser) -> None:
    await browser.sign_in()
    await browser.post("/views", name="Failed <last> night", q="status:failed", since="24h", columns="cost,tag.a")
    assert await target(browser, "failed <last> night") == "/runs?q=status%3Afailed&since=24h&columns=cost,tag.a"
    assert "Failed &lt;last&gt; night" in (await browser.get("/go")).text


async def test_what_nothing_is_named_leads_to_the_runs_with_these_words(browser: Browser) -> None:
    await browser.sign_in()
    page = (await browser.get("/go?to=force+majeure")).text
    assert 'href="/runs?q=%22force+majeure%22"' in page
    assert "No page, view or run has this name or id" in page
    assert "Several places match" in await browser.text("/go?to=s")


async def test_only_places_that_the_key_may_see_are_listed(browser: Browser) -> None:
    await browser.sign_in("read")
    listed = await browser.text("/go")
    assert "Ledger" in listed
    assert "Settings" not in listed
    assert "Submit a run" not in listed


async def test_the_places_are_a_fragment_for_the_page_that_is_shown(browser: Browser) -> None:
    await browser.sign_in()
    fragment = (await browser.client.get("/go", headers={"hx-request": "true"})).text
    assert 'list="go-places"' in fragment
    assert "<html" not in fragment
