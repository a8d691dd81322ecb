"""The pages of deliveries."""

from __future__ import annotations

import base64
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from receiver.crypto import signatures
from storage import ids, states
from storage.repositories import deliveries
from storage.transitions import receiving
from tests import life
from tests.receiver.pages.browsing import SECRET, Browser, seen

pytestmark = pytest.mark.anyio
PLANTED = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">'


async def rejected(browser: Browser, key: bytes, body: bytes) -> str:
    """Store a rejected event that was signed with a key; return its id."""
    at = str(int(life.NOW.timestamp()))
    headers = {
        signatures.ID_HEADER: "dlv_1",
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: signatures.sign(key, "dlv_1", at, body),
        "x-planted": PLANTED,
    }
    request = deliveries.RejectedRequest(
        ids.new(life.NOW), states.Source.PLATFORM, life.NOW, headers, body, "0" * 64, len(body), "bad signature"
    )
    await browser.database.write(receiving.store_rejected, [request])
    return request.id


async def test_the_list_is_filtered_counted_and_read_in_pages(browser: Browser) -> None:
    await browser.sign_in()
    await rejected(browser, b"key", b"{}")
    for number in range(55):
        await browser.database.write(receiving.accept_delivery, life.event(event_type=f"type.{number}"))
    first = await browser.get("/deliveries?verdict=accepted")
    assert "All 56 accepted 55 duplicate 0 rejected 1" in seen(first.text)
    older = first.text.partition("Newest</a>")[2].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "type.4" in await browser.text(older)
    assert "No delivery matches" in await browser.text("/deliveries?run=run_nobody")
    await browser.get("/deliveries?verdict=good", 400)


async def test_the_doctor_says_which_reading_of_a_secret_would_have_matched(browser: Browser) -> None:
    await browser.sign_in()
    delivery_id = await rejected(browser, bytes.fromhex(SECRET), b'{"id":"evt_1"}')
    page = await browser.text(f"/deliveries/{delivery_id}")
    assert "matches when it is read as hex" in page
    assert "RUNLEDGER_WEBHOOK_KEY_ENCODING=hex" in page
    assert "Process again" not in page


async def test_an_event_that_verifies_by_now_is_processed_by_a_key_of_scope_admin(browser: Browser) -> None:
    delivery_id = await rejected(browser, base64.b64decode(SECRET), b'{"id":"evt_1","type":"agent.run.completed"}')
    await browser.sign_in()
    assert "A key with the scope admin can process it" in await browser.text(f"/deliveries?open={delivery_id}")
    await browser.post(f"/deliveries/{delivery_id}/process", 403)
    browser.client.cookies.clear()
    await browser.sign_in("admin")
    assert "Process again" in await browser.text(f"/deliveries/{delivery_id}")
    done = await browser.post(f"/deliveries/{delivery_id}/process", was="rejected")
    assert "The delivery is accepted now" in (await browser.get(done.headers["location"])).text
    await browser.post(f"/deliveries/{delivery_id}/process", 409)


@pytest.mark.parametrize("view", ["pretty", "raw", "hex"])
async def test_what_a_sender_planted_is_text(browser: Browser, view: str) -> None:
    await browser.sign_in()
    delivery_id = await rejected(browser, b"key", f'{{"{PLANTED.replace(chr(34), "")}":1}}'.encode())
    page = await browser.get(f"/deliveries/{delivery_id}?view={view}")
    assert "<script>alert" not in page.text
    assert "<img src" not in page.text


async def test_a_long_body_comes_in_pieces(browser: Browser) -> None:
    await browser.sign_in()
    delivery_id = await rejected(browser, b"key", b"q" * 40_000)
    assert "Shown: 16 kB of 40 kB." in await browser.text(f"/deliveries/{delivery_id}?view=raw")
    path = f"/deliveries/{delivery_id}?view=raw&start=32768&piece=1"
    last = await browser.client.get(path, headers={"hx-request": "true"})
    assert last.text.count("q") == 40_000 - 32_768


async def test_what_is_new_is_counted_and_moves_nothing(browser: Browser) -> None:
    await browser.sign_in()
    await browser.database.write(receiving.accept_delivery, life.event())
    page = (await browser.get("/deliveries?source=platform")).text
    asked = page.partition('hx-get="/deliveries/new')[2].partition('"')[0].replace("&amp;", "&")
    await browser.database.write(receiving.accept_delivery, life.event())
    await browser.database.write(receiving.accept_delivery, life.delivery())
    assert "1 new" in (await browser.get(f"/deliveries/new{asked}")).text
    await browser.get("/deliveries/new?after=x", 404)


async def test_a_time_and_a_source_narrow_the_list_and_stay_in_the_address(browser: Browser) -> None:
    await browser.database.write(receiving.accept_delivery, life.event(event_type="type.old"))
    browser.deployment.clock.now = life.NOW + timedelta(days=2)
    await browser.sign_in()
    at = browser.deployment.clock.now
    recent = life.event(event_type="type.new", id=ids.new(at), received_at=at)
    await browser.database.write(receiving.accept_delivery, recent)
    page = (await browser.get("/deliveries?since=24h&source=platform")).text
    assert ("type.new" in page, "type.old" in page) == (True, False)
    assert "All 1 accepted 1" in seen(page)
    assert "platform (1)" in seen(page)
    assert 'href="/deliveries?source=platform&amp;since=24h&amp;verdict=rejected"' in page
    until = f"{life.at(60):%FT%T}"
    page = (await browser.get(f"/deliveries?from=&to={until}")).text
    assert ("type.new" in page, "type.old" in page) == (False, True)
    assert f"to={until.replace(':', '%3A')}Z" in page
    await browser.get("/deliveries?since=soon", 400)


async def test_a_rejected_delivery_is_saved_as_a_fixture(browser: Browser) -> None:
    await browser.sign_in()
    delivery_id = await rejected(browser, b"key", '{"é": 1}'.encode())
    page = (await browser.get(f"/deliveries/{delivery_id}")).text
    assert f'href="/deliveries/{delivery_id}/fixture.json" download' in page
    answer = await browser.get(f"/deliveries/{delivery_id}/fixture.json")
    saved = answer.json()
    assert answer.headers["content-disposition"] == f'attachment; filename="delivery-{delivery_id}.json"'
    assert (saved["path"], saved["body"], saved["headers"]["x-planted"]) == ("/webhooks/case", '{"é": 1}', PLANTED)
    assert saved["isWhole"]
    await browser.get(f"/deliveries/{delivery_id}/other.json", 404)
    await browser.get("/deliveries/nothing/fixture.json", 404)


CURL = """#!/bin/sh
for each in "$@"; do printf '%s\\0' "$each"; done > "$OUT/arguments"
cat > "$OUT/body"
"""


async def test_a_saved_script_sends_the_bytes_again_and_its_shell_reads_none_of_them(
    browser: Browser, tmp_path: Path
) -> None:
    await browser.sign_in()
    body = b"'\n$(touch planted)\nBODY\n\x00\xff"
    delivery_id = await rejected(browser, b"key", body)
    script, curl = tmp_path / "replay.sh", tmp_path / "curl"
    script.write_bytes((await browser.get(f"/deliveries/{delivery_id}/replay.sh")).content)
    curl.write_text(CURL)
    curl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "OUT": str(tmp_path)}
    subprocess.run(["sh", script, "http://there"], check=True, env=environment, cwd=tmp_path)
    arguments = (tmp_path / "arguments").read_text().split("\0")
    assert "http://there/webhooks/case" in arguments
    assert f"x-planted: {PLANTED}" in arguments
    assert (tmp_path / "body").read_bytes() == body
    assert not (tmp_path / "planted").exists()
