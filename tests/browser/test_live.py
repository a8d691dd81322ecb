"""Pages that stay open: several tabs, a server that is lost, a session that ends; small keys, and the keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import life
from tests.browser import conftest, nights
from tests.browser.conftest import Open
from tests.journeys import harness


def announced(page: Page, text: str) -> Locator:
    """Return the row of a new run, or the link that counts new ones."""
    return page.locator("#runs > tr", has_text=text).or_(page.locator(".news")).first


def test_a_new_run_appears_in_both_of_two_tabs(
    window: Open, deployment: harness.Deployment, night: nights.Night
) -> None:
    with window("read") as opened:
        other = opened.tab()
        pages = [opened.open("/runs"), other.open("/runs")]
        deployment.until_run(deployment.submit("two tabs"), "completed")
        for page in pages:
            page.bring_to_front()
            expect(announced(page, "two tabs")).to_be_visible(timeout=20_000)
        other.judge()


def test_the_number_of_new_runs_is_seen_on_a_phone_and_leads_to_them(
    window: Open, deployment: harness.Deployment, night: nights.Night
) -> None:
    with window("read", viewport={"width": 360, "height": 700}) as opened:
        page = opened.open("/runs")
        page.keyboard.press("j")  # a list that is used is not renewed
        deployment.until_run(deployment.submit("seen on a phone"), "completed")
        expect(page.locator(".news")).to_be_in_viewport(timeout=20_000)
        page.locator(".news").click()
        expect(page.locator("#runs > tr", has_text="seen on a phone")).to_be_visible()


def test_a_lost_server_is_shown_and_the_list_continues_once_it_is_back(
    window: Open, deployment: harness.Deployment, night: nights.Night
) -> None:
    with window("read") as opened:
        opened.expected = "net::ERR_|Failed to fetch"
        page = opened.open("/runs")
        sign = page.get_by_text("Live changes stopped.")
        expect(page.locator("#facets details").first).to_be_attached()
        deployment.server.stop()
        expect(sign).to_be_visible(timeout=20_000)
        deployment.restart()
        expect(sign).to_be_hidden(timeout=30_000)
        deployment.until_run(deployment.submit("after the loss"), "completed")
        expect(announced(page, "after the loss")).to_be_visible(timeout=20_000)


def test_a_run_that_ends_while_the_server_is_lost_is_shown_so_once_it_is_back(
    window: Open, deployment: harness.Deployment
) -> None:
    deployment.server.stop()
    run = conftest.stored(deployment, life.running)
    deployment.restart()
    with window("read") as opened:
        opened.expected = "net::ERR_|Failed to fetch|network error"
        with opened.page.expect_response(re.compile("/live")):
            page = opened.open(f"/runs/{run.id}")
        sign = page.get_by_text("The connection to the server is lost.")
        expect(page.get_by_text("It waits for the upstream")).to_be_visible()
        expect(sign).to_be_hidden()
        deployment.server.stop()
        expect(sign).to_be_visible(timeout=20_000)
        conftest.stored(deployment, life.settle, run, life.result())
        deployment.restart()
        expect(page.get_by_role("heading", level=1)).to_contain_text("completed", timeout=30_000)
        expect(sign).to_have_count(0)


def test_signing_out_in_one_tab_leads_the_other_to_the_form_and_back(
    window: Open, deployment: harness.Deployment, night: nights.Night
) -> None:
    with window("read") as opened:
        opened.expected = "status of 401"
        other = opened.tab()
        other.open(f"/runs/{night.failed}")
        page = opened.open("/runs")
        page.get_by_label("Menu: signed in with the key").click()
        page.get_by_role("button", name="Sign out of this browser").click()
        expect(page).to_have_url(re.compile("/sign-in"))
        other.page.get_by_role("link", name="Timeline", exact=True).click()
        expect(other.page).to_have_url(re.compile(r"/sign-in\?next="))
        other.give(conftest.stored(deployment, conftest.new_key, "read"))
        expect(other.page).to_have_url(re.compile(f"/runs/{night.failed}.*timeline"))
        other.judge()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_key_that_only_reads_sees_no_act_and_is_refused_in_words(
    window: Open, night: nights.Night, scripts: bool
) -> None:
    with window("read", java_script_enabled=scripts) as opened:
        opened.expected = "status of 403"
        for path in ("/", "/runs", f"/runs/{night.failed}", "/deliveries"):
            page = opened.open(path)
            for act in ("Submit a run", "Fetch again", "Cancel this run", "Notify again", "Process again", "Keys"):
                expect(page.get_by_text(act, exact=True)).to_have_count(0)
            expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="SQL")).to_have_count(0)
        page = opened.open("/submit")
        expect(page.get_by_text("lacks submit")).to_be_visible()
        expect(page.get_by_text("runledger keys create")).to_be_visible()


def test_the_keyboard_alone_filters_opens_walks_and_returns(window: Open, night: nights.Night) -> None:
    with window("read") as opened:
        page = opened.open("/runs")
        page.keyboard.press("/")
        page.keyboard.type(f"agent:{nights.AGENT}")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("agent%3Aagent_night"))
        expect(page.locator("#runs > tr")).to_have_count(3)
        page.locator("h1").click()  # out of the box
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator("#runs > tr").nth(1).locator(".go")).to_be_focused()
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}"))
        _walk_steps(page)
        first = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url: url != first)
        expect(page.locator("#run-id")).not_to_have_text(first.rsplit("/", 1)[1][:36])
        page.keyboard.press("g")
        page.keyboard.press("r")
        expect(page).to_have_url(f"{opened.server}/runs")


def _walk_steps(page: Page) -> None:
    """Walk down the waterfall by arrows; the inspector follows, and Escape leaves the row."""
    rows = page.locator("run-steps [role=row][aria-level]")
    rows.first.focus()
    for place in range(1, rows.count()):
        page.keyboard.press("ArrowDown")
        expect(rows.nth(place)).to_be_focused()
    expect(rows.last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(rows.nth(rows.count() - 2)).to_be_focused()
    page.keyboard.press("Escape")
