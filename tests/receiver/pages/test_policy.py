"""No page has what its content security policy forbids, whatever its values are. A parser reads them."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.browser import markup
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio
TABS = ("answer", "prompt", "usage", "deliveries", "timeline", "document", "notification")


class Forbidden(HTMLParser):
    """Collects inline styles, handlers, scripts without a nonce, and elements of htmx without one."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = dict(attributes)
        wrong = [name for name in names if name == "style" or name.startswith("on")]
        is_active = tag == "script" or (any(name.startswith("hx-") for name in names) and tag != "hx-partial")
        if is_active and not (names.get("nonce") or names.get("hx-nonce")):
            wrong.append("no nonce")
        if tag in {"style", "iframe", "object", "embed", "base"} or wrong:
            self.found.append(f"{self.get_starttag_text()}: {wrong}")


async def test_no_page_has_inline_styles_handlers_or_scripts(browser: Browser) -> None:
    planted = await markup.plant(browser.database)
    await browser.sign_in("admin")
    run, other = (f"/runs/{each}" for each in planted[:2])
    of_a_run = [run, other, f"{run}/steps/0", f"{run}?step=0", *(f"{run}?tab={tab}" for tab in TABS)]
    lists = ["/", "/runs", "/runs/facets", "/deliveries", "/submit", "/keys", "/keyboard"]
    for path in (*lists, *of_a_run, f"/compare?a={planted[0]}&b={planted[1]}", "/runs?q=%3Cscript%3E"):
        response = await browser.get(path)
        assert Forbidden(response.text).found == [], path


async def test_a_browser_keeps_a_page_and_its_part_apart(browser: Browser) -> None:
    await browser.sign_in()
    for part in ("false", "true"):
        answer = await browser.client.get("/jobs", headers={"hx-request": part})
        assert "hx-request" in answer.headers["vary"]


async def test_no_shared_cache_keeps_a_page(browser: Browser) -> None:
    await browser.sign_in()
    for path in ("/", "/runs", "/jobs"):
        assert (await browser.get(path)).headers["cache-control"] == "private, no-cache", path


async def test_the_top_bar_names_only_pages_that_the_key_may_see(browser: Browser) -> None:
    await browser.sign_in("read")
    assert 'href="/settings"' not in (await browser.get("/jobs")).text
    await browser.sign_in("admin")
    page = (await browser.get("/jobs")).text
    assert 'href="/settings"' in page
    assert 'href="/sql"' not in page
