"""A wish to cancel, in every state of a run: it ends here at once, or as the upstream says."""

from __future__ import annotations

from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until

UNAVAILABLE = "status:503"


def test_a_run_that_someone_else_cancels_before_exec_is_never_executed(house: story.House, nonce: str) -> None:
    house.script({"route": "exec", "prompt": nonce, "action": UNAVAILABLE})
    run = house.submit(nonce)
    house.until_run(run, "queued")
    house.upstream.post(f"/agent/v1/run/{house.until_named(nonce)['id']}/cancel").raise_for_status()
    house.script()
    judge(house, nonce, status="cancelled", execs=0)


def test_while_the_upstream_is_down_a_cancelled_run_is_never_created(house: story.House, nonce: str) -> None:
    house.sandbox.faults(down=True)
    run = house.submit(nonce)
    house.until_troubled()
    assert house.cancel(run, 200)["status"] == "cancelled"
    house.sandbox.faults(down=False)
    judge(house, nonce, status="cancelled", settled_by="request", execs=0)
    assert house.named(nonce) == []


def test_a_create_that_was_under_way_at_the_cancel_leaves_an_orphan(house: story.House, nonce: str) -> None:
    house.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold"})
    run = house.submit(nonce)
    house.until_held("create", nonce)
    assert house.cancel(run, 200)["status"] == "cancelled"
    house.release("create")
    until(lambda: "run.orphan" in house.told(run))
    judge(house, nonce, status="cancelled", settled_by="request", execs=0)
    assert house.named(nonce)[0]["status"] == "cancelled"


def test_a_lost_create_then_a_cancel_while_all_is_down_is_cleaned_up(swept_house: story.House, nonce: str) -> None:
    swept_house.script({"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"})
    swept_house.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"}, {"action": "refuse_before"}
    )
    run = swept_house.submit(nonce)
    swept_house.until_named(nonce, "queued")
    swept_house.cancel(run, 200)
    swept_house.script()
    judge(swept_house, nonce, status="cancelled", settled_by="request", execs=0)


def test_a_callback_for_a_run_without_an_upstream_id_leaves_no_work_behind(house: story.House, nonce: str) -> None:
    house.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"},
        {"route": "list", "action": "status:500"},
    )
    run = house.submit(nonce)
    house.upstream.post(f"/agent/v1/run/{house.until_named(nonce)['id']}/cancel").raise_for_status()
    until(lambda: house.deliveries(run))
    assert house.cancel(run, 200)["status"] == "cancelled"
    house.script()
    judge(house, nonce, status="cancelled", settled_by="request", execs=0)


def test_a_queued_run_whose_exec_fails_can_be_cancelled(house: story.House, nonce: str) -> None:
    house.script({"route": "exec", "prompt": nonce, "action": UNAVAILABLE})
    run = house.submit(nonce)
    house.until_run(run, "queued")
    assert house.cancel(run)["cancelRequestedAt"]
    judge(house, nonce, status="cancelled", execs=0)
    assert house.told(run).count("run.cancel_requested") == 1


def test_a_cancel_that_overtakes_exec_wins(house: story.House, nonce: str) -> None:
    house.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold"})
    run = house.submit(nonce)
    house.until_held("exec", nonce)
    house.cancel(run)
    house.until_named(nonce, "cancelled")
    house.release("exec")
    judge(house, nonce, status="cancelled", execs=0)


def test_a_cancel_while_exec_is_answered_slowly_ends_a_running_run(house: story.House, nonce: str) -> None:
    house.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold_answer"})
    house.sandbox.faults(callback_delay=0.2)
    run = house.submit(nonce)
    house.until_held("exec", nonce)
    house.cancel(run)
    house.release("exec")
    settled = "SELECT * FROM runs WHERE id = ? AND settled_at IS NOT NULL"
    ended = until(lambda: house.server.rows(settled, run["id"]))[0]
    judge(house, nonce, status=ended["status"])
    assert house.named(nonce)[0]["status"] == ended["status"]


def test_a_running_run_is_cancelled_upstream(slow_house: story.House, nonce: str) -> None:
    slow_house.sandbox.faults(callback_states=["completed", "failed"])
    run = slow_house.submit(nonce)
    slow_house.until_run(run, "running")
    assert slow_house.cancel(run)["status"] == "running"
    judge(slow_house, nonce, status="cancelled", settled_by="request")
    assert slow_house.named(nonce)[0]["status"] == "cancelled"
    assert slow_house.cancel(run, 200)["status"] == "cancelled"


def test_a_running_adopted_run_is_cancelled_upstream(slow_house: story.House, nonce: str) -> None:
    upstream_id = slow_house.elsewhere(nonce)
    slow_house.execute(upstream_id)
    run = slow_house.adopt(upstream_id)
    slow_house.cancel(run)
    judge(slow_house, nonce, status="cancelled")


def test_a_completed_run_stays_as_it_is(house: story.House, nonce: str) -> None:
    run = house.submit(nonce)
    judge(house, nonce)
    before = house.run(run)
    assert house.cancel(run, 200) == before
    judge(house, nonce)
    assert not house.calls("cancel", nonce)


def test_a_refused_run_stays_as_it_is(house: story.House, nonce: str) -> None:
    run = house.submit(nonce, agentId="agent_of_nobody")
    house.until_run(run, "refused")
    assert house.cancel(run, 200)["status"] == "refused"
    judge(house, nonce, status="refused", execs=0)


def test_a_cancel_while_create_is_being_refused_ends_as_cancelled(house: story.House, nonce: str) -> None:
    house.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold"})
    run = house.submit(nonce, agentId="agent_of_nobody")
    house.until_held("create", nonce)
    assert house.cancel(run, 200)["status"] == "cancelled"
    house.release("create")
    judge(house, nonce, status="cancelled", settled_by="request", execs=0)
    assert house.named(nonce) == []
