"""Take a picture of every page, in both themes and three widths, and those of the README.

    python -m tests.browser.screenshots [--readme] [--folder FOLDER]

The pages show what `runledger demo` leaves behind. The pictures are for a person who looks at them.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Page

from receiver.cli.demo import backend, environment, history
from storage.engine.database import Database
from tests.browser import chromium, conftest

ROOT = Path(__file__).parents[2]
WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
#: Where the pictures of the README are, and how good their JPEG is: a picture stays below 160 kB.
README_FOLDER, QUALITY = ROOT / "docs" / "pictures", 74


@dataclass(frozen=True)
class Demo:
    """A demo that runs, and what its pages show."""

    server: str
    key: str
    run: str
    failed: str
    rejected: str
    held: str
    erased: str

    def paths(self, bulk: str) -> list[str]:
        """Return the address of each page; `bulk` is an action on many runs."""
        run = f"/runs/{self.run}"
        tabs = (
            "answer",
            "prompt",
            "usage",
            "deliveries",
            "timeline",
            "document",
            "notification",
            "reviews",
            "proof",
        )
        return [
            *("/sign-in", "/", "/runs", "/runs?q=status:failed", "/runs?q=agnt:x", "/runs?q=nothing_like_this"),
            *(run, *(f"{run}?tab={tab}" for tab in tabs), f"{run}/steps/3", f"/runs/{self.failed}"),
            *(f"{run}?tab=all", f"{run}/removal", f"{run}/again", f"{run}/tags", f"/compare?a={self.run}"),
            *(f"/runs/{self.held}", f"/runs/{self.held}/removal", f"/runs/{self.erased}"),
            *(f"/runs/actions?action={name}&all=1&q=status:failed" for name in ("export", "tag", "cancel")),
            *(f"/compare?a={self.run}&b={self.failed}", "/deliveries", f"/deliveries/{self.rejected}"),
            *(
                "/jobs",
                "/bulk",
                "/views",
                f"/bulk/{bulk}",
                "/ledger",
                "/sql",
                "/sql?sql=SELECT+status,+count(*)+AS+runs+FROM+runs+GROUP+BY+status",
            ),
            *("/keys", "/settings", "/submit", "/keyboard", "/go", "/no/such/page"),
        ]


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    """Run the demo until the end of the block, in a thread with an event loop of its own."""
    environment.empty(folder)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(environment.running(folder)) as servers,
    ):
        portal.call(history.fill, servers)
        portal.call(backend.play, servers)
        yield Demo(servers.server, *_in_thread(servers.given.url))


def _in_thread(url: str) -> tuple[str, ...]:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _shown(url)).result()


def _do_more(demo: Demo) -> str:
    """Do by the API what the demo leaves out, and return the id of an action on many runs."""
    headers = {"authorization": f"Bearer {demo.key}"}
    tag = {"matter": "2026-0117"}
    with httpx.Client(base_url=demo.server, headers=headers) as client:
        for path, body in (
            (f"runs/{demo.held}/tags", {"tags": tag}),
            ("holds", {"scope": "run", "target": demo.held, "reason": "Litigation hold, matter 2026-0117"}),
            ("holds", {"scope": "tag", "target": "matter=2026-0117", "reason": "All of this matter is preserved"}),
            (f"runs/{demo.erased}/erase", {"reason": "Request of a data subject, case 7"}),
            (f"runs/{demo.run}/reviews", {"verdict": "approved", "comment": "Each source was read."}),
            (
                f"runs/{demo.run}/reviews",
                {"verdict": "rejected", "comment": "The second citation is *overruled*."},
            ),
            ("views", {"name": "Failed last night", "question": "q=status%3Afailed&since=24h", "isShared": True}),
        ):
            method = "PATCH" if path.endswith("/tags") else "POST"
            client.request(method, f"/v1/{path}", json=body).raise_for_status()
        started = client.post("/v1/bulk", json={"action": "tag", "q": "status:failed", "tags": {"seen": "yes"}})
        made: str = started.raise_for_status().json()["id"]
        return made


async def _shown(url: str) -> tuple[str, ...]:
    """Return a key that may do everything; the ids of a long, a failed and two more runs, and of a delivery."""
    async with Database(url) as store:
        key = await conftest.new_key(store, "submit", "read", "admin")
        ids = [
            await store.read(_one, f"SELECT id FROM {what} LIMIT 1")
            for what in (
                "runs WHERE status = 'completed' AND origin = 'submitted' ORDER BY step_count DESC",
                "runs WHERE status = 'failed' AND origin = 'submitted'",
                "deliveries WHERE verdict = 'rejected' AND source = 'platform'",
                "runs WHERE status = 'completed' AND origin = 'adopted' ORDER BY accepted_at",
                "runs WHERE status = 'completed' AND origin = 'adopted' ORDER BY accepted_at DESC",
            )
        ]
    return (key, *ids)


def _one(connection: object, statement: str) -> str:
    found: str = connection.exec_driver_sql(statement).scalar_one()  # type: ignore[attr-defined]
    return found


def take_all(demo: Demo, folder: Path) -> None:
    """Take a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = demo.paths(_do_more(demo))
    with chromium.running() as browser:
        for theme in THEMES:
            for width in WIDTHS:
                size = {"width": width, "height": 900}
                with chromium.window(browser, demo.server, viewport=size, color_scheme=theme) as window:
                    window.expected = "status of 4"
                    window.sign_in(demo.key)
                    for path in paths:
                        _take(window.open(path), folder / f"{_name(path, demo)}-{width}-{theme}.png")


def _take(page: Page, file: Path) -> None:
    page.wait_for_timeout(400)  # fragments that are loaded after the page
    page.screenshot(path=file, full_page=True)


def _name(path: str, demo: Demo) -> str:
    named = ("run", "failed", "rejected", "held", "erased")
    short = functools.reduce(lambda text, name: text.replace(getattr(demo, name), name), named, path)
    return re.sub(r"[^\w.]+", "-", short).strip("-")[:60] or "overview"


def take_for_readme(demo: Demo) -> None:
    """Take the pictures of the list and of a run in both themes."""
    README_FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium.running() as browser:
        for theme in THEMES:
            size = {"width": 1280, "height": 800}
            with chromium.window(browser, demo.server, viewport=size, color_scheme=theme) as window:
                window.sign_in(demo.key)
                for name, path in (("runs", "/runs"), ("run", f"/runs/{demo.run}")):
                    page = window.open(path)
                    page.wait_for_timeout(400)
                    page.screenshot(path=README_FOLDER / f"{name}-{theme}.jpg", type="jpeg", quality=QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--readme", action="store_true", help="only those of the README, into docs/pictures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as data, running(Path(data)) as demo:
        if given.readme:
            take_for_readme(demo)
        else:
            take_all(demo, given.folder)
    print(f"pictures are in {README_FOLDER if given.readme else given.folder}")


if __name__ == "__main__":
    main()
