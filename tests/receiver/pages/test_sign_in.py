"""Signing in, the session, and the forms that belong to it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from storage.repositories import api_keys
from storage.transitions import api_key_changes
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def test_a_page_sends_who_is_not_signed_in_to_the_form_and_then_back(browser: Browser) -> None:
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
    assert answers[-1].status_code == 429
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
