"""The keyboard alone: its keys open over the page, and leave it as it was."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser import nights
from tests.browser.conftest import Open


def test_the_list_of_keys_opens_over_the_page_and_escape_returns_to_where_one_was(
    window: Open, night: nights.Night
) -> None:
    with window("read") as opened:
        page = opened.open("/runs")
        page.keyboard.press("j")
        row = page.locator("#runs > tr").first.locator(".go")
        expect(row).to_be_focused()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard")
        expect(dialog).to_contain_text("To the box that filters")
        page.keyboard.press("x")  # no key of the page acts below a dialog
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(row).to_be_focused()
        expect(page.locator("#runs input:checked")).to_have_count(0)
        expect(page).to_have_url(f"{opened.server}/runs")


def test_a_page_is_reached_by_its_name_from_wherever_one_types(window: Open, night: nights.Night) -> None:
    with window("read") as opened:
        page = opened.open("/runs")
        page.keyboard.press("/")
        page.keyboard.press("Control+k")
        box = page.get_by_role("dialog", name="Go to").get_by_label("A page, a saved view, or the id of a run")
        expect(box).to_be_focused()
        page.keyboard.type("deliv")
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{opened.server}/deliveries")


def test_the_line_beside_the_inspector_is_moved_and_stays_where_it_was_put(
    window: Open, night: nights.Night
) -> None:
    with window("read", viewport={"width": 1680, "height": 900}) as opened:
        page = opened.open(f"/runs/{night.answered}")
        line, inspector = page.get_by_role("separator"), page.locator("#inspector")
        before = inspector.bounding_box()
        line.focus()
        page.keyboard.press("ArrowLeft")
        expect(line).to_have_attribute("aria-valuenow", "27")
        box = line.bounding_box()
        assert before is not None
        assert box is not None
        page.mouse.move(box["x"] + 3, 400)
        page.mouse.down()
        page.mouse.move(box["x"] - 97, 400)
        page.mouse.up()
        page.reload()
        after = inspector.bounding_box()
        assert after is not None
        assert after["width"] - before["width"] > 120
        line.dblclick()
        expect(line).to_have_attribute("aria-valuenow", "25")


def test_a_value_is_excluded_by_a_key_and_by_what_it_offers(window: Open, night: nights.Night) -> None:
    with window("read", viewport={"width": 1680, "height": 900}) as opened:
        page = opened.open("/runs")
        page.keyboard.press("j")
        page.keyboard.press("Tab")  # the agent
        page.keyboard.press("Tab")
        value = page.locator("#runs > tr:first-child a.tag")
        expect(value).to_be_focused()
        tag = value.inner_text().partition(":")[2] or value.inner_text()
        expect(page.get_by_role("group", name=f"tag.env {tag}")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name=f"Only this: tag.env {tag}")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(f"q=-tag.env%3A{tag}$"))
        expect(page.locator("#list")).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("-")  # its state
        expect(page).to_have_url(re.compile(r"-status%3A"))


def test_keys_select_runs_and_lead_to_what_can_be_done_with_them(window: Open, night: nights.Night) -> None:
    with window("read") as opened:
        page = opened.open("/runs")
        for key in "jxjx":
            page.keyboard.press(key)
        page.keyboard.press("a")
        expect(page.get_by_role("button", name="Compare two")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Compare two runs")).to_be_visible()


def test_backspace_in_the_empty_box_takes_one_term_after_the_other(window: Open, night: nights.Night) -> None:
    with window("read") as opened:
        page = opened.open("/runs?q=status:failed+tag.env:prod")
        page.keyboard.press("/")
        page.keyboard.press("Backspace")
        expect(page).to_have_url(re.compile(r"q=status%3Afailed$"))
        expect(page.locator("#q")).to_be_focused()
        page.keyboard.press("Backspace")
        expect(page).to_have_url(f"{opened.server}/runs")
