"""The endpoint for platform events is registered, rotated, disabled and resumed while the server runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from receiver import errors
from tests.journeys import posting, registering, story
from tests.journeys.conftest import Houses, Sites
from tests.journeys.judging import judge
from tests.patience import until
from tests.receiver.cli import desk

T = TypeVar("T")


@pytest.fixture(scope="module")
def standing_houses(sites: Sites) -> Iterator[Houses]:
    """One server for these journeys; it was started without any secret and is not started again."""
    with story.shared(sites, registering.opened) as opened:
        yield opened


@pytest.fixture
def house(standing_houses: Houses, kind: str) -> Iterator[story.House]:
    """The server with nothing registered."""
    opened = standing_houses(kind)
    yield opened
    opened.sandbox.faults(script=[], auto_disable_after=50, **registering.SWITCHES)
    registering.forget(opened)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Where a command waits for the upstream's answer."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def ended(house: story.House, nonce: str) -> story.Row:
    """A run that has just ended upstream, so that an event of it is on its way."""
    run = house.until_run(house.submit(nonce), "running")
    house.sandbox.finish(run["upstreamId"])
    return run


def answers(house: story.House, run: story.Row) -> list[int]:
    """What was answered so far to the event of a run, oldest first."""
    sent = [each for each in house.sandbox.sent("event") if each["run"] == run["upstreamId"]]
    return [each["status"] for each in sent if each["status"] is not None]


def until_taken(house: story.House, run: story.Row) -> list[int]:
    """The same, once the last of them was that we have it."""
    until(lambda: answers(house, run)[-1:] == [200], why="the event of the run was not taken")
    return answers(house, run)


def forged(house: story.House, nonce: str) -> int:
    """What a forgery is answered."""
    body = posting.event("run_1", f"evt_{nonce}")
    return posting.post_event(house, body, posting.signed(house, body, key=posting.ANY_KEY)).status_code


def secrets_used(house: story.House, run: story.Row) -> set[str]:
    return {row["secret_used"] for row in house.deliveries(run)}


def held(house: story.House, aside: ThreadPoolExecutor, route: str, command: Callable[[], T]) -> Future[T]:
    """A command whose work is done upstream, and whose answer waits for a release."""
    house.script({"route": route, "action": "hold_answer", "times": 1})
    under_way = aside.submit(command)
    until(house.sandbox.held)
    return under_way


def test_what_is_registered_while_the_server_runs_verifies_at_once(house: story.House, nonce: str) -> None:
    assert forged(house, nonce) == 503  # nobody can tell yet
    done = registering.register(house)
    run = ended(house, nonce)
    judge(house, nonce, settled_by="platform")
    assert (done.outcome, until_taken(house, run)) == ("created", [200])
    assert forged(house, nonce) == 401


def test_registering_again_finds_what_is_there(house: story.House, nonce: str) -> None:
    first, second = registering.register(house), registering.register(house)
    assert (second.outcome, second.endpoint.upstream_id) == ("known", first.endpoint.upstream_id)
    assert len(house.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")


def test_an_event_that_comes_before_its_secret_is_sent_again(
    house: story.House, aside: ThreadPoolExecutor, nonce: str
) -> None:
    under_way = held(house, aside, "endpoints.create", lambda: registering.register(house))
    run = ended(house, nonce)
    until(lambda: answers(house, run))
    assert (set(answers(house, run)), forged(house, nonce)) == ({503}, 503)
    house.sandbox.release()
    under_way.result()
    judge(house, nonce, settled_by="platform")
    until_taken(house, run)


@pytest.mark.parametrize("grace", [0, 3600])
def test_a_rotation_under_traffic_loses_no_event(
    house: story.House, aside: ThreadPoolExecutor, nonce: str, grace: int
) -> None:
    """Before it, while its answer is on its way, and after it. Without grace the old secret signs no more."""
    registering.register(house)
    endpoint = registering.standing(house)
    before = ended(house, f"before_{nonce}")
    judge(house, f"before_{nonce}", settled_by="platform")
    rotate = lambda: registering.operate(house, lambda desk: desk.rotate(endpoint, grace))  # noqa: E731
    under_way = held(house, aside, "endpoints.rotate_secret", rotate)
    during = ended(house, f"during_{nonce}")
    until(lambda: answers(house, during))
    assert answers(house, during)[0] == (200 if grace else 503)
    house.sandbox.release()
    under_way.result()
    after = ended(house, f"after_{nonce}")
    for which in ("during", "after"):
        judge(house, f"{which}_{nonce}", settled_by="platform")
    sent = {status for run in (before, during, after) for status in until_taken(house, run)}
    assert sent == ({200} if grace else {200, 503})
    assert grace or secrets_used(house, before) != secrets_used(house, after)


def test_a_registration_whose_answer_is_lost_is_mended_by_the_next(house: story.House, nonce: str) -> None:
    house.script({"route": "endpoints.create", "action": "lose_answer", "times": 1})
    with pytest.raises(errors.NoAnswer):
        registering.register(house)
    run = ended(house, nonce)
    until(lambda: answers(house, run))
    mended = registering.register(house)
    judge(house, nonce, settled_by="platform")
    assert mended.outcome == "recovered"
    assert set(until_taken(house, run)) == {503, 200}
    assert len(house.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1


def test_a_rotation_whose_answer_is_lost_is_mended_by_registering(house: story.House, nonce: str) -> None:
    registering.register(house)
    endpoint = registering.standing(house)
    house.script({"route": "endpoints.rotate_secret", "action": "truncated", "times": 1})
    with pytest.raises(errors.Unreadable):
        registering.operate(house, lambda desk: desk.rotate(endpoint, 0))
    run = ended(house, nonce)
    until(lambda: answers(house, run))
    assert registering.register(house).outcome == "recovered"
    judge(house, nonce, settled_by="platform")
    assert set(until_taken(house, run)) == {503, 200}


def test_a_registration_that_is_refused_leaves_nothing_behind(house: story.House, nonce: str) -> None:
    house.script({"route": "endpoints.create", "action": "status:403", "times": 1})
    with pytest.raises(errors.Answered):
        registering.register(house)
    assert house.server.rows("SELECT * FROM webhook_endpoints WHERE removed_at IS NULL") == []
    assert registering.register(house).outcome == "created"


def test_an_endpoint_that_was_made_by_hand_is_taken_over(house: story.House, nonce: str) -> None:
    story.register(house.upstream, house.server)
    assert registering.register(house).outcome == "recovered"
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")


def test_an_endpoint_that_hears_of_other_things_is_mended(house: story.House, nonce: str) -> None:
    wanted = {"url": registering.url(house), "eventTypeFilters": ["ocr.*", "agent.run.failed"]}
    house.upstream.post("/webhooks/v1/endpoints", json=wanted).raise_for_status()
    assert registering.register(house).mended == ("it was not sent agent.run.*",)
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")


def test_an_endpoint_is_moved_with_the_public_address(house: story.House, nonce: str) -> None:
    registering.operate(house, lambda desk: desk.register("http://127.0.0.1:9/webhooks/case"))
    moved = registering.register(house)
    assert (moved.outcome, moved.endpoint.url) == ("known", registering.url(house))
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")


def test_an_endpoint_that_was_deleted_upstream_is_made_anew(house: story.House, nonce: str) -> None:
    first = registering.register(house)
    house.upstream.delete(f"/webhooks/v1/endpoints/{first.endpoint.upstream_id}").raise_for_status()
    until(lambda: "gone upstream" in " ".join(warnings(house)))
    second = registering.register(house)
    assert (second.outcome, second.endpoint.id != first.endpoint.id) == ("created", True)
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")


def warnings(house: story.House) -> list[str]:
    """What the readiness warns of."""
    found: list[str] = house.api.get("/readyz").json()["warnings"]
    return found


def test_what_was_missed_while_the_endpoint_was_disabled_is_replayed_once(house: story.House, nonce: str) -> None:
    registering.register(house)
    endpoint = registering.standing(house)
    change(house, endpoint.upstream_id, status="disabled")
    until(lambda: "is disabled upstream" in " ".join(warnings(house)))
    until(lambda: house.ready() == (200, []), why="an endpoint that is disabled is no reason not to be ready")
    assert "runledger_webhook_disabled 1.0" in house.api.get("/metrics").text
    run = ended(house, nonce)
    assert (answers(house, run), house.run(run)["status"]) == ([], "running")
    registering.operate(house, lambda desk: desk.resume(endpoint))
    (missed,) = registering.operate(house, lambda desk: desk.missed(endpoint))
    assert registering.operate(house, lambda desk: desk.replay(missed))
    until(lambda: house.deliveries(run))
    assert registering.operate(house, lambda desk: desk.missed(endpoint)) == []
    assert [row["event_id"] for row in house.deliveries(run)] == [missed.event_id]
    until(lambda: not warnings(house))
    judge(house, nonce, settled_by=None)


def change(house: story.House, upstream_id: str | None, **changes: Any) -> None:
    """Somebody changes the endpoint upstream."""
    house.upstream.patch(f"/webhooks/v1/endpoints/{upstream_id}", json=changes).raise_for_status()


def test_a_secret_that_cannot_be_opened_is_named_and_costs_no_event(house: story.House, nonce: str) -> None:
    """It was sealed under other keys than the server's. Everything else goes on."""
    registering.operate(house, lambda desk: desk.register(registering.url(house)), keys=("another key",))
    run = ended(house, nonce)
    until(lambda: answers(house, run))
    assert (set(answers(house, run)), forged(house, nonce)) == ({503}, 503)
    (warning,) = warnings(house)
    assert "RUNLEDGER_SECRET_KEYS" in warning
    until(lambda: "webhook_secret_unusable" in house.server.log.read_text())
    endpoint = registering.standing(house)
    registering.operate(house, lambda desk: desk.rotate(endpoint, 0))
    judge(house, nonce, settled_by="platform")
    until_taken(house, run)


def test_the_command_proves_the_way_into_the_database(house: story.House) -> None:
    registering.register(house)
    environment = {
        "CASEDEV_API_KEY": "sk_case_test",
        "CASEDEV_BASE_URL": house.sandbox.url,
        **house.server.site.environment,
    }
    done = desk.process("webhooks", "test", "--json", folder=house.server.folder, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)
    (row,) = house.server.rows("SELECT * FROM deliveries WHERE event_type = 'webhook.test'")
    assert (row["verdict"], row["run_id"], told["deliveryId"]) == ("accepted", None, row["id"])
    assert told["signedWith"] == [row["secret_used"]]


def test_a_check_that_these_routes_refuse_stops_nothing_else(house: story.House, nonce: str) -> None:
    registering.register(house)
    house.script({"route": "endpoints.get", "action": "status:401"})
    until(lambda: "could not be looked at" in " ".join(warnings(house)))
    ended(house, nonce)
    judge(house, nonce, settled_by="platform")
    house.script()
    until(lambda: not warnings(house))


def crossing(house: story.House, route: str, *words: str) -> list[str]:
    """Two real commands at once: the answer to one is held until the other one waits. What they print."""
    house.script({"route": route, "action": "hold_answer", "times": 1})
    with (
        registering.command(house, *words) as one,
        registering.command(house, *words) as other,
        ThreadPoolExecutor(2) as aside,
    ):
        both = (one, other)
        said = [aside.submit(_errors, each) for each in both]
        until(lambda: house.sandbox.held() and any(each.done() for each in said))
        house.sandbox.release()
        assert [each.wait(60) for each in both] == [0, 0]
        assert sum(b"waiting for it to end" in each.result() for each in said) == 1
        return sorted(each.stdout.read().decode() for each in both if each.stdout is not None)


def _errors(command: subprocess.Popen[bytes]) -> bytes:
    """The first line of a command's errors."""
    assert command.stderr is not None
    return command.stderr.readline()


def test_two_rotations_that_cross_go_one_after_the_other_and_lose_no_event(house: story.House, nonce: str) -> None:
    registering.register(house)
    crossing(house, "endpoints.rotate_secret", "rotate", "--grace", "0s")
    run = ended(house, nonce)
    judge(house, nonce, settled_by="platform")
    assert (until_taken(house, run), forged(house, nonce)) == ([200], 401)


def test_two_registrations_at_once_make_one_endpoint(house: story.House) -> None:
    said = [json.loads(each) for each in crossing(house, "endpoints.create", "register", "--json")]
    assert sorted(each["outcome"] for each in said) == ["created", "known"]
    assert len(house.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1


def test_a_rotation_that_was_killed_before_its_answer_is_mended_by_registering(
    house: story.House, nonce: str
) -> None:
    registering.register(house)
    house.script({"route": "endpoints.rotate_secret", "action": "hold_answer", "times": 1})
    with registering.command(house, "rotate", "--grace", "0s"):
        until(house.sandbox.held)
    run = ended(house, nonce)
    until(lambda: answers(house, run))
    registering.lapse(house)
    assert registering.register(house).outcome == "recovered"
    judge(house, nonce, settled_by="platform")
    assert set(until_taken(house, run)) == {503, 200}
