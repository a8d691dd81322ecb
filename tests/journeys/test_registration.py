"""The endpoint for platform events is registered, rotated, disabled and resumed while the server runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from receiver import errors
from tests.journeys import harness, posting, registering
from tests.journeys.conftest import Deployments, Sites
from tests.journeys.judging import judge
from tests.patience import until
from tests.receiver.cli import terminal

T = TypeVar("T")


@pytest.fixture(scope="module")
def standing_deployments(sites: Sites) -> Iterator[Deployments]:
    """One server for these journeys; it was started without any secret and is not started again."""
    with harness.shared(sites, registering.opened) as opened:
        yield opened


@pytest.fixture
def deployment(standing_deployments: Deployments, kind: str) -> Iterator[harness.Deployment]:
    """The server with nothing registered."""
    opened = standing_deployments(kind)
    yield opened
    opened.sandbox.faults(script=[], auto_disable_after=50, **registering.SWITCHES)
    registering.forget(opened)


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Where a command waits for the upstream's answer."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


def ended(deployment: harness.Deployment, nonce: str) -> harness.Row:
    """A run that has just ended upstream, so that an event of it is on its way."""
    run = deployment.until_run(deployment.submit(nonce), "running")
    deployment.sandbox.finish(run["upstreamId"])
    return run


def answers(deployment: harness.Deployment, run: harness.Row) -> list[int]:
    """What was answered so far to the event of a run, oldest first."""
    sent = [each for each in deployment.sandbox.sent("event") if each["run"] == run["upstreamId"]]
    return [each["status"] for each in sent if each["status"] is not None]


def until_taken(deployment: harness.Deployment, run: harness.Row) -> list[int]:
    """The same, once the last of them was that we have it."""
    until(lambda: answers(deployment, run)[-1:] == [200], why="the event of the run was not taken")
    return answers(deployment, run)


def forged(deployment: harness.Deployment, nonce: str) -> int:
    """What a forgery is answered."""
    body = posting.event("run_1", f"evt_{nonce}")
    return posting.post_event(deployment, body, posting.signed(deployment, body, key=posting.ANY_KEY)).status_code


def secrets_used(deployment: harness.Deployment, run: harness.Row) -> set[str]:
    return {row["secret_used"] for row in deployment.deliveries(run)}


def held(
    deployment: harness.Deployment, aside: ThreadPoolExecutor, route: str, command: Callable[[], T]
) -> Future[T]:
    """A command whose work is done upstream, and whose answer waits for a release."""
    deployment.script({"route": route, "action": "hold_answer", "times": 1})
    under_way = aside.submit(command)
    until(deployment.sandbox.held)
    return under_way


def test_what_is_registered_while_the_server_runs_verifies_at_once(
    deployment: harness.Deployment, nonce: str
) -> None:
    assert forged(deployment, nonce) == 503  # nobody can tell yet
    done = registering.register(deployment)
    run = ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")
    assert (done.outcome, until_taken(deployment, run)) == ("created", [200])
    assert forged(deployment, nonce) == 401


def test_registering_again_finds_what_is_there(deployment: harness.Deployment, nonce: str) -> None:
    first, second = registering.register(deployment), registering.register(deployment)
    assert (second.outcome, second.endpoint.upstream_id) == ("known", first.endpoint.upstream_id)
    assert len(deployment.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")


def test_an_event_that_comes_before_its_secret_is_sent_again(
    deployment: harness.Deployment, aside: ThreadPoolExecutor, nonce: str
) -> None:
    under_way = held(deployment, aside, "endpoints.create", lambda: registering.register(deployment))
    run = ended(deployment, nonce)
    until(lambda: answers(deployment, run))
    assert (set(answers(deployment, run)), forged(deployment, nonce)) == ({503}, 503)
    deployment.sandbox.release()
    under_way.result()
    judge(deployment, nonce, settled_by="platform")
    until_taken(deployment, run)


@pytest.mark.parametrize("grace", [0, 3600])
def test_a_rotation_under_traffic_loses_no_event(
    deployment: harness.Deployment, aside: ThreadPoolExecutor, nonce: str, grace: int
) -> None:
    """Before it, while its answer is on its way, and after it. Without grace the old secret signs no more."""
    registering.register(deployment)
    endpoint = registering.standing(deployment)
    before = ended(deployment, f"before_{nonce}")
    judge(deployment, f"before_{nonce}", settled_by="platform")
    rotate = lambda: registering.operate(deployment, lambda registrar: registrar.rotate(endpoint, grace))  # noqa: E731
    under_way = held(deployment, aside, "endpoints.rotate_secret", rotate)
    during = ended(deployment, f"during_{nonce}")
    until(lambda: answers(deployment, during))
    assert answers(deployment, during)[0] == (200 if grace else 503)
    deployment.sandbox.release()
    under_way.result()
    after = ended(deployment, f"after_{nonce}")
    for which in ("during", "after"):
        judge(deployment, f"{which}_{nonce}", settled_by="platform")
    sent = {status for run in (before, during, after) for status in until_taken(deployment, run)}
    assert sent == ({200} if grace else {200, 503})
    assert grace or secrets_used(deployment, before) != secrets_used(deployment, after)


def test_a_registration_whose_answer_is_lost_is_mended_by_the_next(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "endpoints.create", "action": "lose_answer", "times": 1})
    with pytest.raises(errors.UpstreamUnreachable):
        registering.register(deployment)
    run = ended(deployment, nonce)
    until(lambda: answers(deployment, run))
    mended = registering.register(deployment)
    judge(deployment, nonce, settled_by="platform")
    assert mended.outcome == "recovered"
    assert set(until_taken(deployment, run)) == {503, 200}
    assert len(deployment.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1


def test_a_rotation_whose_answer_is_lost_is_mended_by_registering(
    deployment: harness.Deployment, nonce: str
) -> None:
    registering.register(deployment)
    endpoint = registering.standing(deployment)
    deployment.script({"route": "endpoints.rotate_secret", "action": "truncated", "times": 1})
    with pytest.raises(errors.InvalidResponse):
        registering.operate(deployment, lambda registrar: registrar.rotate(endpoint, 0))
    run = ended(deployment, nonce)
    until(lambda: answers(deployment, run))
    assert registering.register(deployment).outcome == "recovered"
    judge(deployment, nonce, settled_by="platform")
    assert set(until_taken(deployment, run)) == {503, 200}


def test_a_registration_that_is_refused_leaves_nothing_behind(deployment: harness.Deployment, nonce: str) -> None:
    deployment.script({"route": "endpoints.create", "action": "status:403", "times": 1})
    with pytest.raises(errors.UpstreamStatusError):
        registering.register(deployment)
    assert deployment.server.rows("SELECT * FROM webhook_endpoints WHERE removed_at IS NULL") == []
    assert registering.register(deployment).outcome == "created"


def test_an_endpoint_that_was_made_by_hand_is_taken_over(deployment: harness.Deployment, nonce: str) -> None:
    harness.register(deployment.upstream, deployment.server)
    assert registering.register(deployment).outcome == "recovered"
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")


def test_an_endpoint_with_other_event_filters_is_corrected(deployment: harness.Deployment, nonce: str) -> None:
    wanted = {"url": registering.url(deployment), "eventTypeFilters": ["ocr.*", "agent.run.failed"]}
    deployment.upstream.post("/webhooks/v1/endpoints", json=wanted).raise_for_status()
    assert registering.register(deployment).corrections == ("it was not sent agent.run.*",)
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")


def test_an_endpoint_is_moved_with_the_public_address(deployment: harness.Deployment, nonce: str) -> None:
    registering.operate(deployment, lambda registrar: registrar.register("http://127.0.0.1:9/webhooks/case"))
    moved = registering.register(deployment)
    assert (moved.outcome, moved.endpoint.url) == ("known", registering.url(deployment))
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")


def test_an_endpoint_that_was_deleted_upstream_is_made_again(deployment: harness.Deployment, nonce: str) -> None:
    first = registering.register(deployment)
    deployment.upstream.delete(f"/webhooks/v1/endpoints/{first.endpoint.upstream_id}").raise_for_status()
    until(lambda: "gone upstream" in " ".join(warnings(deployment)))
    second = registering.register(deployment)
    assert (second.outcome, second.endpoint.id != first.endpoint.id) == ("created", True)
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")


def warnings(deployment: harness.Deployment) -> list[str]:
    """What the readiness warns of."""
    found: list[str] = deployment.api.get("/readyz").json()["warnings"]
    return found


def test_what_was_missed_while_the_endpoint_was_disabled_is_replayed_once(
    deployment: harness.Deployment, nonce: str
) -> None:
    registering.register(deployment)
    endpoint = registering.standing(deployment)
    change(deployment, endpoint.upstream_id, status="disabled")
    until(lambda: "is disabled upstream" in " ".join(warnings(deployment)))
    until(lambda: deployment.ready() == (200, []), why="an endpoint that is disabled is no reason not to be ready")
    assert "runledger_webhook_disabled 1.0" in deployment.api.get("/metrics").text
    run = ended(deployment, nonce)
    assert (answers(deployment, run), deployment.run(run)["status"]) == ([], "running")
    registering.operate(deployment, lambda registrar: registrar.resume(endpoint))
    (missed,) = registering.operate(deployment, lambda registrar: registrar.missed(endpoint))
    assert registering.operate(deployment, lambda registrar: registrar.replay(missed))
    until(lambda: deployment.deliveries(run))
    assert registering.operate(deployment, lambda registrar: registrar.missed(endpoint)) == []
    assert [row["event_id"] for row in deployment.deliveries(run)] == [missed.event_id]
    until(lambda: not warnings(deployment))
    judge(deployment, nonce, settled_by=None)


def change(deployment: harness.Deployment, upstream_id: str | None, **changes: Any) -> None:
    """Change the endpoint upstream."""
    deployment.upstream.patch(f"/webhooks/v1/endpoints/{upstream_id}", json=changes).raise_for_status()


def test_a_secret_that_cannot_be_opened_is_named_and_costs_no_event(
    deployment: harness.Deployment, nonce: str
) -> None:
    """It was sealed under other keys than the server's. Everything else goes on."""
    registering.operate(
        deployment, lambda registrar: registrar.register(registering.url(deployment)), keys=("another key",)
    )
    run = ended(deployment, nonce)
    until(lambda: answers(deployment, run))
    assert (set(answers(deployment, run)), forged(deployment, nonce)) == ({503}, 503)
    (warning,) = warnings(deployment)
    assert "RUNLEDGER_SECRET_KEYS" in warning
    until(lambda: "webhook_secret_rejected" in deployment.server.log.read_text())
    endpoint = registering.standing(deployment)
    registering.operate(deployment, lambda registrar: registrar.rotate(endpoint, 0))
    judge(deployment, nonce, settled_by="platform")
    until_taken(deployment, run)


def test_the_command_proves_the_way_into_the_database(deployment: harness.Deployment) -> None:
    registering.register(deployment)
    environment = {
        "CASEDEV_API_KEY": "sk_case_test",
        "CASEDEV_BASE_URL": deployment.sandbox.url,
        **deployment.server.site.environment,
    }
    done = terminal.process("webhooks", "test", "--json", folder=deployment.server.folder, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = json.loads(done.stdout)
    (row,) = deployment.server.rows("SELECT * FROM deliveries WHERE event_type = 'webhook.test'")
    assert (row["verdict"], row["run_id"], printed["deliveryId"]) == ("accepted", None, row["id"])
    assert printed["signedWith"] == [row["secret_used"]]


def test_a_check_that_these_routes_refuse_stops_nothing_else(deployment: harness.Deployment, nonce: str) -> None:
    registering.register(deployment)
    deployment.script({"route": "endpoints.get", "action": "status:401"})
    until(lambda: "could not be looked at" in " ".join(warnings(deployment)))
    ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")
    deployment.script()
    until(lambda: not warnings(deployment))


def crossing(deployment: harness.Deployment, route: str, *words: str) -> list[str]:
    """Two real commands at once: the answer to one is held until the other one waits. What they print."""
    deployment.script({"route": route, "action": "hold_answer", "times": 1})
    with (
        registering.command(deployment, *words) as one,
        registering.command(deployment, *words) as other,
        ThreadPoolExecutor(2) as aside,
    ):
        both = (one, other)
        said = [aside.submit(_errors, each) for each in both]
        until(lambda: deployment.sandbox.held() and any(each.done() for each in said))
        deployment.sandbox.release()
        assert [each.wait(60) for each in both] == [0, 0]
        assert sum(b"waiting for it to end" in each.result() for each in said) == 1
        return sorted(each.stdout.read().decode() for each in both if each.stdout is not None)


def _errors(command: subprocess.Popen[bytes]) -> bytes:
    """The first line of a command's errors."""
    assert command.stderr is not None
    return command.stderr.readline()


def test_two_rotations_that_cross_go_one_after_the_other_and_lose_no_event(
    deployment: harness.Deployment, nonce: str
) -> None:
    registering.register(deployment)
    crossing(deployment, "endpoints.rotate_secret", "rotate", "--grace", "0s")
    run = ended(deployment, nonce)
    judge(deployment, nonce, settled_by="platform")
    assert (until_taken(deployment, run), forged(deployment, nonce)) == ([200], 401)


def test_two_registrations_at_once_make_one_endpoint(deployment: harness.Deployment) -> None:
    said = [json.loads(each) for each in crossing(deployment, "endpoints.create", "register", "--json")]
    assert sorted(each["outcome"] for each in said) == ["created", "known"]
    assert len(deployment.upstream.get("/webhooks/v1/endpoints").json()["endpoints"]) == 1


def test_a_rotation_that_was_killed_before_its_answer_is_mended_by_registering(
    deployment: harness.Deployment, nonce: str
) -> None:
    registering.register(deployment)
    deployment.script({"route": "endpoints.rotate_secret", "action": "hold_answer", "times": 1})
    with registering.command(deployment, "rotate", "--grace", "0s"):
        until(deployment.sandbox.held)
    run = ended(deployment, nonce)
    until(lambda: answers(deployment, run))
    registering.lapse(deployment)
    assert registering.register(deployment).outcome == "recovered"
    judge(deployment, nonce, settled_by="platform")
    assert set(until_taken(deployment, run)) == {503, 200}
