"""What pages do with runs: again, tags, many at once, saved views."""

from __future__ import annotations

import re

import pytest

from receiver.export import flow
from receiver.pages.run_list import bulk as run_list_bulk
from storage.actions import bulk, saved_views
from storage.repositories import runs
from tests import life
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def test_a_run_is_run_again_with_a_change_and_linked_to_the_first(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    first = await life.settled_run(browser.database, prompt="Review the lease.", tags={"client": "acme"})
    form = (await browser.get(f"/runs/{first.id}/again")).text
    assert "client=acme" in form
    done = await browser.post(f"/runs/{first.id}/again", prompt="Review it again.", tags="client=acme")
    second = await browser.database.read(runs.find, done.headers["location"].removeprefix("/runs/"))
    assert second is not None
    assert (second.again_of, second.prompt, second.tags) == (first.id, "Review it again.", {"client": "acme"})


async def test_tags_are_changed_as_text_and_a_mistake_keeps_what_was_typed(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    run = await life.accepted(browser.database, tags={"client": "acme"})
    assert "a b=c" in (await browser.post(f"/runs/{run.id}/tags", 422, tags="a b=c")).text
    await browser.post(f"/runs/{run.id}/tags", tags="client=tidewater\nmatter=7")
    assert (await life.get_run(browser.database, run.id)).tags == {"client": "tidewater", "matter": "7"}


async def test_an_act_on_many_runs_asks_with_a_count_and_then_shows_its_progress(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    for client in ("acme", "acme", "tidewater"):
        await life.accepted(browser.database, tags={"client": client})
    asked = await browser.text("/runs/actions?action=cancel&all=1&q=tag.client%3Aacme")
    assert "Cancel 2 runs" in asked
    done = await browser.post("/runs/actions", action="cancel", all="1", q="tag.client:acme")
    progress = done.headers["location"]
    assert "0 done of 2" in await browser.text(progress)
    stored = await browser.database.read(bulk.find, progress.removeprefix("/bulk/"))
    assert stored is not None
    assert (stored.question, stored.actor) == ("tag.client:acme", "key:night-ops")
    listed = (await browser.get("/bulk")).text
    assert all(
        each in listed for each in (f'href="{progress}"', 'href="/runs?q=tag.client%3Aacme"', "Cancel 2 runs")
    )
    browser.deployment.clock.tick(61)
    assert "Nothing was done for 1m 01s" in await browser.text(progress)
    await browser.post(f"{progress}/stop")
    assert "It was stopped" in await browser.text(progress)


async def test_a_key_that_may_only_read_is_offered_no_action_that_changes_runs(browser: Browser) -> None:
    await browser.sign_in("read")
    run = await life.settled_run(browser.database)
    page = (await browser.get("/runs")).text + (await browser.get(f"/runs/{run.id}")).text
    assert all(f">{word}<" not in page for word in ("Cancel", "Run again", "Fetch again", "Tag"))
    await browser.get("/runs/actions?action=cancel&all=1", 403)
    await browser.get(f"/runs/{run.id}/again", 403)


async def test_a_view_is_saved_shown_to_all_and_deleted_by_its_owner(browser: Browser) -> None:
    await browser.sign_in("read")
    await life.accepted(browser.database)
    await browser.post("/views", name="Failed <last> night", q="status:failed", since="24h", shared="1")
    (view,) = await browser.database.read(saved_views.visible_to, "somebody")
    assert view.question == "q=status%3Afailed&since=24h"
    assert f'href="/runs?{view.question.replace("&", "&amp;")}"' in (await browser.get("/runs")).text
    assert "Failed <last> night" in await browser.text("/views")
    await browser.post(f"/views/{view.id}/delete")
    assert "No views yet" in await browser.text("/views")


async def test_an_act_on_alternatives_stays_within_the_time_that_was_asked_for(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    asked = {"q": "tag.client:acme OR agent:memo", "from": "2026-01-01T00:00:00Z"}
    done = await browser.post("/runs/actions", action="cancel", all="1", **asked)
    stored = await browser.database.read(bulk.find, done.headers["location"].removeprefix("/bulk/"))
    assert stored is not None
    assert stored.question == "(tag.client:acme OR agent:memo) accepted:>=2026-01-01T00:00:00.000000Z"


async def test_an_export_for_which_there_is_no_slot_is_a_page_that_says_so(browser: Browser) -> None:
    await browser.sign_in("read")
    run = await life.accepted(browser.database)
    async for full in browsing.opened(browser.database, export_slots=flow.ExportSlots(0)):
        await full.sign_in("read")
        answer = await full.post("/runs/actions", 503, action="export", format="csv", id=run.id)
        assert "content-disposition" not in answer.headers


async def test_what_is_emptied_in_the_form_is_not_run_again(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    first = await life.settled_run(browser.database, guidance="Be brief.", model="opus")
    done = await browser.post(f"/runs/{first.id}/again", prompt="Again.", guidance="", model=" ")
    second = await browser.database.read(runs.find, done.headers["location"].removeprefix("/runs/"))
    assert second is not None
    assert (second.guidance, second.model) == (None, None)


async def test_an_act_whose_form_is_sent_twice_is_done_once(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    run = await life.settled_run(browser.database)
    form = (await browser.get(f"/runs/actions?action=again&id={run.id}")).text
    (named,) = re.findall(r'name="bulk" value="([^"]+)"', form)
    sent = [await browser.post("/runs/actions", action="again", id=run.id, bulk=named) for _ in range(2)]
    assert len({each.headers["location"] for each in sent}) == 1


async def test_a_selection_that_is_too_large_is_refused_whole(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    named = [str(number) for number in range(run_list_bulk.MAX_SELECTED + 1)]
    said = browsing.seen((await browser.post("/runs/actions", 400, action="cancel", id=named)).text)
    assert "501 runs" in said
    assert "All that are found" in said


async def test_bulk_actions_are_listed_and_a_part_answers_htmx_alone(browser: Browser) -> None:
    await browser.sign_in("read")
    assert "No bulk action here" in await browser.text("/bulk")
    await browser.get("/bulk?cursor=nothing", 400)
    assert 'href="/bulk"' in (await browser.get("/jobs")).text
    part = await browser.client.get("/bulk", headers={"hx-request": "true"})
    assert part.text.lstrip().startswith('<div id="actions"')


async def test_the_page_after_a_form_without_runs_says_so_once(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    done = await browser.post("/runs/actions", action="cancel")
    assert "No run was selected." in await browser.text(done.headers["location"])
    assert "No run was selected." not in await browser.text(done.headers["location"])
