"""Agents by their names on every page that shows one."""

from __future__ import annotations

import re

import pytest

from storage import states
from storage.query import agents
from tests import life
from tests.receiver.pages.browsing import Browser, seen

pytestmark = pytest.mark.anyio
NAME = 'Clause <i>reviewer</i> "&'
SHOWN = "Clause &lt;i&gt;reviewer&lt;/i&gt; &#34;&amp;"


async def filled(browser: Browser) -> list[str]:
    """Store a name with markup and two runs of its agent; return the ids of the runs."""
    await browser.database.write(agents.keep, {"agent_1": NAME, "agent_2": "Drafter"}, life.NOW)
    runs = [await life.settled_run(browser.database, states.COMPLETED, agent_id="agent_1") for _ in range(2)]
    await life.settled_run(browser.database, states.COMPLETED, agent_id="agent_2")
    browser.deployment.clock.tick(600)
    return [each.id for each in runs]


async def test_a_name_stands_for_the_id_on_every_page_and_its_markup_is_text(
    browser: Browser, subtests: pytest.Subtests
) -> None:
    first, second = await filled(browser)
    await browser.sign_in("read", "submit")
    for path in ("/runs", "/runs/facets", "/", f"/runs/{first}", f"/compare?a={first}&b={second}", "/submit"):
        with subtests.test(path):
            page = (await browser.get(path)).text
            assert SHOWN in page
            assert "<i>reviewer" not in page
            assert "agent_1" not in seen(page) or path == "/submit"


async def test_a_filter_by_name_is_a_chip_with_the_name_and_marks_the_value(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = (await browser.get("/runs?q=agent:Drafter")).text
    assert len(re.findall('<tr role="row" id="run-', page)) == 1
    assert '<b>agent:</b><span class="v">Drafter</span>' in page
    facets = (await browser.get("/runs/facets?q=agent:Drafter")).text
    assert re.findall(
        r'aria-current=true><span class="tick"></span><span class="l cut" title="(\w+)"', facets
    ) == ["agent_2"]


async def test_names_are_completed(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in()
    page = (await browser.get('/runs/complete?q=agent:"clause')).text
    assert re.findall(r"<code>(.*?)</code>", page) == [SHOWN]
    assert 'data-text="agent:&#34;Clause &lt;i&gt;reviewer&lt;/i&gt; \\&#34;&amp;&#34; "' in page


async def test_a_run_is_submitted_for_an_agent_by_its_name(browser: Browser) -> None:
    await filled(browser)
    await browser.sign_in("read", "submit")
    done = await browser.post("/submit", agent=NAME, prompt="Review.", idempotency_key="k")
    run = (await browser.deployment.get(f"/v1{done.headers['location']}")).json()
    assert run["agentId"] == "agent_1"
