"""The list of runs."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

import pytest

from receiver.pages.run_list import completion
from storage import states
from storage.engine.database import Database
from storage.query import grammar
from tests import life
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


@pytest.fixture
async def reader(browser: Browser) -> Browser:
    await browser.sign_in("read")
    return browser


async def failed(database: Database, reason: str = "The vault is locked", **changes: Any) -> None:
    result = life.result(states.FAILED, measures=life.measures(failure_reason=reason))
    await life.settled_run(database, states.FAILED, result=result, **changes)


def links(markup: str) -> list[str]:
    return [unquote_plus(each.replace("&amp;", "&")) for each in re.findall(r'href="(/runs\?[^"]*)"', markup)]


async def test_a_row_says_why_a_run_failed_and_each_value_finds_its_like(reader: Browser) -> None:
    await failed(reader.database, agent_id="Research memo", tags={"client": "acme"}, prompt="Read the lease.")
    page = (await reader.get("/runs")).text
    assert "The vault is locked" in page
    assert "/runs?q=status:failed" in links(page)
    assert '/runs?q=agent:"Research memo"' in links(page)
    assert "/runs?q=tag.client:acme" in links(page)


async def test_a_cell_of_tags_and_the_head_of_a_column_say_all_in_a_title(reader: Browser) -> None:
    await failed(reader.database, tags={"client": "acme", "env": "prod"})
    page = (await reader.get("/runs?columns=tags,accepted,created,settled")).text
    assert 'title="client:acme, env:prod"' in page
    for note in ("when it was accepted here", "when the upstream created it", "when its end was stored here"):
        assert f": {note}" in page
        assert f">{note}</span>" in page


async def test_what_others_wrote_is_text(reader: Browser) -> None:
    planted = '<img src=x onerror=alert(1)>"><hx-partial hx-target="body">'
    await failed(reader.database, planted, agent_id=planted, prompt=planted, tags={"client": planted})
    for path in ("/runs", "/runs/facets", f'/runs?q="{planted.replace(chr(34), "")}"', "/runs?q=<b>:x"):
        page = (await reader.get(path)).text
        assert "<img" not in page
        assert "<hx-partial" not in page
        assert "<b>:x" not in page


async def test_a_mistake_is_marked_at_its_character_and_the_list_keeps_what_it_had(reader: Browser) -> None:
    await failed(reader.database, prompt="Read the lease.")
    page = (await reader.get("/runs?q=status:failed&q=agnt:x")).text
    assert "Character 1" in page
    assert "/runs?q=status:failed agent:x" in links(page)
    assert 'value="agnt:x"' in page
    assert "Read the lease." in page
    alone = await reader.text("/runs?q=status:failed+agnt:x")
    assert "Character 15" in alone
    assert "Read the lease." not in alone


async def test_where_nothing_matches_the_page_says_what_excludes_all(reader: Browser) -> None:
    await failed(reader.database)
    assert "No runs yet" not in await reader.text("/runs")
    said = await reader.text("/runs?q=status:failed+tool:webfetch&since=1h")
    assert "1 run matches without tool: webfetch" in said


async def test_a_store_without_runs_says_how_to_begin(reader: Browser) -> None:
    assert "No runs yet" in await reader.text("/runs")


async def test_pages_follow_each_other_without_a_run_twice(reader: Browser) -> None:
    for number in range(53):
        await life.accepted(reader.database, prompt=f"Prompt {number:02}.")
    first = (await reader.get("/runs")).text
    (older,) = re.findall(r'href="([^"]*)" rel="next"', first)
    second = (await reader.get(older.replace("&amp;", "&"))).text
    assert "Runs 1–50 of 53" in browsing.seen(first)
    assert "Runs 51–53 of 53" in browsing.seen(second)
    prompts = [re.findall(r"Prompt \d\d", each) for each in (first, second)]
    assert [len(each) for each in prompts] == [50, 3]
    assert not set(prompts[0]) & set(prompts[1])
    assert (await reader.get("/runs?cursor=nonsense", 303)).headers["location"] == "/runs"


async def test_chosen_columns_stay_with_the_browser(reader: Browser) -> None:
    await failed(reader.database, tags={"client": "acme"}, submitted_by="intake")
    sent = await reader.get("/runs?keep=1&columns=submitted_by&columns=tag.client&columns=evil%22", 303)
    assert sent.headers["location"] == "/runs?columns=submitted_by%2Ctag.client%2Cevil%22"
    page = await reader.text("/runs")
    assert "Submitted by" in page
    assert "Settled by" not in page.partition("Prompt")[2]


async def test_an_own_range_is_exact_and_a_preset_stays_relative(reader: Browser) -> None:
    await failed(reader.database)
    reader.client.cookies.set("zone", "Europe/Vienna")
    sent = await reader.get("/runs?from=2026-11-23T13:00&to=", 303)
    assert unquote_plus(sent.headers["location"]) == "/runs?from=2026-11-23T12:00:00Z"
    page = (await reader.get("/runs?since=24h&q=status:failed")).text
    assert "/runs?q=status:failed agent:agent_1&since=24h" in links(page)
    assert "is not" in await reader.text("/runs?since=yesterday")


async def test_a_run_is_opened_with_the_list_that_it_is_in(reader: Browser) -> None:
    run = await life.accepted(reader.database)
    page = unquote_plus((await reader.get("/runs?q=status:accepted&since=24h&sort=accepted")).text)
    assert f"/runs/{run.id}?list=status:accepted accepted:-24h&amp;sort=accepted" in page
    assert f'href="/runs/{run.id}"' in (await reader.get("/runs")).text


async def test_the_sums_are_of_all_that_is_found(reader: Browser) -> None:
    for _ in range(52):
        await life.accepted(reader.database)
    assert "runs 52" in await reader.text("/runs")
    assert "runs 52" in await reader.text("/runs?q=origin:submitted&summary=1")
    assert "runs 52" in browsing.seen(
        "<main>" + (await reader.client.get("/runs/summary", headers={"hx-request": "true"})).text
    )


async def test_a_selection_is_exported_and_two_of_it_are_compared(reader: Browser) -> None:
    one, other = [(await life.accepted(reader.database)).id for _ in range(2)]
    await life.accepted(reader.database)
    asked = await reader.text(f"/runs/actions?action=export&id={one}&id={other}")
    assert "Export 2 runs" in asked
    file = await reader.post("/runs/actions", 200, action="export", format="csv", id=[one, other])
    assert (one in file.text, other in file.text, len(file.text.splitlines())) == (True, True, 3)
    assert "attachment" in file.headers["content-disposition"]
    compared = await reader.get(f"/runs/actions?action=compare&id={one}&id={other}", 303)
    assert compared.headers["location"] == f"/compare?a={one}&b={other}"


def test_every_name_of_the_filter_language_is_completed() -> None:
    assert {*completion.NAMES, grammar.TAG_PREFIX} == {*grammar.NAMES}


async def test_names_and_values_are_completed(reader: Browser) -> None:
    await failed(reader.database, agent_id="Research memo", tags={"client": "acme"})
    assert "status:" in (await reader.get("/runs/complete?q=sta&at=3")).text
    assert 'data-text="status:failed "' in (await reader.get("/runs/complete?q=status:fa&at=9")).text
    assert "tag.client:" in (await reader.get("/runs/complete?q=-tag&at=4")).text
    found = (await reader.get("/runs/complete?q=agent:res&at=9")).text
    assert 'data-text="agent:&#34;Research memo&#34; "' in found


async def test_a_term_that_is_typed_behind_alternatives_holds_beside_them(reader: Browser) -> None:
    page = (await reader.get("/runs?q=status:failed OR status:lost")).text
    assert 'name="q" value="(status:failed OR status:lost)"' in page
