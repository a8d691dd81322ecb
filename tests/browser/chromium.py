"""A real browser: Debian's chromium, driven by Playwright, and windows that record all that goes wrong in them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright import sync_api

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ABSENT = "no chromium on this machine: `make browser` installs Debian's, or put one on the PATH"
#: Records violations of the content security policy, also in the console, where the window reads them.
_RECORDER = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  const said = `${event.violatedDirective}: ${event.blockedURI} ${event.sample}`;
  window.__violations.push(said);
  console.error(said);
});
"""


def program() -> str:
    """Return the path of the browser. Without one the test is skipped, but where CI runs it fails."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(ABSENT)
    return found


@contextmanager
def running() -> Iterator[sync_api.Browser]:
    """Yield a browser that runs until the end of the block."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Window:
    """A window of the browser before a server. `problems` are sentences about what must not happen in it."""

    page: sync_api.Page
    server: str
    problems: list[str] = field(default_factory=list)
    #: Matches the console messages and failures that this test expects, such as the status of a missing page.
    expected: str = ""

    def watch(self) -> None:
        """Record errors of the console and of scripts, failed requests, and requests to other hosts."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", self._request)
        self.page.on("dialog", self._dialog)

    def _console(self, message: sync_api.ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not self._is_expected(message.text):
            self.problems.append(f"console: {message.text}")

    def _failed(self, request: sync_api.Request) -> None:
        # The browser itself ends a stream or a prefetch when one leaves the page.
        if request.failure != "net::ERR_ABORTED" and not self._is_expected(request.failure or ""):
            self.problems.append(f"failed: {request.url} {request.failure}")

    def _is_expected(self, text: str) -> bool:
        return bool(self.expected) and re.search(self.expected, text) is not None

    def _request(self, request: sync_api.Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.server).netloc and not request.url.startswith("blob:"):
            self.problems.append(f"another host: {request.url}")

    def _dialog(self, dialog: sync_api.Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def tab(self) -> Window:
        """Return another window of the same session."""
        made = Window(self.page.context.new_page(), self.server)
        made.watch()
        return made

    def open(self, path: str) -> sync_api.Page:
        """Show a page of the server."""
        self.page.goto(f"{self.server}{path}")
        return self.page

    def sign_in(self, key: str) -> None:
        """Sign in as a person does."""
        self.open("/sign-in")
        self.give(key)

    def give(self, key: str) -> None:
        """Fill the form that asks for a key."""
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def judge(self) -> None:
        """Fail where something went wrong in this window."""
        assert not self.problems, self.problems


@contextmanager
def window(browser: sync_api.Browser, server: str, **options: Any) -> Iterator[Window]:
    """Yield a new window without cookies; what went wrong in it fails the test at the end."""
    context = browser.new_context(**options)
    context.add_init_script(_RECORDER)
    made = Window(context.new_page(), server)
    made.watch()
    try:
        yield made
        if options.get("java_script_enabled", True):
            made.judge()
    finally:
        context.close()
