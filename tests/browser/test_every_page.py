"""What holds for every page, over values that are markup: they are shown as text, and nobody is shut out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium, conftest, markup
from tests.journeys import harness

#: Pages from which the others are reached, and some that no page links to.
PAGES = (
    "/",
    "/runs",
    "/deliveries",
    "/jobs",
    "/bulk",
    "/ledger",
    "/sql",
    "/keys",
    "/settings",
    "/submit",
    "/keyboard",
    "/go",
    "/go?to=no such place",
    "/compare",
    "/runs?q=agnt:x",
    "/runs?q=nothing_like_this",
    "/no/such/page",
)
#: How many addresses of one form are visited: without parameters, with one, with more.
OF_A_FORM = (2, 1, 0)
#: The themes, and axe's rules for each: all for the first; the second changes colours and nothing else.
THEMES: dict[str, dict[str, object]] = {
    "light": {},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}
WIDTHS = (360, 768, 2560)
#: What runs or loads something and is none of ours.
FOREIGN = (
    "iframe, main script, main style, [onerror], [onload], [onclick], a[href^='javascript:'], a[href^='data:']"
)
#: What is as wide as what others wrote or chose: code, results of SQL, chosen columns, the numbers of a chart.
OF_ANY_WIDTH = "pre, .code, textarea, :has(> .result), :has(> .is-chosen), .diff, .twin"
_SIDEWAYS = """(free) => [...document.querySelectorAll("header.bar *, main *")].filter((each) =>
  each.scrollWidth > each.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(each).overflowX) &&
  each.clientWidth && !each.closest(free)).map((each) => each.outerHTML.slice(0, 120))"""
_VIOLATIONS = "options => axe.run(options).then(results => results.violations)"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")


@dataclass(frozen=True)
class Visit:
    """What a page did: what ran or was loaded, what axe finds in a theme, the widths that it exceeds.

    `sideways` are its parts that are wider than the window of a phone.
    """

    executed: list[str]
    faults: dict[str, list[str]]
    exceeded: list[int]
    sideways: list[str]


@pytest.fixture(scope="module")
def planted(deployment: harness.Deployment) -> list[str]:
    """Store markup in every text of the server's database; return the ids of the runs."""
    deployment.server.stop()  # its worker would take the jobs that settle them
    made: list[str] = conftest.stored(deployment, markup.plant)
    deployment.restart()
    markup.send(deployment)
    return made


@pytest.fixture(scope="module")
def headings(browser: Browser, deployment: harness.Deployment, planted: list[str]) -> dict[str, int]:
    """Follow links from page to page without scripts; return a few addresses of each form with their headings."""
    with conftest.signed_in(browser, deployment, ("admin",), java_script_enabled=False) as window:
        compared = f"/compare?a={planted[0]}&b={planted[1]}"
        return dict(_walk(window, [*PAGES, *(f"/runs/{each}" for each in planted[:2]), compared]))


@pytest.fixture(scope="module")
def visits(browser: Browser, deployment: harness.Deployment, headings: dict[str, int]) -> dict[str, Visit]:
    """Visit each address once with scripts."""
    with conftest.signed_in(browser, deployment, ("admin",), reduced_motion="reduce") as window:
        window.expected = "status of 4"
        return {address: _visit(window, address) for address in headings}


def _walk(window: chromium.Window, first: list[str]) -> Iterator[tuple[str, int]]:
    waiting, forms = list(first), Counter[str]()
    while waiting:
        address = waiting.pop(0)
        page = window.open(address)
        yield address, page.locator("h1, h2").count()
        links: list[str] = page.eval_on_selector_all(
            "a[href]:not([download])", "all => all.map(each => each.getAttribute('href').split('#')[0])"
        )
        waiting += [link for link in links if link not in first and _is_page(link) and _is_new(link, forms)]


def _is_new(address: str, forms: Counter[str]) -> bool:
    """Return whether few addresses of this form were found, and count it."""
    parts = urlsplit(address)
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    names = [f"{name}={value}" if name in {"tab", "view", "as"} else name for name, _, value in pairs]
    form = f"{_ID.sub('N', parts.path)}?{'&'.join(sorted(names))}"
    forms[form] += 1
    return forms[form] <= OF_A_FORM[min(len(pairs), 2)]


def _is_page(link: str) -> bool:
    return link.startswith("/") and re.search(r"/static/|/file|\.csv|\.json|\.md|as=file|^//", link) is None


def _visit(window: chromium.Window, address: str) -> Visit:
    before = len(window.problems)
    page = window.open(address)
    expect(page.locator("main [hx-trigger=load]")).to_have_count(0)
    page.evaluate(Axe().axe_script)
    faults = {theme: _faults(page, theme) for theme in THEMES}
    exceeded = [width for width in WIDTHS if _is_wider(page, width)]
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    sideways: list[str] = page.evaluate(_SIDEWAYS, OF_ANY_WIDTH)
    page.set_viewport_size({"width": 1280, "height": 720})
    return Visit(_executed(page) + window.problems[before:], faults, exceeded, sideways)


def _executed(page: Page) -> list[str]:
    fired = page.evaluate("window.fired")
    violations: list[str] = page.evaluate("window.__violations")
    foreign: list[str] = page.eval_on_selector_all(FOREIGN, "all => all.map(each => each.outerHTML.slice(0, 200))")
    return [*([f"fired {fired}"] if fired is not None else []), *violations, *foreign]


def _faults(page: Page, theme: str) -> list[str]:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    found = page.evaluate(_VIOLATIONS, {"resultTypes": ["violations"], **THEMES[theme]})
    return [f"{each['id']}: {each['nodes'][0]['html'][:300]}" for each in found]


def _is_wider(page: Page, width: int) -> bool:
    page.set_viewport_size({"width": width, "height": 900})
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_every_page_has_a_heading_without_scripts(headings: dict[str, int]) -> None:
    assert [address for address, count in headings.items() if not count] == []


def test_markup_is_shown_as_text_on_every_page(visits: dict[str, Visit]) -> None:
    assert {address: visit.executed for address, visit in visits.items() if visit.executed} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_on_any_page(visits: dict[str, Visit], theme: str) -> None:
    assert {address: visit.faults[theme] for address, visit in visits.items() if visit.faults[theme]} == {}


def test_no_page_is_wider_than_its_window(visits: dict[str, Visit]) -> None:
    assert {address: visit.exceeded for address, visit in visits.items() if visit.exceeded} == {}


def test_nothing_but_the_texts_of_others_is_scrolled_sideways_on_a_phone(visits: dict[str, Visit]) -> None:
    assert {address: visit.sideways for address, visit in visits.items() if visit.sideways} == {}
