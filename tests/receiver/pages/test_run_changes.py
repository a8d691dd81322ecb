"""What a page does with a run: cancel, fetch again, notify again."""

from __future__ import annotations

import pytest

from storage import states
from storage.repositories import job_list, notifications, runs
from storage.transitions import follow_up
from tests import life
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def test_a_run_is_cancelled_from_its_page(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.running(browser.database)
    assert "Cancel this run" in await browser.text(f"/runs/{run.id}")
    await browser.post(f"/runs/{run.id}/cancel")
    found = await browser.database.read(runs.find, run.id)
    assert found is not None
    assert found.cancel_requested_at == browser.deployment.clock.now
    assert "Its cancellation is requested" in await browser.text(f"/runs/{run.id}")


async def test_a_run_that_has_ended_is_not_cancelled(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    await browser.post(f"/runs/{run.id}/cancel")
    assert "Not cancelled: the run is completed already." in (await browser.get(f"/runs/{run.id}")).text


async def test_details_are_fetched_again(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.settled_run(browser.database)
    await browser.post(f"/runs/{run.id}/refresh")
    jobs, _ = await browser.database.read(job_list.page, job_list.Query(run_id=run.id), life.NOW)
    assert [job.kind for job in jobs] == [states.Kind.SETTLE]


async def test_a_reader_can_change_nothing(browser: Browser) -> None:
    await browser.sign_in("read")
    run = await life.running(browser.database)
    assert "Cancel" not in await browser.text(f"/runs/{run.id}")
    for act in ("cancel", "refresh", "notify"):
        await browser.post(f"/runs/{run.id}/{act}", 403)


async def test_a_form_of_another_site_cancels_nothing(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.running(browser.database)
    sent = await browser.client.post(f"/runs/{run.id}/cancel", data={"csrf": "x"})
    assert sent.status_code == 403


async def test_a_notification_that_was_given_up_is_sent_again(browser: Browser) -> None:
    await browser.sign_in("read", "admin")
    store = browser.database
    await life.request_follow_ups(store, notifies=True)
    run = await life.settled_run(store)
    claim = await life.claimed(store, states.Kind.NOTIFY, run.id, life.at(70))
    new = notifications.Notification(run.id, "evt_1", b"{}", life.at(70))
    await store.write(follow_up.prepare_notification, claim, new)
    await store.write(
        follow_up.stop_notification, claim, notifications.Attempt(life.at(71), 500), "it answered 500"
    )
    assert "Notify again" in await browser.text(f"/runs/{run.id}?tab=notification")
    await browser.post(f"/runs/{run.id}/notify")
    sent = await store.read(notifications.find, run.id)
    assert sent is not None
    assert sent.stopped_at is None
