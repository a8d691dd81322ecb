"""Signing in, the session, and the forms that belong to it."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import httpx2 as httpx
import pytest

from receiver.web import authentication
from storage.repositories import api_keys
from storage.transitions import api_key_changes
from tests.receiver.pages.browsing import BROWSER, Browser

pytestmark = pytest.mark.anyio


async def test_a_page_redirects_a_browser_without_a_session_to_the_form_and_then_back(browser: Browser) -> None:
    sent = await browser.get("/keyboard?x=1", 303)
    assert sent.headers["location"] == "/sign-in?next=%2Fkeyboard%3Fx%3D1"
    key = await browser.deployment.new_key("night-ops", "read")
    done = await browser.client.post("/sign-in", data={"key": f" {key} ", "next": "/keyboard?x=1"})
    assert (done.status_code, done.headers["location"]) == (303, "/keyboard?x=1")
    assert "night-ops" in (await browser.get("/keyboard")).text


@pytest.mark.parametrize("target", ["//evil.test/", "https://evil.test", "/\\evil.test", "runs"])
async def test_after_signing_in_one_stays_on_this_server(browser: Browser, target: str) -> None:
    key = await browser.deployment.new_key("night-ops", "read")
    done = await browser.client.post("/sign-in", data={"key": key, "next": target})
    assert done.headers["location"] == "/"


async def test_a_key_that_is_unknown_is_refused_and_too_many_are_slowed_down(browser: Browser) -> None:
    answers = [await browser.client.post("/sign-in", data={"key": f"rl_{n}_{'x' * 43}"}) for n in range(110)]
    assert answers[0].status_code == 401
    assert "unknown or was revoked" in answers[0].text
    assert (answers[-1].status_code, answers[-1].headers["ratelimit"]) == (429, '"failures";r=0;t=10')
    assert not any("set-cookie" in answer.headers for answer in answers)


async def test_a_cookie_is_hidden_from_scripts_and_from_other_sites(browser: Browser) -> None:
    cookie = (await browser.sign_in()).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


async def test_a_cookie_given_over_https_is_never_sent_without_it(browser: Browser) -> None:
    assert "secure" not in (await browser.sign_in()).headers["set-cookie"].lower()
    assert "not encrypted" in (await browser.get("/sign-in")).text
    browser.client.base_url = "https://runledger.test"
    assert "; secure" in (await browser.sign_in()).headers["set-cookie"].lower()
    assert "not encrypted" not in (await browser.get("/sign-in")).text


async def test_a_revoked_key_ends_its_sessions(browser: Browser) -> None:
    await browser.sign_in()
    await browser.get("/keyboard")
    for key in await browser.database.read(api_keys.list_all):
        await browser.database.write(api_key_changes.revoke_key, key.id, browser.deployment.clock.now)
    await browser.get("/keyboard", 303)


async def test_a_session_in_use_goes_on_and_one_that_is_not_ends(browser: Browser) -> None:
    await browser.sign_in()
    for _ in range(3):
        browser.deployment.clock.tick(timedelta(hours=8).total_seconds())
        await browser.get("/keyboard")
    browser.deployment.clock.tick(timedelta(hours=13).total_seconds())
    await browser.get("/keyboard", 303)


async def test_a_form_counts_only_with_the_token_of_its_session_and_from_this_site(browser: Browser) -> None:
    await browser.sign_in()
    refused = [
        await browser.client.post("/preferences", data={"theme": "dark"}),
        await browser.client.post("/preferences", data={"theme": "dark", "csrf": "x.y"}),
        await browser.client.post("/sign-out", headers={"sec-fetch-site": "cross-site"}, data={}),
        await browser.client.post(
            "/sign-out", headers={"origin": "https://evil.test", "sec-fetch-site": ""}, data={}
        ),
    ]
    assert [each.status_code for each in refused] == [403, 403, 403, 403]
    assert (await browser.post("/preferences", theme="dark")).headers["location"] == "/"
    assert 'data-theme="dark"' in (await browser.get("/keyboard")).text


async def test_a_changed_cookie_is_no_session(browser: Browser) -> None:
    await browser.sign_in()
    good = browser.client.cookies["runledger_session"]
    for bad in ("", good[:-1], good + "x", "a.b.c", "%00"):
        browser.client.cookies.clear()
        answer = await browser.client.get("/keyboard", headers={"cookie": f"runledger_session={bad}"})
        assert answer.status_code == 303


async def test_a_page_may_run_only_scripts_with_its_nonce(browser: Browser) -> None:
    await browser.sign_in()
    first, second = await browser.get("/keyboard"), await browser.get("/keyboard")
    policy = first.headers["content-security-policy"]
    nonces = set(re.findall(r'<script nonce="([^"]+)"', first.text))
    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}';" in policy
    assert "unsafe" not in policy
    assert policy != second.headers["content-security-policy"]


async def test_an_unknown_address_is_a_page_for_a_browser_and_a_problem_for_a_program(browser: Browser) -> None:
    await browser.sign_in()
    assert "Nothing is at this address" in await browser.text("/no/such/page", 404)
    answer = await browser.client.get("/no/such/page", headers={"accept": "*/*"})
    assert answer.headers["content-type"] == "application/problem+json"
    answer = await browser.client.get("/v1/nothing")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_log_out_form_ends_the_session(browser: Browser) -> None:
    await browser.sign_in()
    await browser.post("/sign-out")
    await browser.get("/keyboard", 303)


async def test_signing_out_of_one_browser_leaves_the_others_and_everywhere_ends_copies_too(
    browser: Browser,
) -> None:
    await browser.sign_in()
    copied = {"cookie": f"runledger_session={browser.client.cookies['runledger_session']}"}
    form = (await browser.get("/keyboard")).text
    await browser.post("/sign-out")
    assert (await browser.client.get("/keyboard", headers=copied)).status_code == 200
    token = re.findall(r'name="csrf" value="([^"]+)"', form)[0]
    everywhere = {"csrf": token, "everywhere": "1"}
    assert (await browser.client.post("/sign-out", data=everywhere, headers=copied)).status_code == 303
    browser.client.cookies.clear()
    assert (await browser.client.get("/keyboard", headers=copied)).status_code == 303


async def night_ops(browser: Browser) -> api_keys.Key:
    """Return the key that the browser has signed in with."""
    return next(each for each in await browser.database.read(api_keys.list_all) if each.name == "night-ops")


async def test_after_signing_out_everywhere_the_key_signs_in_again(browser: Browser) -> None:
    key = await browser.deployment.new_key("night-ops", "read")
    for _ in range(2):  # within one instant of the clock
        await browser.client.post("/sign-in", data={"key": key})
        await browser.get("/keyboard")
        done = await browser.post("/sign-out", everywhere="1")
        assert (
            "All sessions of the key night-ops have ended." in (await browser.get(done.headers["location"])).text
        )


async def test_a_session_that_was_renewed_ends_everywhere_as_well(browser: Browser) -> None:
    await browser.sign_in()
    key = await night_ops(browser)
    ended_at = browser.deployment.clock.now
    browser.deployment.clock.tick(timedelta(hours=1).total_seconds())
    assert "set-cookie" in (await browser.get("/keyboard")).headers
    await browser.database.write(api_key_changes.end_sessions, key.id, ended_at, "operator")
    await browser.get("/keyboard", 303)


async def test_an_admin_ends_the_sessions_of_a_key(browser: Browser) -> None:
    await browser.sign_in("read")
    copied = {"cookie": f"runledger_session={browser.client.cookies['runledger_session']}"}
    key = await night_ops(browser)
    await browser.post(f"/keys/{key.id}/sign-out", 403)
    browser.deployment.clock.tick(1)
    await browser.sign_in("admin")
    await browser.post(f"/keys/{key.id}/sign-out")
    await browser.post("/keys/nothing/sign-out", 404)
    browser.client.cookies.clear()
    assert (await browser.client.get("/keyboard", headers=copied)).status_code == 303


async def link(browser: Browser) -> str:
    """Return the path of a new link, which works for a minute."""
    key, _ = authentication.mint("night-ops", ["read"], browser.deployment.clock.now)
    made, token = authentication.mint_link(key.id, browser.deployment.clock.now, timedelta(minutes=1))
    await browser.database.write(api_key_changes.create_key, key)
    await browser.database.write(api_key_changes.create_link, key, made)
    return f"/sign-in/{token}"


async def press(browser: Browser, path: str, **headers: str) -> httpx.Response:
    """Send the form of a link's page, as a browser without a session does."""
    return await browser.client.post(path, data={"csrf": ""}, headers=headers)


async def test_looking_at_a_link_leaves_it_as_it_is_and_its_button_signs_in_once(browser: Browser) -> None:
    path = await link(browser)
    for _ in range(2):  # a scanner, and the person
        page = await browser.get(path)
        assert f'<form class="form" method="post" action="{path}">' in page.text
        assert "set-cookie" not in page.headers
    assert (await browser.client.head(path)).status_code == 200
    assert (await press(browser, path)).headers["location"] == "/"
    assert "night-ops" in (await browser.get("/keyboard")).text
    browser.client.cookies.clear()
    assert "This link was used already" in await browser.text(path, 401)
    await browser.get("/keyboard", 303)


async def test_a_link_signs_one_of_two_in_that_follow_it_at_once(browser: Browser) -> None:
    path = await link(browser)
    answers = await asyncio.gather(*(press(browser, path) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [303, 401, 401, 401, 401]


async def test_a_link_that_has_expired_or_never_was_shows_the_form_and_why(browser: Browser) -> None:
    path = await link(browser)
    browser.deployment.clock.tick(61)
    assert "This link has expired" in await browser.text(path, 401)
    assert "This link is unknown" in await browser.text("/sign-in/never-made", 401)
    assert "set-cookie" not in (await browser.get(path, 401)).headers


async def test_a_link_of_a_revoked_key_signs_nobody_in(browser: Browser) -> None:
    path = await link(browser)
    for key in await browser.database.read(api_keys.list_all):
        await browser.database.write(api_key_changes.revoke_key, key.id, browser.deployment.clock.now)
    assert "a key that was revoked" in await browser.text(path, 401)
    assert (await press(browser, path)).status_code == 401


async def test_another_site_signs_no_browser_in_by_a_link(browser: Browser) -> None:
    path = await link(browser)
    answer = await press(browser, path, **{"sec-fetch-site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert (await press(browser, path)).status_code == 303


async def test_a_link_replaces_a_session_where_its_page_was_shown(browser: Browser) -> None:
    path = await link(browser)
    await browser.sign_in("admin")
    assert "which the new one replaces" in await browser.text(path)
    assert (await press(browser, path)).status_code == 403
    await browser.post(path)
    await browser.get("/keys", 403)


async def test_the_way_back_may_have_letters_of_any_script(browser: Browser) -> None:
    key = await browser.deployment.new_key("night-ops", "read")
    answer = await browser.client.post("/sign-in", data={"key": key, "next": "/runs?q=é 日本&since=24h"})
    assert answer.headers["location"] == "/runs?q=%C3%A9%20%E6%97%A5%E6%9C%AC&since=24h"


async def test_a_form_with_an_odd_origin_or_a_nul_is_refused(browser: Browser) -> None:
    await browser.sign_in("submit")
    del browser.client.headers["sec-fetch-site"]
    answer = await browser.client.post("/sign-out", headers={"origin": "http://["})
    assert answer.status_code == 403
    assert (await browser.client.post("/submit", data={"idempotency_key": "\0"})).status_code == 400


@pytest.mark.parametrize("path", ["/runs/a%00b", "/bulk/%00", "/keys/%00/revoke", "/runs/%F0%9F%98%80/tags"])
async def test_a_path_with_a_character_that_no_id_has_is_not_found(browser: Browser, path: str) -> None:
    await browser.sign_in("read", "submit", "admin")
    await browser.get(path, 404)


async def test_the_page_about_a_fault_asks_again_below_the_mount_point(browser: Browser) -> None:
    await browser.sign_in()
    mounted = httpx.ASGITransport(browser.client._transport.app, root_path="/ledger")  # type: ignore[attr-defined]
    async with httpx.AsyncClient(
        transport=mounted, base_url="http://runledger.test", headers=BROWSER, cookies=browser.client.cookies
    ) as client:
        page = (await client.get("/ledger/jobs?kind=nothing")).text
    assert 'href="/ledger/jobs?kind=nothing"' in page
