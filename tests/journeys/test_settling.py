"""From the news of an end to the stored result."""

from __future__ import annotations

from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until


def test_a_callback_that_arrives_during_a_settle_is_not_swallowed(slow_house: story.House, nonce: str) -> None:
    run = slow_house.submit(nonce)
    slow_house.until_run(run, "running")
    slow_house.script({"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"})
    slow_house.refresh(run)
    slow_house.until_held("details", nonce)
    slow_house.sandbox.finish(slow_house.named(nonce)[0]["id"])
    until(lambda: slow_house.deliveries(run))
    assert slow_house.run(run)["status"] == "running"
    slow_house.release("details")
    judge(slow_house, nonce, settled_by="watcher")
    assert len(slow_house.calls("details", nonce)) == 2


def test_a_callback_during_a_settle_that_fails_is_not_swallowed(slow_house: story.House, nonce: str) -> None:
    run = slow_house.submit(nonce)
    slow_house.until_run(run, "running")
    slow_house.script(
        {"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"},
        {"route": "details", "prompt": nonce, "times": 2, "action": "status:500"},
    )
    slow_house.refresh(run)
    slow_house.until_held("details", nonce)
    slow_house.sandbox.finish(slow_house.named(nonce)[0]["id"])
    until(lambda: slow_house.deliveries(run))
    slow_house.release("details")
    judge(slow_house, nonce, settled_by="watcher")


def test_what_was_not_there_yet_is_fetched_again(house: story.House, nonce: str) -> None:
    house.sandbox.faults(incomplete_seconds=0.8)
    run = house.submit(nonce)
    settled = judge(house, nonce, settled_by="watcher")[0]
    assert settled["cost_micros"] is None
    filled = house.until_shown(run, lambda shown: shown["costMicros"])
    assert filled["output"]
    assert filled["inputTokens"] > 0
    assert filled["settledAt"] == house.run(run)["settledAt"]
    documents = house.server.rows("SELECT * FROM run_documents WHERE run_id = ?", run["id"])
    assert [each["version"] for each in documents] == [1, 2]
    assert house.told(run).count("run.document") == 1
    judge(house, nonce)


def test_a_refresh_of_a_settled_run_fetches_a_further_version(house: story.House, nonce: str) -> None:
    house.sandbox.faults(incomplete_fetches=3)
    run = house.submit(nonce)
    judge(house, nonce)
    for fetches in (2, 3, 4):
        house.refresh(run)
        _until_fetched(house, nonce, fetches)
    house.until_shown(run, lambda shown: shown["costMicros"])
    judge(house, nonce)


def _until_fetched(house: story.House, nonce: str, times: int) -> None:
    until(lambda: len(house.calls("details", nonce)) >= times)


def test_one_broken_run_does_not_stop_the_house(house: story.House, nonce: str) -> None:
    broken = f"broken_{nonce}"
    house.sandbox.faults(broken_runs=[broken])
    sick = house.submit(broken)
    until(lambda: house.server.rows("SELECT 1 FROM jobs WHERE run_id = ? AND last_error <> ''", sick["id"]))
    for at in range(5):
        house.submit(f"well{at}_{nonce}")
        judge(house, f"well{at}_{nonce}", settled_by="watcher")
        house.judge_calm()
    shown = house.api.get("/v1/jobs", params={"run": sick["id"]}).json()["jobs"]
    assert [(job["kind"], job["state"]) for job in shown] in ([("settle", "failing")], [("settle", "leased")])
    assert house.server.rows("SELECT pause_streak FROM house") in ([{"pause_streak": 0}], [])
    house.sandbox.faults(broken_runs=[])
    judge(house, broken, settled_by="watcher")


def test_a_broken_run_does_not_stop_the_sweep(swept_house: story.House, nonce: str) -> None:
    broken, well = f"broken_{nonce}", f"well_{nonce}"
    swept_house.sandbox.faults(callback_states=[])
    swept_house.script(
        {"route": "details", "prompt": broken, "action": "malformed"},
        {"route": "status", "prompt": broken, "action": "truncated"},
    )
    swept_house.submit(broken)
    swept_house.until_named(broken, "completed")
    swept_house.submit(well)
    judge(swept_house, well, settled_by="sweep")
    swept_house.script()
    judge(swept_house, broken)


def test_a_settled_run_that_the_upstream_knows_no_longer_keeps_its_end(house: story.House, nonce: str) -> None:
    run = house.submit(nonce)
    judge(house, nonce)
    house.sandbox.faults(not_found=[nonce])
    house.refresh(run)
    asked = house.until_shown(run, lambda shown: shown["refreshRequestedAt"] is None)
    assert asked["status"] == "completed"
    assert house.told(run).count("run.conflict") == 1
    house.sandbox.faults(not_found=[])
    judge(house, nonce)
