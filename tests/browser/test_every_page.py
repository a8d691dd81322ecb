"""What holds for every page, over values that are markup: they are shown as text, and nobody is shut out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser import chromium, conftest, markup
from tests.journeys import harness

#: Pages that each page does not link to.
PAGES = (
    "/",
    "/runs",
    "/deliveries",
    "/jobs",
    "/sql",
    "/keys",
    "/settings",
    "/submit",
    "/keyboard",
    "/runs?q=agnt:x",
)
#: How many addresses of one form are visited.
OF_A_FORM = 4
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


@pytest.fixture(scope="module")
def planted(deployment: harness.Deployment) -> list[str]:
    """Store markup in every text of the server's database; return the ids of the runs."""
    made: list[str] = conftest.stored(deployment, markup.plant)
    markup.send(deployment.server.url)
    return made


@pytest.fixture(scope="module")
def addresses(browser: Browser, deployment: harness.Deployment, planted: list[str]) -> list[str]:
    """Follow links from page to page; return the addresses, a few of each form."""
    with conftest.signed_in(browser, deployment, ("admin",)) as window:
        window.expected = "status of 4"
        return list(_walk(window))


def _walk(window: chromium.Window) -> Iterator[str]:
    waiting, seen = list(PAGES), set[str]()
    forms: dict[str, int] = {}
    while waiting:
        address = waiting.pop(0)
        form = _form(address)
        if address in seen or forms.get(form, 0) >= OF_A_FORM:
            continue
        seen.add(address)
        forms[form] = forms.get(form, 0) + 1
        page = window.open(address)
        yield address
        links: list[str] = page.eval_on_selector_all("a[href]", "all => all.map(a => a.getAttribute('href'))")
        waiting += [link for link in links if link.startswith("/") and not _is_file(link)]


def _form(address: str) -> str:
    parts = urlsplit(address)
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&")})
    return f"{_ID.sub('N', parts.path)}?{'&'.join(names)}"


def _is_file(link: str) -> bool:
    return re.search(r"/static/|/export|/raw|/file|/picture|\.csv|\.json|format=|^//", link) is not None


def test_markup_is_shown_as_text_on_every_page(
    browser: Browser, deployment: harness.Deployment, addresses: list[str]
) -> None:
    with conftest.signed_in(browser, deployment, ("admin",)) as window:
        window.expected = "status of 4"
        for address in addresses:
            window.page.wait_for_load_state()
            page = window.open(address)
            page.wait_for_timeout(50)
            assert page.evaluate("window.fired") is None, address
            assert page.evaluate("window.__violations") == [], address
            assert page.locator("iframe, main script, main style").count() == 0, address
        assert window.problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(
    browser: Browser, deployment: harness.Deployment, addresses: list[str], theme: str
) -> None:
    with conftest.signed_in(browser, deployment, ("admin",), color_scheme=theme) as window:
        window.expected = "status of 4"
        found = {address: faults for address in addresses if (faults := _faults(window.open(address)))}
        assert found == {}


def _faults(page: Page) -> list[str]:
    results = Axe().run(page).response
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in results["violations"]]


def test_every_page_says_the_same_without_scripts(
    browser: Browser, deployment: harness.Deployment, addresses: list[str]
) -> None:
    with conftest.signed_in(browser, deployment, ("admin",), java_script_enabled=False) as window:
        for address in addresses:
            page = window.open(address)
            assert page.locator("h1, h2").count() > 0, address


@pytest.mark.parametrize("width", [360, 768, 2560])
def test_no_page_is_wider_than_its_window(
    browser: Browser, deployment: harness.Deployment, addresses: list[str], width: int
) -> None:
    with conftest.signed_in(browser, deployment, ("admin",), viewport={"width": width, "height": 900}) as window:
        window.expected = "status of 4"
        wide = [each for each in addresses if _is_wide(window.open(each))]
        assert wide == []


def _is_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
