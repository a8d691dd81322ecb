"""One step of a run: as a page, as a panel, its values whole, its pictures."""

from __future__ import annotations

import base64

import pytest

from storage.query import grammar
from storage.retention import erasing
from tests import life
from tests.receiver.pages.browsing import Browser
from tests.receiver.pages.traces import settled, step, turn

pytestmark = pytest.mark.anyio

#: A picture of one point.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_a_step_has_a_page_of_its_own_and_is_a_panel_for_htmx(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    page = await browser.get(f"/runs/{run.id}/steps/2")
    assert "steps 1 and 2, call and result" in page.text
    panel = await browser.client.get(f"/runs/{run.id}/steps/2", headers={"hx-request": "true"})
    assert "steps 1 and 2" in panel.text
    assert "<html" not in panel.text


@pytest.mark.parametrize("position", ["9", "65536", "-1", "x", "9" * 30])
async def test_a_step_that_does_not_exist_is_a_page_that_says_so(browser: Browser, position: str) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    await browser.get(f"/runs/{run.id}/steps/{position}", 404)


async def test_a_text_is_not_shown_from_beyond_the_numbers_of_a_database(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    await browser.get(f"/runs/{run.id}/steps/0/content?at={2**30}")
    await browser.get(f"/runs/{run.id}/steps/0/content?at={2**31 - 1}", 404)


async def test_a_large_text_is_shown_in_part_and_saved_whole(browser: Browser) -> None:
    await browser.sign_in()
    text = "ß" * 70_000
    run = await settled(browser, [step(0, "thinking", text)])
    assert "Shown: 4.0 kB of 140 kB." in await browser.text(f"/runs/{run.id}/steps/0")
    rest = await browser.client.get(f"/runs/{run.id}/steps/0/content?at=4000", headers={"hx-request": "true"})
    assert rest.text.count("ß") == 64_000
    saved = await browser.get(f"/runs/{run.id}/steps/0/content?as=file")
    assert saved.text == text
    assert saved.headers["content-disposition"].startswith("attachment")


async def test_a_picture_is_shown_as_one_and_can_run_nothing(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0, pages=[{"data": base64.b64encode(PICTURE).decode()}]))
    page = (await browser.get(f"/runs/{run.id}/steps/2")).text
    address = f"/runs/{run.id}/steps/2/output/file?at=%2Fpages%2F0%2Fdata"
    assert f'src="{address}"' in page
    assert "iVBORw0" not in page
    picture = await browser.get(address)
    assert (picture.content, picture.headers["content-type"]) == (PICTURE, "image/png")
    assert "sandbox" in picture.headers["content-security-policy"]
    assert picture.headers["x-content-type-options"] == "nosniff"


async def test_what_is_left_out_of_a_value_is_shown_by_its_pointer(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(
        browser, turn(0, rows=[{"text": f"Lease {at} " * 10} for at in range(900)], last="x " * 900)
    )
    address = f"/runs/{run.id}/steps/2?value=output&amp;at=%2F"
    page = (await browser.get(f"/runs/{run.id}/steps/2")).text
    assert f'href="{address}rows"' in page
    assert f'href="{address}last"' in page
    assert "x " * 900 in await browser.text(f"{address}last".replace("&amp;", "&"))
    for wrong in ("?value=output&at=/none", "?value=input&at=/query/0", "?value=content&at=/x"):
        await browser.get(f"/runs/{run.id}/steps/2{wrong}", 404)


@pytest.mark.parametrize("content", [b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"%PDF-1.7"])
async def test_a_file_that_is_no_picture_is_only_saved(browser: Browser, content: bytes) -> None:
    await browser.sign_in()
    data = "data:image/svg+xml;base64," + base64.b64encode(content + bytes(600)).decode()
    run = await settled(browser, turn(0, file=data))
    assert "<img" not in (await browser.get(f"/runs/{run.id}/steps/2")).text
    saved = await browser.get(f"/runs/{run.id}/steps/2/output/file?at=/file")
    assert saved.headers["content-disposition"].startswith("attachment")
    assert saved.headers["content-type"] == "application/octet-stream"


async def test_a_value_that_only_begins_as_a_file_is_not_found(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0, data=base64.b64encode(PICTURE + bytes(70_000)).decode() + "!"))
    await browser.get(f"/runs/{run.id}/steps/2/output/file?at=/data", 404)
    await browser.get(f"/runs/{run.id}/steps/2/output/file?at=/none", 404)
    await browser.get(f"/runs/{run.id}/steps/2/salt", 404)


async def test_the_steps_of_a_pruned_run_are_gone(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    await browser.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    for path in ("steps/0", "steps/0/content", "document", "answer.md"):
        await browser.get(f"/runs/{run.id}/{path}", 410)


async def test_a_panel_that_cannot_be_read_says_so_in_its_place(browser: Browser) -> None:
    await browser.sign_in()
    said = await browser.client.get("/runs/none/steps/1", headers={"hx-request": "true"})
    assert said.status_code == 404
    assert "There is no run with that id." in said.text
    assert "<html" not in said.text
