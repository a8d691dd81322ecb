"""Pages of runs that are not as others: an orphan's id, values that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from storage.repositories import runs
from storage.transitions import starting
from tests import life
from tests.receiver.pages.browsing import Browser
from tests.receiver.pages.traces import settled, turn

pytestmark = pytest.mark.anyio


async def test_the_id_of_an_orphan_shows_its_run_and_says_so(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    run = await life.running(browser.database)
    assert await browser.database.write(starting.record_orphan, run.id, "run_orphan", life.NOW)
    said = await browser.text("/runs/run_orphan")
    assert "run_orphan is an orphan of this run" in said
    assert run.id in said
    await browser.get("/runs/run_orphan/steps/0", 409)
    await browser.post("/runs/run_orphan/cancel", 409)


class TestWrongTypes:
    """Only the embedded database keeps values of any type."""

    @pytest.fixture
    def database(self, embedded: Any) -> Any:
        """Return the embedded database."""
        return embedded

    async def test_a_step_with_values_of_wrong_types_is_shown_without_them(self, browser: Browser) -> None:
        await browser.sign_in()
        run = await settled(browser, [*turn(0), *turn(3)])
        await _spoil(browser, run, "UPDATE run_steps SET duration_ms = 'long', timestamp = 'then', type = 7")
        await _spoil(browser, run, "UPDATE run_steps SET tool_output = '{[', tool_name = x'ff', content = x'fe'")
        for path in ("", "?step=4", "/steps/4", "?only=failed", "?find=x"):
            await browser.get(f"/runs/{run.id}{path}")

    async def test_a_run_with_values_of_wrong_types_is_a_page_that_says_so(self, browser: Browser) -> None:
        await browser.sign_in()
        run = await settled(browser, turn(0))
        await _spoil(browser, run, "UPDATE runs SET cost_micros = 'much'")
        assert "A stored row cannot be read" in await browser.text(f"/runs/{run.id}", 500)


async def _spoil(browser: Browser, run: runs.Run, sql: str) -> None:
    column = "id" if " runs " in sql else "run_id"
    statement = text(f"{sql} WHERE {column} = :id")
    await browser.database.write(lambda connection: connection.execute(statement, {"id": run.id}).close())


@pytest.mark.parametrize(
    ("odd", "zone"),
    [(datetime.min.replace(tzinfo=UTC), "America/New_York"), (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo")],
)
async def test_an_instant_at_an_end_of_the_calendar_is_shown(browser: Browser, odd: datetime, zone: str) -> None:
    await browser.sign_in("read")
    times = dict.fromkeys(("created_at", "started_at", "completed_at"), odd)
    result = life.result(measures=life.measures(**times))
    run = await life.settled_run(browser.database, result=result)
    browser.client.cookies.set("zone", zone)
    asked = ("/runs/summary?q=has:agent", "/runs/summary?q=created:>0001-01-01")
    for path in ("/", "/runs?columns=created,settled", *asked, f"/runs/{run.id}", f"/runs/{run.id}/steps/0"):
        await browser.get(path)
