"""No page has what its content security policy forbids, whatever its values are. A parser reads them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from receiver.pages import page_table
from receiver.web import authentication
from tests.browser import markup
from tests.receiver.pages.browsing import Browser, seen

pytestmark = pytest.mark.anyio
FORMS = [page for page in page_table.PAGES if page.method == "POST" and page.path != "/sign-in"]
#: From another site, without a token, and with one of another session.
FOREIGN: list[dict[str, Any]] = [
    {"data": {"a": "b"}, "headers": {"sec-fetch-site": "cross-site"}},
    {"data": {"a": "b"}},
    {"data": {"csrf": "x.y"}},
]
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


async def test_no_form_counts_from_another_site_or_without_its_token(
    browser: Browser, subtests: pytest.Subtests
) -> None:
    await browser.sign_in(*authentication.Scope)
    for page in FORMS:
        with subtests.test(f"{page.path}"):
            path = re.sub(r"\{[^}]+\}", "1", page.path)
            for sent in FOREIGN:
                answer = await browser.client.post(path, **sent)
                assert (answer.status_code, "form" in seen(answer.text)) == (403, True)


@pytest.mark.parametrize("scope", authentication.Scope)
async def test_a_page_is_shown_to_the_scope_that_it_names(
    browser: Browser, scope: authentication.Scope, subtests: pytest.Subtests
) -> None:
    await browser.sign_in(scope)
    for page in page_table.PAGES:
        if page.scope in (None, scope) or scope is authentication.Scope.ADMIN:
            continue
        with subtests.test(f"{page.method} {page.path}"):
            path = re.sub(r"\{[^}]+\}", "1", page.path)
            if page.method == "POST":
                shown = await browser.post(path, 403)
            else:
                shown = await browser.get(path, 403)
            assert f"lacks {page.scope}" in seen(shown.text)
