"""The page of a run: its head, its trace, the panels of its tabs."""

from __future__ import annotations

import hashlib
import html
import re
import shlex
import typing

import pytest
from anyio import to_thread
from typer.testing import CliRunner

from receiver.cli import main
from receiver.pages.run_parts import words
from receiver.pages.views.runs import run as run_page
from receiver.schemas import notification
from storage import states
from storage.ledger import entries
from storage.query import grammar
from storage.retention import erasing
from storage.transitions import receiving
from tests import life
from tests.receiver.pages.browsing import Browser
from tests.receiver.pages.traces import MARKUP, settled, step, turn

pytestmark = pytest.mark.anyio


async def test_a_run_opens_by_either_id_and_shows_what_it_took(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    for named in (run.id, run.upstream_id):
        said = await browser.text(f"/runs/{named}")
        assert all(each in said for each in ("completed", "1m 00s", "$0.0030", "agent_1", "watcher", "backend"))


async def test_a_call_and_its_result_are_one_row_of_a_turn(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [*turn(0), *turn(3)])
    said = await browser.text(f"/runs/{run.id}")
    assert "1–2 search_vault force majeure" in said
    assert "4–5 search_vault" in said
    assert "Turn 2" in said
    assert "Turn 3" not in said


async def test_only_failed_steps_are_shown_where_these_are_asked_for(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [*turn(0), *turn(3, error={"message": "timed out"})])
    said = await browser.text(f"/runs/{run.id}?only=failed")
    assert "4–5 search_vault" in said
    assert "timed out" in said
    assert "1–2" not in said


async def test_steps_are_found_by_a_word_of_any_of_their_values(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [*turn(0), *turn(3, text="The Casting arrived")])
    assert "1–2" not in await browser.text(f"/runs/{run.id}?find=casting")
    assert "No step contains “100%”" in await browser.text(f"/runs/{run.id}?find=100%25")


async def test_a_part_of_the_time_shows_the_steps_in_it(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [*turn(0), *turn(3)])
    said = await browser.text(f"/runs/{run.id}?from=6000&to=9000")
    assert "Thought 0" not in said.split("Output")[0]
    assert "Thought 3" in said


async def test_a_folded_turn_keeps_its_steps_back(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [*turn(0), *turn(3)])
    folded = await browser.text(f"/runs/{run.id}?fold=all.2")
    assert "1–2" not in folded
    assert "4–5" in folded


async def test_many_steps_come_in_windows_of_rows(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, [step(at, "thinking", f"Thought {at}") for at in range(450)])
    first = await browser.get(f"/runs/{run.id}")
    assert first.text.count('role="row" aria-level') == 200
    rest = await browser.client.get(f"/runs/{run.id}?after=400&part=rows", headers={"hx-request": "true"})
    assert "Thought 449" in rest.text
    assert "<html" not in rest.text


async def test_values_of_others_are_text_wherever_they_are_shown(browser: Browser) -> None:
    await browser.sign_in()
    steps = [
        step(0, MARKUP, MARKUP),
        step(1, "tool_call", tool_name=MARKUP, tool_input={MARKUP: MARKUP}),
        step(2, "tool_result", tool_name=MARKUP, tool_output=[MARKUP]),
    ]
    run = await settled(browser, steps, output=f"# {MARKUP}\n\n[x](javascript:alert(1)) ![p](https://evil.test/p)")
    for path in (
        *(f"?tab={tab}" for tab in run_page.TITLES),
        "?step=2",
        "/steps/0",
        "/steps/1",
        "/steps/2/output",
    ):
        page = (await browser.get(f"/runs/{run.id}{path}")).text
        assert "<img src=x" not in page, path
        assert "javascript:" not in page.replace("[x](javascript:", ""), path
        assert 'src="https://evil.test' not in page, path


@pytest.mark.parametrize("tab", run_page.TITLES)
async def test_a_run_that_has_not_begun_says_so_in_each_tab(browser: Browser, tab: str) -> None:
    await browser.sign_in()
    run = await life.accepted(browser.database)
    assert "accepted" in await browser.text(f"/runs/{run.id}?tab={tab}")


async def test_a_failure_has_its_reason_and_where_it_was_read(browser: Browser) -> None:
    await browser.sign_in()
    measures = life.measures(output=None, failure_reason="It ran out of memory.", failure_source="logs")
    result = life.result(states.FAILED, measures=measures)
    run = await life.settled_run(browser.database, result=result)
    said = await browser.text(f"/runs/{run.id}")
    assert "Why it failed. It ran out of memory. Read in the logs of the run." in said


async def test_the_timeline_says_in_words_what_happened_and_how_the_end_was_learnt(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    delivery = life.delivery(run_id=run.id, reason="the body is cut")
    await browser.database.write(receiving.accept_delivery, delivery)
    said = await browser.text(f"/runs/{run.id}?tab=timeline")
    for sentence in (
        "The run was accepted and stored with the key backend run.accepted",
        "It was settled by watcher: the upstream called the callback address",
        " : accepted, the body is cut",
        "took 1m 00s, cost $0.0030, 3 steps, 2 tool calls",
    ):
        assert sentence in said
    assert f'href="/deliveries/{delivery.id}"' in (await browser.get(f"/runs/{run.id}?tab=timeline")).text
    assert "accepted watcher callback the body is cut" in await browser.text(f"/runs/{run.id}?tab=deliveries")


def test_every_source_and_every_fact_about_a_run_has_words() -> None:
    assert set(words.SOURCES) == {each.value for each in states.Source}
    ledger = {each.value for each in entries.Kind if each.startswith(("run.", "delivery.", "content."))}
    sent = {f"notification.{each}" for each in typing.get_args(notification.State)}
    assert set(words.DEPLOYMENT) == {each.value for each in entries.Kind} - ledger
    assert set(words.KINDS) == ledger | sent | {f"delivery.{each}" for each in states.Verdict}


async def test_a_failure_without_a_failed_step_shows_its_reason_and_the_last_step(browser: Browser) -> None:
    await browser.sign_in()
    reason = "\n".join(f"line {number} of a trace" for number in range(40))
    measures = life.measures(output=None, failure_reason=reason)
    result = life.result(states.FAILED, steps=turn(0), measures=measures)
    run = await life.settled_run(browser.database, result=result)
    head, _, panel = (await browser.text(f"/runs/{run.id}")).partition("Timeline")
    assert "line 3 of a trace … All of it, 749 characters line 0 of a trace" in head
    assert "line 39" in head
    assert "No step of it failed, so the reason is one of the run as a whole: line 0 of a trace" in panel
    assert "Its last step is step 1–2, search_vault" in panel


async def test_a_summary_that_the_answer_has_is_not_said_twice(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0), output="The lease is **void**.", summary="The lease  is void.")
    other = await settled(browser, turn(0), output="The lease is valid.", summary="Nothing to do.")
    assert "Summary." not in await browser.text(f"/runs/{run.id}?tab=answer")
    assert "Summary. Nothing to do." in await browser.text(f"/runs/{other.id}?tab=answer")


async def test_a_run_is_printed_with_all_its_parts(browser: Browser) -> None:
    await browser.sign_in()
    steps = [*turn(0), *turn(3, error={"message": "timed out"})]
    run = await settled(browser, steps, output="# Opinion\n\nThe lease is void.")
    assert 'tab=all"' in (await browser.get(f"/runs/{run.id}")).text
    said = (await browser.text(f"/runs/{run.id}?tab=all")).partition("as they are printed")[2]
    parts = ("Opinion The", "Prompt", "Usage as", "No delivery", "The run was accepted", "Steps")
    places = [said.index(each) for each in parts]
    assert places == sorted(places)
    assert "1–2 search_vault" in said
    assert "4–5 search_vault, failed" in said
    assert 'force majeure → {"error":{"message":"timed out"}}' in said.replace(": ", ":")
    assert hashlib.sha256(b'{"status":"completed"}').hexdigest() in said


async def test_a_tab_that_is_printed_names_itself_and_its_run(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    assert f"Usage of run {run.id} , as shown on" in await browser.text(f"/runs/{run.id}?tab=usage")


async def test_a_pruned_run_keeps_its_measures_and_says_what_is_gone(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    await browser.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    said = await browser.text(f"/runs/{run.id}")
    assert "Its content was removed" in said
    assert "$0.0030" in said
    assert "Content of this run was removed" in await browser.text(f"/runs/{run.id}?tab=all")
    await browser.get(f"/runs/{run.id}/steps/0", 410)


async def test_the_document_is_saved_byte_for_byte(browser: Browser) -> None:
    await browser.sign_in()
    run = await settled(browser, turn(0))
    saved = await browser.get(f"/runs/{run.id}/document")
    assert saved.content == b'{"status":"completed"}'
    assert saved.headers["content-disposition"].startswith("attachment")


async def test_one_goes_to_the_next_run_of_the_list_one_came_from(browser: Browser) -> None:
    await browser.sign_in()
    made = [await life.accepted(browser.database, agent_id=agent) for agent in ("a_1", "a_2", "a_1")]
    page = (await browser.get(f"/runs/{made[2].id}?list=agent:a_1")).text
    assert f'/runs/{made[0].id}?list=agent%3Aa_1" data-run-key="J"' in page
    assert 'data-run-key="K"' not in page


async def test_a_list_that_cannot_be_read_only_takes_its_neighbours_away(browser: Browser) -> None:
    await browser.sign_in()
    run = await life.accepted(browser.database)
    await life.accepted(browser.database)
    assert "data-run-key" in (await browser.get(f"/runs/{run.id}")).text
    for asked in ("status:", "(((", "agnt:x", "status:odd"):
        assert "data-run-key" not in (await browser.get(f"/runs/{run.id}?list={asked}&sort=odd")).text


async def test_a_run_is_found_by_the_link_the_call_and_the_command_that_one_copies(
    browser: Browser, database_url: str
) -> None:
    key = await browser.deployment.new_key("copier", "read")
    await browser.client.post("/sign-in", data={"key": key})
    run = await settled(browser, turn(0))
    page = (await browser.get(f"/runs/{run.id}")).text
    link, call, command = (html.unescape(each) for each in re.findall(r'id="copy-\d".*?>(.*?)</pre>', page))
    assert run.id in await browser.text(link)
    *_, header, address = shlex.split(call)
    name, _, value = header.replace("$KEY", key).partition(": ")
    browser.client.cookies.clear()
    answer = await browser.client.get(address, headers={name: value, "accept": "*/*"})
    assert answer.json()["id"] == run.id
    program, *typed = shlex.split(command)
    environment = {"RUNLEDGER_DATABASE_URL": database_url}
    ran = await to_thread.run_sync(lambda: CliRunner().invoke(main.app, typed, prog_name=program, env=environment))
    assert run.id in ran.stdout
