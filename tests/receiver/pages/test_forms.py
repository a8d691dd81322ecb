"""Keys and submissions by their forms."""

from __future__ import annotations

import re

import pytest

from storage.query import agents
from storage.repositories import api_keys
from tests import life
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio
FORM = {"agent": "agent_1", "prompt": "Review <the> lease.", "tags": "client=tidewater\nmatter = 7\n"}


async def test_a_new_key_is_shown_once_and_works(browser: Browser) -> None:
    await browser.sign_in("admin")
    shown = (await browser.post("/keys", 201, name="ci", scope=["read", "submit"])).text
    text = re.findall(r"rl_[a-z0-9]+_[\w-]{43}", shown)[0]
    assert text not in (await browser.get("/keys")).text
    answer = await browser.client.get("/v1/runs", headers={"authorization": f"Bearer {text}"})
    assert answer.status_code == 200


async def test_a_key_that_cannot_be_made_is_explained_and_the_form_keeps_what_was_typed(browser: Browser) -> None:
    await browser.sign_in("admin")
    shown = (await browser.post("/keys", 422, name="ü", scope=["read"])).text
    assert "1 to 64 characters" in shown
    assert 'value="ü"' in shown


async def test_a_key_is_revoked_after_a_question(browser: Browser) -> None:
    await browser.sign_in("admin")
    found = await browser.database.read(api_keys.list_all)
    key = next(each for each in found if each.name == "backend-read")
    assert f"Revoke the key {key.name}?" in await browser.text(f"/keys/{key.id}/revoke")
    await browser.post(f"/keys/{key.id}/revoke")
    revoked = await browser.database.read(api_keys.find, key.id)
    assert revoked is not None
    assert revoked.revoked_at is not None
    await browser.get("/keys/nothing/revoke", 404)


async def test_keys_are_for_admins(browser: Browser) -> None:
    await browser.sign_in("read", "submit")
    assert "lacks admin" in await browser.text("/keys", 403)


async def test_a_form_that_is_sent_twice_is_one_run(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    key = re.findall(r'name="idempotency_key" value="([^"]+)"', (await browser.get("/submit")).text)[0]
    first, second = [await browser.post("/submit", **FORM, idempotency_key=key) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    run = (await browser.deployment.get(f"/v1{first.headers['location']}")).json()
    assert (run["prompt"], run["submittedBy"]) == ("Review <the> lease.", "night-ops")
    assert run["tags"] == {"client": "tidewater", "matter": "7"}


async def test_a_fault_of_the_form_stands_beside_its_field(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    shown = (await browser.post("/submit", 422, agent="no agent", prompt=" ", tags="a b=c")).text
    assert "This is missing." in shown
    assert "Only letters" in shown
    assert shown.count('class="err"') == 3
    assert 'value="no agent"' in shown


async def test_the_form_remembers_agent_and_model(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    await browser.post("/submit", **FORM, model="anthropic/claude-haiku-3.5")
    shown = (await browser.get("/submit")).text
    assert 'value="agent_1"' in shown
    assert 'value="anthropic/claude-haiku-3.5"' in shown


async def test_the_agents_are_listed_by_name_and_another_can_be_typed(browser: Browser) -> None:
    await browser.database.write(agents.keep, {"agent_1": "Reviewer"}, life.NOW)
    await life.settled_run(browser.database, agent_id="agent_1")
    browser.deployment.clock.tick(600)
    await browser.sign_in("submit", "read")
    assert "Reviewer agent_1 1 run" in await browser.text("/submit")
    done = await browser.post("/submit", agent="", other_agent="agent_9", prompt="Review.")
    run = (await browser.deployment.get(f"/v1{done.headers['location']}")).json()
    assert run["agentId"] == "agent_9"


async def test_two_agents_in_a_form_are_a_fault_and_both_are_kept(browser: Browser) -> None:
    await life.settled_run(browser.database, agent_id="agent_1")
    await browser.sign_in("submit", "read")
    shown = (await browser.post("/submit", 422, agent="agent_1", other_agent="agent_9", prompt="Review.")).text
    assert "Two agents are given" in shown
    assert 'value="agent_1" required checked' in shown
    assert 'value="agent_9"' in shown


async def test_a_tag_without_a_value_is_a_fault_at_its_field(browser: Browser) -> None:
    await browser.sign_in("submit", "read")
    shown = (await browser.post("/submit", 422, agent="agent_1", prompt="Review.", tags="client")).text
    assert "each with its value" in shown
    assert shown.count('class="err"') == 1
