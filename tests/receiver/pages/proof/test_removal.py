"""Erasing and holding a run from its page."""

from __future__ import annotations

import pytest

from storage import states
from storage.retention import holds
from tests import life
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser
from tests.receiver.pages.traces import MARKUP

pytestmark = pytest.mark.anyio


async def test_an_administrator_sees_what_would_go_and_erases_it(browser: Browser) -> None:
    await browser.sign_in("admin")
    run = await life.settled_run(browser.database)
    assert f"/runs/{run.id}/removal" in (await browser.get(f"/runs/{run.id}")).text
    shown = await browser.text(f"/runs/{run.id}/removal")
    assert "3 steps, 1 document" in shown
    assert "does not reach: exports" in shown
    await browser.post(f"/runs/{run.id}/removal", 200, act="show", reason="Request 7", field="prompt")
    assert (await life.get_run(browser.database, run.id)).prompt is not None
    await browser.post(f"/runs/{run.id}/removal", act="erase", reason="Request 7", field="prompt")
    found = await life.get_run(browser.database, run.id)
    assert (found.prompt, found.output) == (None, run.output)
    assert run.output is not None
    assert run.output in await browser.text(f"/runs/{run.id}?tab=answer")
    assert "Content of it was erased" in await browser.text(f"/runs/{run.id}?tab=timeline")


async def test_a_hold_is_placed_shown_as_text_and_released(browser: Browser) -> None:
    await browser.sign_in("admin")
    run = await life.settled_run(browser.database)
    await browser.post(f"/runs/{run.id}/removal", act="hold", reason=MARKUP)
    page = (await browser.get(f"/runs/{run.id}/removal")).text
    assert "<img src=x" not in page
    assert "Nothing can be erased now" in page
    await browser.post(f"/runs/{run.id}/removal", 409, act="erase", reason="Request 7")
    (hold,), _ = await browser.database.read(holds.page)
    assert (hold.scope, hold.target) == (states.HoldScope.RUN, run.id)
    await browser.post(f"/runs/{run.id}/removal/release", hold=hold.id)
    assert "Nothing can be erased now" not in await browser.text(f"/runs/{run.id}/removal")


async def test_a_reason_is_asked_for(browser: Browser) -> None:
    await browser.sign_in("admin")
    run = await life.settled_run(browser.database)
    for act in ("erase", "hold"):
        answered = await browser.post(f"/runs/{run.id}/removal", 422, act=act, reason=" ")
        assert "Give a reason" in answered.text
    assert (await life.get_run(browser.database, run.id)).prompt is not None


async def test_others_erase_and_hold_nothing(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    assert "/removal" not in (await browser.get(f"/runs/{run.id}")).text
    await browser.post(f"/runs/{run.id}/removal", 403, act="erase", reason="Request 7")


async def test_the_head_of_a_run_names_each_hold_and_its_reason(browser: Browser) -> None:
    await browser.sign_in("read")
    run = await life.settled_run(browser.database, tags={"matter": "0042"})
    targets = {"run": run.id, "tag": "matter=0042", "question": "status:completed"}
    for scope, target in targets.items():
        hold = holds.Hold(
            f"hold-{scope}", states.HoldScope(scope), target, f"By {MARKUP} {scope}", "key:a", life.NOW
        )
        await browser.database.write(holds.place, hold)
    page = (await browser.get(f"/runs/{run.id}?tab=answer")).text
    assert "<img src=x" not in page
    for words in ("this run", "the tag matter=0042", "all runs that a question finds"):
        assert f"Legal hold on {words}." in page
    assert "status:completed" not in browsing.seen(page)
    other = await life.settled_run(browser.database, states.FAILED, upstream_id="run_2")
    assert "Legal hold" not in await browser.text(f"/runs/{other.id}")
