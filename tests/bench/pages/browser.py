"""What a real browser shows: the first view with an empty cache, and a list that is followed while runs arrive."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize

from tests.bench import product, report, resources
from tests.browser import chromium

ROUNDS = 5
#: Until fragments that follow the page have been loaded.
SETTLED_MS = 2_000
#: At which parts of the time it is looked at what a followed list holds, besides its start and end.
MARKS = (0.3, 0.6)
#: The start of the first entry of a kind, as a PerformanceObserver tells it.
_PAINT = """([type, name]) => new Promise((resolve) => new PerformanceObserver((list) => {
  const found = list.getEntries().filter((each) => !name || each.name === name);
  if (found.length) resolve(found.at(-1).startTime);
}).observe({ type, buffered: true }))"""
_VIEWPORT = ViewportSize(width=1440, height=900)


def session_cookie(running: product.Product) -> str:
    """Sign in and return the value of the cookie."""
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        client.post("/sign-in", data={"key": running.key}, headers={"origin": running.url})
        return client.cookies["runledger_session"]


@contextmanager
def _opened(browser: Browser, running: product.Product, cookie: str) -> Iterator[tuple[Page, CDPSession]]:
    context = browser.new_context(viewport=_VIEWPORT)
    context.add_cookies([{"name": "runledger_session", "value": cookie, "url": running.url}])
    page = context.new_page()
    try:
        yield page, context.new_cdp_session(page)
    finally:
        context.close()


def first_views(running: product.Product, cookie: str, paths: Mapping[str, str]) -> report.Part:
    """Load each page in turn into a browser that has nothing of it."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in paths}
    with chromium.running() as browser:
        for _ in range(ROUNDS):
            for name, path in paths.items():
                samples[name].append(_first_view(browser, running, cookie, path))
    rows = {
        name: {column: report.Figure.of([each[column] for each in views]) for column in views[0]}
        for name, views in samples.items()
    }
    return report.Part("First view in a browser with an empty cache", rows)


def _first_view(browser: Browser, running: product.Product, cookie: str, path: str) -> dict[str, float]:
    sizes: list[float] = []
    with _opened(browser, running, cookie) as (page, protocol):
        protocol.send("Network.enable")
        protocol.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(running.url + path)
        page.wait_for_timeout(SETTLED_MS)
        return {
            "kB of everything": sum(sizes) / 1e3,
            "requests": len(sizes),
            "first paint ms": page.evaluate(_PAINT, ["paint", "first-contentful-paint"]),
            "largest paint ms": page.evaluate(_PAINT, ["largest-contentful-paint", ""]),
        }


def followed(running: product.Product, cookie: str, seconds: int) -> report.Part:
    """Follow the list of runs while nothing changes, and while one run a second is submitted."""
    with chromium.running() as browser, _opened(browser, running, cookie) as (page, protocol):
        protocol.send("Performance.enable")
        page.goto(f"{running.url}/runs")
        page.wait_for_timeout(SETTLED_MS)
        rows = {
            "nothing changes": _cost(browser, page, protocol, running, max(seconds // 3, 1), 0),
            "a run a second": _cost(browser, page, protocol, running, seconds, seconds),
        }
        note = f"Followed for {seconds} s; the first row of the list then: {_newest(page)}"
    return report.Part("A list followed live", rows, [note])


def _cost(
    browser: Browser, page: Page, protocol: CDPSession, running: product.Product, seconds: int, count: int
) -> report.Row:
    held, used = {"at start": _held(protocol)}, _processor_seconds(browser)
    served, marks = resources.cpu_seconds(running.pid), {int(part * seconds): part for part in MARKS}
    began = time.monotonic()
    with running.client() as client:
        for number in range(seconds):
            if number < count:
                client.post("/v1/runs", json=_submission(number)).raise_for_status()
            page.wait_for_timeout(max(1, 1000 * (began + number + 1 - time.monotonic())))
            if number in marks:
                held[f"at {marks[number]:.0%}"] = _held(protocol)
    took = time.monotonic() - began
    now, held["at end"] = _processor_seconds(browser), _held(protocol)
    served = resources.cpu_seconds(running.pid) - served
    shares = {
        "renderer % of a core": now["renderer"] - used["renderer"],
        "whole browser %": sum(now.values()) - sum(used.values()),
        "server %": served,
    }
    figures = {name: 100 * value / took for name, value in shares.items()}
    for when, found in held.items():
        figures |= {f"{name} {when}": value for name, value in found.items()}
    return {name: report.Figure.of([value]) for name, value in figures.items()}


def _submission(number: int) -> dict[str, Any]:
    return {"agentId": "agent_1", "prompt": f"Review lease {number}, and list every duty of the landlord."}


def _newest(page: Page) -> str:
    return page.locator("#runs tr").first.inner_text().replace("\n", " ").replace("\t", " ")[:120]


def _processor_seconds(browser: Browser) -> dict[str, float]:
    """Return the CPU seconds of the browser's processes by their kind."""
    protocol = browser.new_browser_cdp_session()
    found: dict[str, float] = {}
    for each in protocol.send("SystemInfo.getProcessInfo")["processInfo"]:
        found[each["type"]] = found.get(each["type"], 0.0) + each["cpuTime"]
    protocol.detach()
    return found


def _held(protocol: CDPSession) -> dict[str, float]:
    """Return what the page holds once what it needs no more has been collected."""
    protocol.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in protocol.send("Performance.getMetrics")["metrics"]}
    return {
        "heap MB": metrics["JSHeapUsedSize"] / 1e6,
        "DOM nodes": metrics["Nodes"],
        "listeners": metrics["JSEventListeners"],
    }
