"""Two runs beside each other."""

from __future__ import annotations

import dataclasses

import pytest

from receiver.pages.drawing import differences
from tests import life
from tests.receiver.pages.browsing import Browser

pytestmark = pytest.mark.anyio


async def test_two_runs_are_compared_by_measures_texts_and_steps(browser: Browser) -> None:
    await browser.sign_in()
    steps = [dataclasses.replace(each, tool_name=f"tool_{each.position}") for each in life.steps(3)]
    first = await life.settled_run(browser.database, prompt="Review the old lease.")
    dear = life.result(measures=life.measures(cost_micros=6000, output="The lease is valid."), steps=steps)
    second = await life.settled_run(browser.database, prompt="Review the new lease.", result=dear)
    shown = (await browser.get(f"/compare?a={first.id}&b={second.id}")).text
    for part in ("<del>old</del><ins>new</ins>", "<del>void</del><ins>valid</ins>", "+100 %", "tool_2"):
        assert part in shown


async def test_answers_are_compared_as_they_read_and_their_sources_on_request(browser: Browser) -> None:
    await browser.sign_in()
    runs = [
        await life.settled_run(browser.database, result=life.result(measures=life.measures(output=output)))
        for output in ("# Opinion\n\nThe lease is **void**.", "# Opinion\n\nThe lease is *void*.")
    ]
    address = f"/compare?a={runs[0].id}&b={runs[1].id}"
    said = await browser.text(address)
    assert "reads the same in both, but the sources differ in their marks" in said
    assert "**" not in said
    assert "only in the first" in await browser.text(f"{address}&as=raw")


async def test_the_form_proposes_the_runs_of_the_agent_and_those_that_run_it_again(browser: Browser) -> None:
    await browser.sign_in()
    first = await life.accepted(browser.database, prompt="The one before.")
    run = await life.accepted(browser.database, prompt="Read it.")
    again = await life.accepted(browser.database, prompt="Read it once more.", again_of=run.id)
    said = await browser.text(f"/compare?a={run.id}")
    assert "The run of its agent before it The one before." in said
    assert "Its text, run again Read it once more." in said
    assert "The run that it runs again" in await browser.text(f"/compare?a={again.id}")
    assert "Measures" in await browser.text(
        f"/compare?a={run.id}&b=http://runledger.test/runs/{first.id}?tab=usage"
    )


async def test_an_unknown_run_and_a_missing_one_show_the_way_on(browser: Browser) -> None:
    await browser.sign_in()
    run = await life.accepted(browser.database)
    assert "no run with that id" in await browser.text(f"/compare?a={run.id}&b=nothing", 404)
    assert "Second run" in await browser.text(f"/compare?a={run.id}")
    assert "letters, digits" in await browser.text(f"/compare?a={run.id}&b=%3Cb%3E")


def test_the_pieces_of_two_texts_are_both_texts() -> None:
    first, second = "One.\nTwo words here.\n\nThree.", "One.\nTwo other words.\nFour.\n"
    pieces = differences.of_texts(first, second)
    assert "".join(each.text for each in pieces if each.kind != "added") == first
    assert "".join(each.text for each in pieces if each.kind != "removed") == second
