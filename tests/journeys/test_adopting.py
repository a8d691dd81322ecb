"""Runs that were created elsewhere: taken care of in whatever state they are, and never executed by us."""

from __future__ import annotations

import pytest

from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site


def test_a_queued_run_is_watched_and_left_to_whoever_executes_it(house: story.House, nonce: str) -> None:
    upstream_id = house.elsewhere(nonce)
    run = house.adopt(upstream_id)
    assert house.until_run(run, "queued")["origin"] == "adopted"
    house.until_shown(run, lambda shown: shown["watched"])
    assert house.named(nonce)[0]["status"] == "queued"
    assert not house.calls("exec", nonce)
    house.execute(upstream_id)
    settled = judge(house, nonce, settled_by="watcher")[0]
    assert settled["prompt"].endswith(nonce)


def test_a_running_run_is_followed_to_its_end(slow_house: story.House, nonce: str) -> None:
    upstream_id = slow_house.elsewhere(nonce)
    slow_house.execute(upstream_id)
    run = slow_house.adopt(upstream_id)
    slow_house.until_run(run, "running")
    slow_house.until_shown(run, lambda shown: shown["watched"])
    slow_house.sandbox.finish(upstream_id)
    judge(slow_house, nonce, settled_by="watcher")


def test_an_end_just_before_the_watcher_is_registered_is_not_missed(slow_house: story.House, nonce: str) -> None:
    upstream_id = slow_house.elsewhere(nonce)
    slow_house.execute(upstream_id)
    slow_house.script({"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"})
    slow_house.adopt(upstream_id)
    slow_house.until_held("details", nonce)
    slow_house.sandbox.finish(upstream_id)
    slow_house.release("details")
    judge(slow_house, nonce, settled_by="request")


def test_a_spent_limit_while_a_watcher_is_registered_is_waited_out(slow_house: story.House, nonce: str) -> None:
    upstream_id = slow_house.elsewhere(nonce)
    slow_house.execute(upstream_id)
    slow_house.script({"route": "status", "prompt": nonce, "action": "status:429"})
    run = slow_house.adopt(upstream_id)
    slow_house.until_troubled("429")
    slow_house.script()
    slow_house.until_shown(run, lambda shown: shown["watched"])
    slow_house.sandbox.finish(upstream_id)
    judge(slow_house, nonce, settled_by="watcher")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_an_ended_run_is_stored_at_once(slow_house: story.House, nonce: str, status: str) -> None:
    upstream_id = slow_house.elsewhere(nonce)
    slow_house.execute(upstream_id)
    slow_house.sandbox.finish(upstream_id, status)
    run = slow_house.adopt(upstream_id)
    judge(slow_house, nonce, status=status, settled_by="request")
    assert slow_house.run(run)["agentId"] == slow_house.agent
    assert not slow_house.named(nonce)[0]["watchers"]


def test_an_unknown_run_is_refused(house: story.House, nonce: str) -> None:
    run = house.adopt(f"run_{nonce}")
    refused = house.until_run(run, "refused")
    assert refused["failureReason"]
    until(lambda: not house.server.rows("SELECT 1 FROM jobs WHERE run_id = ?", run["id"]))
    assert house.told(run).count("run.refused") == 1


def test_a_known_run_answers_its_record(house: story.House, nonce: str) -> None:
    run = house.submit(nonce)
    judge(house, nonce)
    known = house.adopt(house.named(nonce)[0]["id"])
    assert (known["id"], known["origin"]) == (run["id"], "submitted")
    judge(house, nonce)


def test_an_adoption_waits_while_the_upstream_is_down(house: story.House, nonce: str) -> None:
    upstream_id = house.elsewhere(nonce)
    house.execute(upstream_id)
    house.sandbox.faults(down=True)
    run = house.adopt(upstream_id)
    house.until_troubled()
    assert house.run(run)["status"] == "accepted"
    house.sandbox.faults(down=False)
    judge(house, nonce)


def test_an_event_about_an_unknown_run_waits_for_it_to_become_ours(house: story.House, nonce: str) -> None:
    house.sandbox.faults(event_states=["completed"])
    upstream_id = house.elsewhere(nonce)
    house.execute(upstream_id)
    waiting = "SELECT * FROM deliveries WHERE upstream_id = ? AND run_id IS NULL"
    kept = until(lambda: house.server.rows(waiting, upstream_id))[0]
    assert kept["verdict"] == "accepted"
    run = house.adopt(upstream_id)
    judge(house, nonce)
    assert [each["id"] for each in house.deliveries(run)] == [kept["id"]]
    assert not house.server.rows(waiting, upstream_id)


def test_the_sweep_adopts_strangers_that_are_no_longer_queued(site: Site, nonce: str) -> None:
    with story.opened(site, timing={"sweep": 0.2}, adopt="all", switches=story.GOOD_DAY) as house:
        queued = house.elsewhere(f"queued_{nonce}")
        started = house.elsewhere(f"started_{nonce}")
        house.execute(started)
        settled = judge(house, f"started_{nonce}")[0]
        assert (settled["origin"], settled["submitted_by"]) == ("adopted", "sweep")
        house.submit(f"ours_{nonce}")
        judge(house, f"ours_{nonce}")
        assert house.sandbox.run(queued)["status"] == "queued"
        assert not house.server.rows("SELECT 1 FROM upstream_links WHERE upstream_id = ?", queued)
        house.execute(queued)
        judge(house, f"queued_{nonce}")
