"""Reviews on the page of a run."""

from __future__ import annotations

import pytest

from storage.actions import reviews
from tests import life
from tests.receiver.pages.browsing import Browser
from tests.receiver.pages.traces import MARKUP

pytestmark = pytest.mark.anyio


async def test_a_run_is_approved_from_its_page_and_a_double_click_counts_once(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    for _ in range(2):
        await browser.post(f"/runs/{run.id}/reviews", verdict="approved", comment="One.\r\nTwo. ")
    (made,) = await browser.database.read(reviews.of_run, run.id)
    assert (made.verdict, made.comment, made.by) == ("approved", "One.\nTwo.", "key:night-ops")
    said = await browser.text(f"/runs/{run.id}?tab=reviews")
    assert "approved with the key night-ops" in said
    assert "st-approved badge" in (await browser.get(f"/runs/{run.id}")).text
    assert "approved" in await browser.text(f"/runs/{run.id}?tab=all")


async def test_a_comment_is_shown_as_text(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    await browser.post(f"/runs/{run.id}/reviews", verdict="comment", comment=MARKUP)
    page = (await browser.get(f"/runs/{run.id}?tab=reviews")).text
    assert "<img src=x" not in page
    assert "commented" in page


async def test_a_comment_without_a_text_is_asked_for_and_a_long_one_is_kept_in_the_form(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    for comment in ("", "x" * 10_001):
        answered = await browser.post(f"/runs/{run.id}/reviews", 422, verdict="comment", comment=comment)
        assert "A comment alone needs a text" in answered.text
        assert comment in answered.text
    assert await browser.database.read(reviews.of_run, run.id) == []


async def test_a_reader_sees_reviews_and_makes_none(browser: Browser) -> None:
    await browser.sign_in("read")
    run = await life.settled_run(browser.database)
    assert "Approve" not in await browser.text(f"/runs/{run.id}?tab=reviews")
    await browser.post(f"/runs/{run.id}/reviews", 403, verdict="approved")


async def test_a_run_that_goes_on_has_no_form(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.running(browser.database)
    assert "A run is reviewed once it has ended" in await browser.text(f"/runs/{run.id}?tab=reviews")
    await browser.post(f"/runs/{run.id}/reviews", 409, verdict="approved")


async def test_a_form_of_another_site_reviews_nothing(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    sent = await browser.client.post(f"/runs/{run.id}/reviews", data={"csrf": "x", "verdict": "approved"})
    assert sent.status_code == 403
    assert await browser.database.read(reviews.of_run, run.id) == []
