"""What people come for: support, an engineer, a lawyer and an operator, with scripts and without."""

from __future__ import annotations

import re

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser import conftest, nights
from tests.browser.conftest import Open
from tests.journeys import harness, posting

#: Wide enough for the column of tags.
WIDE = {"width": 1680, "height": 900}
with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])


@pytest.fixture(scope="module")
def night(night: nights.Night, deployment: harness.Deployment) -> nights.Night:
    """Add a run that a backend submits now to those of the night."""
    deployment.until_run(deployment.submit("recent"), "completed")
    return night


@with_and_without_scripts
def test_support_signs_in_on_the_way_to_a_run_and_finds_the_step_that_failed(
    window: Open, deployment: harness.Deployment, night: nights.Night, scripts: bool
) -> None:
    with window(java_script_enabled=scripts) as opened:
        page = opened.open(f"/runs/{night.failed}")
        opened.give(conftest.stored(deployment, conftest.new_key, "read"))
        expect(page).to_have_url(f"{opened.server}/runs/{night.failed}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("failed")
        expect(page.get_by_text(nights.REASON)).to_be_in_viewport()
        page.get_by_role("link", name="Failed 1").click()
        page.locator(".is-failed").get_by_role("link", name="read_vault").click()
        expect(page.locator("#inspector, .step-page").first).to_contain_text(nights.ERROR)


@with_and_without_scripts
def test_an_engineer_narrows_the_list_by_its_values_and_back_widens_it_again(
    window: Open, night: nights.Night, scripts: bool
) -> None:
    with window("read", java_script_enabled=scripts, viewport=WIDE) as opened:
        page = opened.open("/runs")
        row = page.locator(f"#run-{night.failed}")
        row.get_by_role("link", name="failed", exact=True).click()
        expect(page).to_have_url(re.compile("q=status%3Afailed$"))
        row.get_by_role("link", name=nights.AGENT).click()
        expect(page).to_have_url(re.compile("agent%3Aagent_night$"))
        expect(page.locator("#runs > tr")).to_have_count(2)
        _exclude(page, "test", scripts)
        expect(page.locator("#runs > tr")).to_have_count(1)
        expect(row).to_be_visible()
        _go_back(page, scripts)
        expect(page).to_have_url(re.compile("agent%3Aagent_night") if scripts else re.compile("/runs/facets"))
        _go_back(page, scripts)
        expect(page).to_have_url(re.compile("status%3Afailed$" if scripts else "agent%3Aagent_night$"))


def _go_back(page: Page, scripts: bool) -> None:
    """Go back; a list that was followed in place reads itself again, and the next step has to wait for that."""
    if not scripts:
        page.go_back()
        return
    with page.expect_event("load"):
        page.evaluate("() => { setTimeout(() => history.back()) }")


def _exclude(page: Page, value: str, scripts: bool) -> None:
    """Exclude a tag: with scripts at the value itself, else on the page of values."""
    if scripts:
        page.locator("#runs a.tag", has_text=value).first.hover()
        page.get_by_role("link", name="Not this").click()
    else:
        page.get_by_role("link", name="Values and their counts").click()
        for group in page.locator("details.facet:not([open]) summary").all():
            group.click()
        page.get_by_role("link", name=f"Exclude {value}", exact=True).click()


@with_and_without_scripts
def test_a_bar_of_a_chart_leads_to_the_runs_behind_it(window: Open, night: nights.Night, scripts: bool) -> None:
    with window("read", java_script_enabled=scripts) as opened:
        page = opened.open("/")
        page.locator("#states svg a").first.click(force=True)  # a bar is drawn by several shapes
        expect(page).to_have_url(re.compile(r"/runs\?q=created"))
        expect(page.locator("#runs > tr").filter(has_text="recent")).to_have_count(1)


def test_a_bar_above_a_list_leads_to_the_runs_behind_it(window: Open, night: nights.Night) -> None:
    with window("read") as opened:
        page = opened.open("/runs")
        bar = page.locator("#summary svg a").filter(has=page.locator("rect:not(.hit)")).last
        bar.locator("rect").last.click()
        expect(page).to_have_url(re.compile(r"/runs\?(from|q=created)"))
        expect(page.locator("#runs > tr").filter(has_text="recent")).to_have_count(1)


@with_and_without_scripts
def test_an_engineer_finds_a_step_by_its_text(window: Open, night: nights.Night, scripts: bool) -> None:
    with window("read", java_script_enabled=scripts) as opened:
        page = opened.open(f"/runs/{night.failed}")
        page.get_by_role("searchbox", name="Find in steps").fill("until Monday")
        page.keyboard.press("Enter")
        expect(page.locator("run-steps .is-failed")).to_have_count(1)
        expect(page.locator("run-steps [aria-level='3']")).to_have_count(1)
        page.get_by_role("searchbox", name="Find in steps").fill("nowhere in it")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="No step matches")).to_be_visible()


@with_and_without_scripts
def test_an_engineer_selects_two_runs_and_compares_them(window: Open, night: nights.Night, scripts: bool) -> None:
    with window("read", java_script_enabled=scripts) as opened:
        page = opened.open(f"/runs?q=agent%3A{nights.AGENT}")
        for each in (night.failed, night.answered):
            page.get_by_role("checkbox", name=f"Select run {each[-8:]}").check()
        page.get_by_role("button", name="Compare two").click()
        expect(page.get_by_role("heading", name="Compare two runs")).to_be_visible()
        expect(page.get_by_role("region", name="Steps")).to_contain_text("read_vault")


@with_and_without_scripts
def test_a_lawyer_reads_the_answer_its_request_and_what_was_fetched(
    window: Open, night: nights.Night, scripts: bool
) -> None:
    with window("read", java_script_enabled=scripts) as opened:
        page = opened.open(f"/runs/{night.answered}")
        page.get_by_role("link", name="Answer", exact=True).click()
        expect(page.get_by_role("heading", name="Opinion")).to_be_visible()
        expect(page.get_by_role("cell", name="14.2")).to_be_visible()
        page.get_by_role("link", name="Raw", exact=True).click()
        expect(page.locator("pre")).to_contain_text(["# Opinion"])
        page.get_by_role("link", name="Prompt", exact=True).click()
        expect(page.get_by_text("Cite each case.")).to_be_visible()
        page.get_by_role("link", name="Document", exact=True).click()
        expect(page.locator(".json .s", has_text="88 F.3d 12")).to_be_visible()
        page.get_by_role("link", name=re.compile("^Trace")).click()
        expect(page.locator("run-steps").get_by_role("link", name="search").first).to_be_visible()


def test_a_printed_answer_has_its_text_and_no_controls(window: Open, night: nights.Night) -> None:
    with window("read", "submit") as opened:
        page = opened.open(f"/runs/{night.answered}?tab=answer")
        page.emulate_media(media="print")
        for text in ("Opinion", "Notice was late.", "14.2", night.answered, "completed"):
            expect(page.get_by_text(text).first).to_be_visible()
        for control in ("nav", "button", "form", "summary", "input"):
            assert page.locator(f"{control}:visible").filter(visible=True).evaluate_all(
                "all => all.filter(each => !each.matches('.crumbs')).map(each => each.outerHTML.slice(0, 120))"
            ) == [], control  # fmt: skip


@with_and_without_scripts
def test_an_operator_asks_why_a_delivery_was_rejected(
    window: Open, deployment: harness.Deployment, night: nights.Night, scripts: bool
) -> None:
    body = posting.event("run_1", "evt_1")
    refused = posting.post_event(deployment, body, posting.signed(deployment, body, key=posting.ANY_KEY))
    assert refused.status_code == 401
    with window("read", java_script_enabled=scripts) as opened:
        page = opened.open("/")
        page.get_by_role("link", name="Deliveries", exact=True).click()
        page.get_by_role("navigation", name="Verdicts").get_by_role("link", name="rejected").click()
        page.locator("table a.go").first.click()
        inspector = page.locator("#inspector")
        expect(inspector).to_contain_text("No signature in the request was made with one of our secrets.")
        expect(inspector.locator(".checks li").first).to_be_visible()
        expect(inspector.locator(".remedy")).to_be_visible()


@with_and_without_scripts
def test_an_operator_retries_the_jobs_of_one_cause(window: Open, night: nights.Night, scripts: bool) -> None:
    with window("read", "admin", java_script_enabled=scripts) as opened:
        opened.expected = "status of 4"
        page = opened.open("/jobs")
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        causes = page.get_by_role("region", name="Failing and dead, by cause")
        cause = causes.get_by_role("row").filter(has_text=nights.JOB_ERRORS[scripts])
        cause.get_by_role("link", name=re.compile("^Retry")).click()
        expect(page.get_by_role("heading", name="Retry 1 job?")).to_be_visible()
        page.get_by_role("button", name="Retry 1 job").click()
        expect(page.get_by_role("status").filter(has_text="1 job")).to_be_visible()
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()


@with_and_without_scripts
def test_an_operator_signs_in_by_a_link_that_a_scanner_has_looked_at(
    window: Open, deployment: harness.Deployment, scripts: bool
) -> None:
    link = conftest.stored(deployment, conftest.new_link, deployment.server.url, "read")
    assert httpx.get(link).status_code == 200
    with window(java_script_enabled=scripts) as opened:
        opened.page.goto(link)
        opened.page.get_by_role("button", name="Sign in to this browser").click()
        expect(opened.page).to_have_url(f"{opened.server}/")
        expect(opened.page.get_by_role("heading", level=1)).to_be_visible()
