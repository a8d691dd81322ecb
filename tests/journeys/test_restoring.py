"""A store goes on while a copy of it stands still; then the copy takes its place, and executes nothing again."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine

from receiver import clock
from storage.tables.jobs import SYSTEM_STATE
from tests import copying, postgres
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.journeys.test_one_call import AD_HOC
from tests.patience import until
from tests.server import Server, Site

#: Where a run stood when the copy was made, by the rule that kept it there, and by what is different about it.
KEPT: Mapping[str, tuple[harness.Rule, dict[str, Any]]] = {
    "being created": ({"route": "create", "action": "hold"}, {}),
    "created without an answer": ({"route": "create", "action": "hold_answer"}, {}),
    "created": ({"route": "exec", "action": "hold"}, {}),
    "being executed": ({"route": "exec", "action": "hold_answer"}, {}),
    "being cancelled": ({"route": "cancel", "action": "hold"}, {}),
    "created and started by a call without an answer": ({"route": "execute", "action": "hold_answer"}, AD_HOC),
}
#: No worker had begun with these.
WAITING: Mapping[str, dict[str, Any]] = {"accepted": {}, "accepted without an agent": AD_HOC}
RUNNING, LATER = "running", "submitted later"
TIMING = {"call": 120.0, "lost_create": 120.0, "sweep": 0.3}


class Past:
    """A server with a run in each of these states; each has a nonce of its own."""

    def __init__(self, deployment: harness.Deployment) -> None:
        self.deployment = deployment
        self.nonces = {state: f"nonce_{secrets.token_hex(8)}" for state in (*KEPT, *WAITING, RUNNING, LATER)}

    def bring_about(self) -> None:
        """Has each run come to its state, and stay there."""
        deployment, rules = (
            self.deployment,
            [{"times": 1, "prompt": self.nonces[state], **KEPT[state][0]} for state in KEPT],
        )
        deployment.script(*rules)
        runs = {state: deployment.submit(self.nonces[state], **KEPT[state][1]) for state in KEPT}
        deployment.until_run(deployment.submit(self.nonces[RUNNING]), "running")
        deployment.cancel(deployment.until_run(runs["being cancelled"], "running"))
        for state, (rule, _) in KEPT.items():
            deployment.until_held(str(rule["route"]), self.nonces[state])
        self._pause(clock.now() + timedelta(hours=1))
        waiting = [deployment.submit(self.nonces[state], **WAITING[state])["id"] for state in WAITING]
        claimed = "SELECT 1 FROM jobs WHERE fence > 0 AND run_id IN (?, ?)"
        assert not deployment.server.rows(claimed, *waiting)

    def go_on(self) -> None:
        """Has all that was there come to its end, and one come in that does not."""
        deployment = self.deployment
        self._pause(None)
        for rule, _ in KEPT.values():
            deployment.sandbox.release(str(rule["route"]))
        for state in set(self.nonces) - {LATER, "being cancelled"}:
            deployment.sandbox.finish(self._executed(self.nonces[state]))
        until(
            lambda: not deployment.server.rows("SELECT 1 FROM runs WHERE settled_at IS NULL"), why="not all ended"
        )
        deployment.until_run(deployment.submit(self.nonces[LATER]), "running")

    def _executed(self, nonce: str) -> str:
        return str(until(lambda: [run for run in self.deployment.named(nonce) if run["execCount"]])[0]["id"])

    def _pause(self, until_then: datetime | None) -> None:
        """Has the worker begin with nothing new until then; it has seen that once its heart has beaten twice."""
        pause(self.deployment.server.site, until_then)
        for _ in range(2):
            seen = self._beat()
            until(lambda seen=seen: self._beat() != seen)  # type: ignore[misc]

    def _beat(self) -> object:
        return self.deployment.server.rows("SELECT worker_seen_at FROM system_state")[0]["worker_seen_at"]


def pause(site: Site, until_then: datetime | None) -> None:
    """No worker there begins with anything until then."""
    engine = create_engine(site.url)
    with engine.begin() as connection:
        connection.execute(SYSTEM_STATE.update().values(paused_until=until_then))
    engine.dispose()


@contextmanager
def past(site: Site) -> Iterator[Past]:
    """The store that goes on, brought to where a copy is to be made of it."""
    with harness.opened(site, timing=TIMING, run_seconds=harness.NEVER, jobs="16") as deployment:
        this = Past(deployment)
        this.bring_about()
        yield this


@contextmanager
def took_over(this: Past, site: Site) -> Iterator[harness.Deployment]:
    """A server on the copy, at the address of the one that is gone."""
    gone = this.deployment.server
    gone.kill()
    server = Server(site, this.deployment.sandbox.url, TIMING, {"public_url": gone.url})
    server.port, server.url = gone.port, gone.url
    try:
        server.start()
        with server.client() as api:
            yield dataclasses.replace(this.deployment, server=server, api=api)
    except BaseException:
        print(server.log.read_text())
        raise
    finally:
        server.kill()


Taken = Callable[[str, bool], tuple[Past, harness.Deployment]]


@pytest.fixture(scope="module")
def taking(
    sites: Callable[[str], Site], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Taken]:
    """The same story for each kind of database, with a copy that was marked as restored or one that was not."""
    with ExitStack() as stack:
        recorded: dict[tuple[str, bool], tuple[Past, harness.Deployment]] = {}

        def tell(kind: str, is_marked: bool) -> tuple[Past, harness.Deployment]:
            folder, site = tmp_path_factory.mktemp("copy"), sites(kind)
            this = stack.enter_context(past(site))
            copying.back_up(site, folder / "copy")
            this.go_on()
            restore = copying.restore if is_marked else copying.load_content
            copy = restore(site, folder / "copy", folder, lambda: _fresh(request))
            if not is_marked:
                pause(copy, None)
            return this, stack.enter_context(took_over(this, copy))

        def of(kind: str, is_marked: bool) -> tuple[Past, harness.Deployment]:
            if (kind, is_marked) not in recorded:
                recorded[kind, is_marked] = tell(kind, is_marked)
            return recorded[kind, is_marked]

        yield of


def _fresh(request: pytest.FixtureRequest) -> str:
    cluster: postgres.Cluster = request.getfixturevalue("cluster")
    return cluster.fresh("template0")


@pytest.mark.parametrize("state", [*sorted(set(KEPT) - {"being cancelled"}), *WAITING, RUNNING])
def test_a_run_is_not_executed_again_wherever_it_stood_when_the_copy_was_made(
    taking: Taken, kind: str, state: str
) -> None:
    this, deployment = taking(kind, True)
    judge(deployment, this.nonces[state])
    assert len(deployment.named(this.nonces[state])) == 1


def test_nor_is_one_that_was_about_to_be_cancelled(taking: Taken, kind: str) -> None:
    this, deployment = taking(kind, True)
    judge(deployment, this.nonces["being cancelled"], status="cancelled")


def test_a_run_that_the_copy_does_not_know_comes_back_by_its_callback(taking: Taken, kind: str) -> None:
    this, deployment = taking(kind, True)
    nonce = this.nonces[LATER]
    (left,) = deployment.named(nonce)
    deployment.sandbox.finish(left["id"])
    (found,) = judge(deployment, nonce)
    token = left["watchers"][0].rpartition("/")[2]
    assert (found["origin"], found["id"]) == ("adopted", token.partition(".")[0])
    assert [each["verdict"] for each in deployment.deliveries(found)] == ["accepted"]


@pytest.mark.parametrize("state", ["being created", *WAITING])
def test_without_the_mark_it_would_be_executed_again(taking: Taken, kind: str, state: str) -> None:
    this, deployment = taking(kind, False)
    nonce = this.nonces[state]
    until(lambda: sum(run["execCount"] for run in deployment.named(nonce)) == 2)
