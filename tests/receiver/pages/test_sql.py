"""The page for SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest

from receiver.pages.drawing import result_chart
from storage import errors
from storage.engine.database import Database
from storage.user_sql import statements
from tests.receiver.pages import browsing
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio
PLANTED = "<script>alert(1)</script>"


async def _run(statement: statements.Statement) -> statements.Answer:
    """Return what a database might for a few statements."""
    match statement.text.partition(" ")[0]:
        case "wrong":
            raise errors.BadStatement(statement.text, 'near "oder": syntax error', 6)
        case "slow":
            raise errors.StatementTimeout("the statement did not end within 5 s")
    return statements.Answer(["name", "n", "run_id"], [[PLANTED, 3, "abc"], ["=1+1", -1, None]], True)


@pytest.fixture
async def asking(database: Database) -> AsyncIterator[Browser]:
    """Yield a browser before a deployment where SQL is turned on."""
    async for made in browsing.opened(database, run_sql=_run):
        await made.sign_in("admin")
        yield made


async def test_where_it_is_off_the_page_says_how_to_turn_it_on(browser: Browser) -> None:
    await browser.sign_in("admin")
    assert "RUNLEDGER_SQL=on" in await browser.text("/sql?sql=SELECT 1")
    await browser.get("/sql/csv?sql=SELECT 1", 404)


async def test_a_result_is_a_table_a_chart_and_a_file(asking: Browser) -> None:
    page = (await asking.get("/sql?sql=SELECT")).text
    assert PLANTED not in page
    assert "n by name" in page
    assert 'href="/runs/abc"' in page
    file = await asking.get("/sql/csv?sql=SELECT")
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.text.splitlines() == ["name,n,run_id", f"{PLANTED},3,abc", "'=1+1,-1,"]


async def test_a_mistake_is_marked_and_the_statement_stays(asking: Browser) -> None:
    page = (await asking.get("/sql?" + urlencode({"sql": f"wrong oder {PLANTED}"}), 400)).text
    assert "wrong <u>oder</u> &lt;script" in page
    assert "Character 7: near" in page
    assert "did not end within 5 s" in await asking.text("/sql?sql=slow", 503)


async def test_an_emptied_editor_gets_the_examples_again(asking: Browser) -> None:
    part = await asking.get("/sql?sql=", 200, **{"hx-request": "true"})
    assert "Runs by day" in browsing.seen(part.text)


async def test_only_an_admin_may_run_sql(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    await browser.get("/sql", 403)
    await browser.get("/sql/csv?sql=SELECT 1", 403)


def test_a_chart_needs_numbers_that_can_be_drawn() -> None:
    drawn = result_chart.draw(["day", "text", "n"], [["a", "x", 5], ["b", "y", -5], ["c", "z", None]])
    assert drawn is not None
    assert [(each.start, each.width) for each in drawn.bars] == [(50, 50), (0, 50), (50, 0)]
    assert result_chart.draw(["n"], [[1], [2]]) is None
    assert result_chart.draw(["a", "n"], [["x", 1e308], ["y", -1e308]]) is None
    assert result_chart.draw(["a", "b"], [["x", True], ["y", "1"]]) is None
    assert result_chart.draw([], []) is None
