"""The backend is notified of every end at least once, always with the same content."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from receiver.sandbox import faults
from tests import backend
from tests.backend import Answer, Backend
from tests.journeys import harness
from tests.journeys.conftest import Sites
from tests.journeys.judging import judge
from tests.laws import pages
from tests.patience import until
from tests.receiver.cli import terminal
from tests.server import Site

ROOT = Path(__file__).parent.parent.parent


class NotifyingDeployment:
    """A deployment that notifies a backend; each run carries its nonce as a tag, by which it is found there."""

    def __init__(self, deployment: harness.Deployment, listener: Backend) -> None:
        self.deployment, self.listener = deployment, listener

    def submit(self, nonce: str, **fields: Any) -> harness.Row:
        return self.deployment.submit(nonce, tags={"nonce": nonce}, **fields)

    def shown(self, run: harness.Row, state: str) -> harness.Row:
        """The notification in the record once it is in that state."""
        seen = self.deployment.until_shown(run, lambda shown: (shown["notification"] or {}).get("state") == state)
        sent: harness.Row = seen["notification"]
        return sent

    def distinct(self, nonce: str) -> list[backend.Posted]:
        """What a backend keeps that dedupes by id, all of it genuine: every copy is the same."""
        came = self.listener.of(nonce)
        kept = {posted.id: posted for posted in came}
        assert all(posted.body == kept[posted.id].body for posted in came)
        assert all(backend.verified(posted) for posted in kept.values())
        return list(kept.values())


@pytest.fixture(scope="module")
def notifying_deployments(sites: Sites) -> Iterator[Callable[[str], NotifyingDeployment]]:
    with harness.shared(sites, _opened) as opened:
        yield opened


@contextmanager
def _opened(site: Site) -> Iterator[NotifyingDeployment]:
    with (
        backend.listening() as listener,
        harness.opened(site, worker_concurrency=4, **backend.settings(listener)) as deployment,
    ):
        yield NotifyingDeployment(deployment, listener)


@pytest.fixture
def notifying(
    notifying_deployments: Callable[[str], NotifyingDeployment], kind: str
) -> Iterator[NotifyingDeployment]:
    """The deployment and its backend on a good day."""
    opened = notifying_deployments(kind)
    until(lambda: opened.deployment.ready() == (200, []))
    yield opened
    opened.deployment.sandbox.faults(**faults.as_json(harness.NO_FAULTS))


def test_every_end_is_notified_once_with_what_the_backend_needs(
    notifying: NotifyingDeployment, nonce: str
) -> None:
    notifying.deployment.sandbox.faults(fail_prompts=[f"failing_{nonce}"])
    run, failing = notifying.submit(nonce), notifying.submit(f"failing_{nonce}")
    judge(notifying.deployment, f"failing_{nonce}", status="failed")
    for each in (run, failing):
        notifying.shown(each, "delivered")
    by_type = {posted.content["type"]: posted.content for posted in notifying.distinct(nonce)}
    assert sorted(by_type) == ["run.completed", "run.failed"]
    record = notifying.deployment.run(run)
    assert by_type["run.completed"] == {
        "type": "run.completed",
        "timestamp": record["settledAt"],
        "data": {
            "id": run["id"],
            "upstreamId": record["upstreamId"],
            "status": "completed",
            "agentId": notifying.deployment.agent,
            "tags": {"nonce": nonce},
            "costMicros": record["costMicros"],
            "settledAt": record["settledAt"],
            "link": f"{notifying.deployment.server.url}/v1/runs/{run['id']}",
        },
    }
    assert by_type["run.failed"]["data"]["failureReason"]


def test_a_backend_that_refuses_a_notification_gets_the_same_one_until_it_accepts(
    notifying: NotifyingDeployment, nonce: str
) -> None:
    redirect = Answer(302, {"Location": "/elsewhere"})
    notifying.listener.answer(Answer(500), redirect, Answer(503, body=b"x" * 1_000_000), Answer(204), to=nonce)
    run = notifying.submit(nonce)
    sent = notifying.shown(run, "delivered")
    assert (sent["attempts"] >= 4, sent["lastStatus"], sent["lastError"]) == (True, 204, None)
    assert [posted.id for posted in notifying.distinct(nonce)] == [sent["webhookId"]]
    until(lambda: notifying.deployment.ready() == (200, []))
    kinds = [
        entry["kind"]
        for entry in notifying.deployment.api.get(f"/v1/runs/{run['id']}/timeline").json()["timeline"]
    ]
    assert kinds[-1] == "notification.delivered"


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Answer(500), "the backend answered 500 Internal Server Error"),
        (Answer(301, {"Location": "/elsewhere"}), "a redirect, which is not followed"),
        (Answer(502, body=b"x" * 1_000_000), "the answer was longer than 4096 bytes"),
    ],
    ids=["500", "redirect", "megabyte"],
)
def test_the_reason_of_a_failed_notification_is_shown_with_the_run(
    notifying: NotifyingDeployment, nonce: str, answer: Answer, named: str
) -> None:
    notifying.listener.answer(answer, to=nonce)
    run = notifying.submit(nonce)
    notifying.deployment.until_shown(run, lambda shown: (shown["notification"] or {}).get("lastError"))
    assert named in notifying.shown(run, "pending")["lastError"]
    notifying.listener.answer(Answer(), to=nonce)
    notifying.shown(run, "delivered")


def test_a_slow_backend_holds_up_nothing_else(notifying: NotifyingDeployment, nonce: str) -> None:
    gate = notifying.listener.gate()
    notifying.listener.answer(Answer(gate=gate), to=f"slow_{nonce}")
    slow = [notifying.submit(f"slow_{nonce}") for _ in range(6)]
    until(lambda: len(notifying.listener.of(f"slow_{nonce}")) >= 2)
    quick = notifying.submit(f"quick_{nonce}")
    notifying.deployment.until_run(quick, "completed")
    until(lambda: notifying.deployment.ready() == (200, []))
    assert not gate.is_set()
    gate.set()
    for run in (*slow, quick):
        notifying.shown(run, "delivered")
    assert len(notifying.distinct(nonce)) == 7


def test_the_backend_is_notified_while_the_upstream_is_away(notifying: NotifyingDeployment, nonce: str) -> None:
    notifying.deployment.sandbox.faults(down=True)
    run = notifying.submit(nonce)
    notifying.deployment.until_unready()
    notifying.deployment.cancel(run, 200)
    notifying.shown(run, "delivered")
    assert [posted.content["type"] for posted in notifying.distinct(nonce)] == ["run.cancelled"]
    assert notifying.deployment.ready()[0] == 503
    notifying.deployment.sandbox.faults(down=False)
    notifying.shown(notifying.submit(f"after_{nonce}"), "delivered")  # no other job asks: this ends the pause


def test_a_backend_that_answered_410_is_not_notified_until_a_command(
    notifying: NotifyingDeployment, nonce: str
) -> None:
    notifying.listener.answer(Answer(410), to=nonce)
    run = notifying.submit(nonce)
    assert notifying.shown(run, "stopped")["lastStatus"] == 410
    assert "1 notify job was given up" in notifying.deployment.api.get("/readyz").json()["warnings"][0]
    metrics = notifying.deployment.api.get("/metrics").text
    assert 'runledger_jobs_dead{kind="notify"} 1.0' in metrics
    assert 'runledger_notifications_total{result="stopped"} 1.0' in metrics
    assert "notification_stopped" in notifying.deployment.server.log.read_text()
    assert _typed(notifying, "--kind", "notify", "--dry-run")["count"] == 1
    assert notifying.shown(run, "stopped")["attempts"] == 1
    notifying.listener.answer(Answer(), to=nonce)
    assert _typed(notifying, "--kind", "notify")["count"] == 1
    assert notifying.shown(run, "delivered")["attempts"] == 2
    assert len(notifying.distinct(nonce)) == 1


def _typed(notifying: NotifyingDeployment, *words: str) -> harness.Row:
    """The JSON output of `runledger jobs retry`."""
    site = notifying.deployment.server.site
    done = terminal.process("jobs", "retry", *words, "--json", folder=site.folder, **site.environment)
    assert done.returncode == 0, done.stderr
    said: harness.Row = json.loads(done.stdout)
    return said


def test_a_name_that_leads_home_is_never_followed(site: Site, nonce: str) -> None:
    with backend.listening() as listener:
        port = listener.url.split(":")[2]
        settings = backend.settings(listener) | {
            "notify_url": f"https://127.1:{port}",
            "notify_allow_private": False,
        }
        with harness.opened(site, **settings) as deployment:
            run = deployment.submit(nonce)
            shown = deployment.until_shown(run, lambda shown: (shown["notification"] or {}).get("lastError"))
    assert "127.1 leads to 127.0.0.1, which is not a public address" in shown["notification"]["lastError"]
    assert shown["status"] == "completed"
    assert listener.received == []


#: The backend of the guide.
PROGRAM = re.findall(
    r"```python\n(# NOTIFY_SECRET=.*?)```", (ROOT / "docs" / "guides" / "notifications.md").read_text(), re.DOTALL
)


@pytest.mark.anyio
async def test_the_backend_of_the_guide_takes_it_once_and_nothing_that_was_touched(
    notifying: NotifyingDeployment, nonce: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = notifying.submit(nonce)
    notifying.shown(run, "delivered")
    (posted,) = notifying.distinct(nonce)
    (sample,) = (json.loads(block) for block in pages.blocks("guides/notifications.md", "json"))
    assert json.loads(posted.body)["data"].keys() == sample["data"].keys()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SECRET", backend.SECRETS[1])
    program: dict[str, Any] = {}
    exec(PROGRAM[0], program)
    transport = httpx.ASGITransport(program["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://backend.test") as client:
        forged = posted.body.replace(b"completed", b"cancelled")
        answers = [
            await client.post(
                "/hooks/runs", content=content, headers=dict(posted.headers) | {"host": "backend.test"}
            )
            for content in (posted.body, posted.body, forged)
        ]
    with closing(program["database"]) as database:
        assert [answer.status_code for answer in answers] == [204, 204, 401]
        assert database.execute("SELECT run, status FROM endings").fetchall() == [(run["id"], "completed")]
