"""The overview: its numbers are those of the runs behind them."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest

from storage import states
from storage.engine.database import Database, Limits
from storage.migrations import schema_version
from storage.query import grammar
from storage.repositories import deliveries, system_state
from storage.stats import questions
from tests import life
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser, seen

pytestmark = pytest.mark.anyio

HOSTILE = '<img src=x onerror=alert(1)>" {{7*7}} \\'


async def filled(browser: Browser) -> None:
    """Runs in several states, a rejected delivery, and a heartbeat; an agent has a hostile name."""
    database = browser.database
    for status, agent in (
        (states.COMPLETED, HOSTILE),
        (states.FAILED, "reviewer"),
        (states.COMPLETED, "reviewer"),
    ):
        reason = "<b>HTTP</b> 503 from 10.0.0.7" if status is states.FAILED else None
        measures = life.measures(failure_reason=reason, model=HOSTILE)
        await life.settled_run(database, status, result=life.result(status, measures=measures), agent_id=agent)
    await life.running(database)
    await database.write(deliveries.count_rejections, life.NOW, {"bad signature": 7})
    await database.write(system_state.record_heartbeat, life.NOW)
    browser.deployment.clock.tick(timedelta(minutes=10).total_seconds())


async def test_an_empty_store_says_what_to_do_first(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    said = await browser.text("/")
    assert "No run is recorded yet" in said
    assert "runledger backfill" in said
    assert (await browser.client.get("/")).text.count('href="/submit"') >= 1


@pytest.mark.parametrize("since", ["1h", "24h", "7d", "30d", "90d"])
async def test_each_number_is_that_of_the_range(browser: Browser, since: str) -> None:
    await filled(browser)
    await browser.sign_in()
    said = await browser.text(f"/?since={since}")
    assert "Runs 4 " in said
    assert "Failed 1 33.3 %" in said
    assert "Running now 1 " in said
    assert "bad signature 7" in said
    assert "from # 1" in said


async def test_each_link_leads_to_as_many_runs_as_its_number_says(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = (await browser.get("/?since=24h")).text
    bars = re.findall(r'<a href="([^"]+)"[^>]*aria-label="[^"]*: (\d+) runs?', page)
    keys = re.findall(r'<a href="([^"]+)"><span class="st[^>]*>.*?</span>\w+ <b>(\d+)</b>', page)
    agents = re.findall(r'<a href="([^"]+)" title="[^"]*">(?:&lt;img|reviewer)', page)
    assert len(bars) == 1
    for address, number in (*bars, *keys, (agents[0], "2"), (agents[1], "1")):
        text = parse_qs(urlsplit(html.unescape(address)).query)["q"][0]
        expression = grammar.parse(text, browser.deployment.clock.now)
        found = await browser.database.read(questions.find, "status", expression)
        assert sum(row.count for row in found.stats) == int(number), text


async def test_what_others_wrote_is_text(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = (await browser.get("/")).text
    assert "<img src=x" not in page
    assert "<b>HTTP" not in page
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;")[:30] in page.replace("&#34;", "&quot;")


@pytest.mark.parametrize(
    "query",
    [
        "since=7x",
        "since=0h",
        "since=99999999d",
        "from=x",
        "from=2026-11-30&to=2026-11-01",
        "q=agnt:x",
        "q=(",
        "from=0001-01-01",
    ],
)
async def test_a_range_or_filter_that_means_nothing_is_said_beside_it(browser: Browser, query: str) -> None:
    await filled(browser)
    await browser.sign_in()
    page = (await browser.get(f"/?{query}")).text
    assert 'role="alert"' in page
    assert "those of the last 24 hours" in page


async def test_a_filter_holds_for_all_numbers_of_runs(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    assert "Runs 2 " in await browser.text("/?q=agent:reviewer&since=7d")


async def test_the_filter_is_the_box_of_the_list_with_chips_that_stay_on_the_page(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = unquote_plus(html.unescape((await browser.get("/?q=agent:reviewer+status:failed&since=7d")).text))
    assert 'href="/?q=status:failed&since=7d" aria-label="Remove agent:reviewer"' in page
    assert 'href="/?q=status:failed&since=7d&draft=agent:reviewer"' in page
    assert 'data-complete="/runs/complete"' in page
    sent = await browser.get("/?since=7d&q=agent:reviewer&q=status:failed", 303)
    assert unquote_plus(sent.headers["location"]) == "/?q=agent:reviewer status:failed&since=7d"


async def test_of_a_filter_with_a_mistake_the_part_before_holds_in_the_range_that_is_set(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = unquote_plus((await browser.get("/?since=7d&q=agent:reviewer&q=statu:failed")).text)
    assert 'href="/?q=agent:reviewer status:failed&amp;since=7d"' in page
    assert "those of the last 7 days" in page
    assert "Runs 2 " in seen(page)


async def test_a_range_of_ones_own_is_exact_and_in_the_zone_of_the_reader(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    browser.client.cookies["zone"] = "Asia/Tokyo"
    said = await browser.text("/?from=2026-11-23T20:59&to=2026-11-23T21:10")
    assert "Runs 4 " in said
    assert "23 Nov 20:59 to 23 Nov 21:10 JST" in said
    assert "Runs 0 " in await browser.text("/?from=2026-11-23T20:00&to=2026-11-23T20:59")


async def test_health_is_said_on_every_page_and_explained_here(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    browser.deployment.clock.tick(600)
    assert "No worker" in (await browser.get("/keyboard")).text
    said = await browser.text("/")
    assert "none is at work: it was last seen" in said
    await browser.database.write(system_state.record_heartbeat, browser.deployment.clock.now)
    browser.deployment.clock.tick(6)
    assert "No worker" not in (await browser.get("/keyboard")).text


async def test_numbers_that_take_too_long_leave_the_range_and_the_filter(file_url: str) -> None:
    async with Database(file_url, limits=Limits(timed_read_seconds=0.0)) as store:
        await store.write(schema_version.upgrade)
        async for browser in browsing.opened(store):
            await browser.sign_in()
            page = (await browser.get("/?since=30d&q=status:failed")).text
            assert "take longer than two seconds" in page
            assert 'href="/?q=status%3Afailed&amp;since=1h"' in page
            assert 'value="status:failed"' in page
