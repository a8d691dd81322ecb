"""The backend is told of every end at least once, always in the same words; no trouble of its own is ours."""

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
from tests.journeys import story
from tests.journeys.conftest import Sites
from tests.journeys.judging import judge
from tests.patience import until
from tests.receiver.cli import desk
from tests.server import Site

ROOT = Path(__file__).parent.parent.parent


class Telling:
    """A house with a backend that it tells; runs carry their nonce as a tag, so that the backend knows them."""

    def __init__(self, house: story.House, told: Backend) -> None:
        self.house, self.told = house, told

    def submit(self, nonce: str, **fields: Any) -> story.Row:
        return self.house.submit(nonce, tags={"nonce": nonce}, **fields)

    def shown(self, run: story.Row, state: str) -> story.Row:
        """What the record says of the notification once it is in that state."""
        seen = self.house.until_shown(run, lambda shown: (shown["notification"] or {}).get("state") == state)
        sent: story.Row = seen["notification"]
        return sent

    def distinct(self, nonce: str) -> list[backend.Posted]:
        """What a backend keeps that dedupes by id, all of it genuine: every copy is the same."""
        came = self.told.of(nonce)
        kept = {posted.id: posted for posted in came}
        assert all(posted.body == kept[posted.id].body for posted in came)
        assert all(backend.verified(posted) for posted in kept.values())
        return list(kept.values())


@pytest.fixture(scope="session")
def tellings(sites: Sites) -> Iterator[Callable[[str], Telling]]:
    with story.shared(sites, _opened) as opened:
        yield opened


@contextmanager
def _opened(site: Site) -> Iterator[Telling]:
    with backend.listening() as told, story.opened(site, jobs=4, **backend.settings(told)) as house:
        yield Telling(house, told)


@pytest.fixture
def telling(tellings: Callable[[str], Telling], kind: str) -> Iterator[Telling]:
    """The house and its backend on a good day."""
    opened = tellings(kind)
    until(lambda: opened.house.ready() == (200, []))
    yield opened
    opened.house.sandbox.faults(**faults.as_json(story.GOOD_DAY))


def test_every_end_is_told_once_with_what_the_backend_needs(telling: Telling, nonce: str) -> None:
    telling.house.sandbox.faults(fail_prompts=[f"failing_{nonce}"])
    run, failing = telling.submit(nonce), telling.submit(f"failing_{nonce}")
    judge(telling.house, f"failing_{nonce}", status="failed")
    for each in (run, failing):
        telling.shown(each, "delivered")
    by_type = {posted.told["type"]: posted.told for posted in telling.distinct(nonce)}
    assert sorted(by_type) == ["run.completed", "run.failed"]
    record = telling.house.run(run)
    assert by_type["run.completed"] == {
        "type": "run.completed",
        "timestamp": record["settledAt"],
        "data": {
            "id": run["id"],
            "upstreamId": record["upstreamId"],
            "status": "completed",
            "agentId": telling.house.agent,
            "tags": {"nonce": nonce},
            "costMicros": record["costMicros"],
            "settledAt": record["settledAt"],
            "link": f"{telling.house.server.url}/v1/runs/{run['id']}",
        },
    }
    assert by_type["run.failed"]["data"]["failureReason"]


def test_a_backend_that_will_not_take_it_is_told_the_same_until_it_does(telling: Telling, nonce: str) -> None:
    redirect = Answer(302, {"Location": "/elsewhere"})
    telling.told.answer(Answer(500), redirect, Answer(503, body=b"x" * 1_000_000), Answer(204), to=nonce)
    run = telling.submit(nonce)
    sent = telling.shown(run, "delivered")
    assert (sent["attempts"] >= 4, sent["lastStatus"], sent["lastError"]) == (True, 204, None)
    assert [posted.id for posted in telling.distinct(nonce)] == [sent["webhookId"]]
    until(lambda: telling.house.ready() == (200, []))
    kinds = [entry["kind"] for entry in telling.house.api.get(f"/v1/runs/{run['id']}/timeline").json()["timeline"]]
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
def test_why_it_was_not_told_stands_beside_the_run(
    telling: Telling, nonce: str, answer: Answer, named: str
) -> None:
    telling.told.answer(answer, to=nonce)
    run = telling.submit(nonce)
    telling.house.until_shown(run, lambda shown: (shown["notification"] or {}).get("lastError"))
    assert named in telling.shown(run, "pending")["lastError"]
    telling.told.answer(Answer(), to=nonce)
    telling.shown(run, "delivered")


def test_a_slow_backend_holds_up_nothing_else(telling: Telling, nonce: str) -> None:
    gate = telling.told.gate()
    telling.told.answer(Answer(gate=gate), to=f"slow_{nonce}")
    slow = [telling.submit(f"slow_{nonce}") for _ in range(6)]
    until(lambda: len(telling.told.of(f"slow_{nonce}")) >= 2)
    quick = telling.submit(f"quick_{nonce}")
    telling.house.until_run(quick, "completed")
    until(lambda: telling.house.ready() == (200, []))
    assert not gate.is_set()
    gate.set()
    for run in (*slow, quick):
        telling.shown(run, "delivered")
    assert len(telling.distinct(nonce)) == 7


def test_the_backend_is_told_while_the_upstream_is_away(telling: Telling, nonce: str) -> None:
    telling.house.sandbox.faults(down=True)
    run = telling.submit(nonce)
    telling.house.until_troubled()
    telling.house.cancel(run, 200)
    telling.shown(run, "delivered")
    assert [posted.told["type"] for posted in telling.distinct(nonce)] == ["run.cancelled"]
    assert telling.house.ready()[0] == 503
    telling.house.sandbox.faults(down=False)
    telling.shown(telling.submit(f"after_{nonce}"), "delivered")  # nobody else asks: this ends the pause


def test_a_backend_that_wants_no_more_is_left_alone_until_a_command(telling: Telling, nonce: str) -> None:
    telling.told.answer(Answer(410), to=nonce)
    run = telling.submit(nonce)
    assert telling.shown(run, "stopped")["lastStatus"] == 410
    assert "1 notify job was given up" in telling.house.api.get("/readyz").json()["warnings"][0]
    metrics = telling.house.api.get("/metrics").text
    assert 'runledger_jobs_dead{kind="notify"} 1.0' in metrics
    assert 'runledger_notifications_total{result="stopped"} 1.0' in metrics
    assert "notification_stopped" in telling.house.server.log.read_text()
    assert _typed(telling, "--kind", "notify", "--dry-run")["count"] == 1
    assert telling.shown(run, "stopped")["attempts"] == 1
    telling.told.answer(Answer(), to=nonce)
    assert _typed(telling, "--kind", "notify")["count"] == 1
    assert telling.shown(run, "delivered")["attempts"] == 2
    assert len(telling.distinct(nonce)) == 1


def _typed(telling: Telling, *words: str) -> story.Row:
    """What `runledger jobs retry` says to a program."""
    site = telling.house.server.site
    done = desk.process("jobs", "retry", *words, "--json", folder=site.folder, **site.environment)
    assert done.returncode == 0, done.stderr
    said: story.Row = json.loads(done.stdout)
    return said


def test_a_name_that_leads_home_is_never_followed(site: Site, nonce: str) -> None:
    with backend.listening() as told:
        port = told.url.split(":")[2]
        settings = backend.settings(told) | {"notify_url": f"https://127.1:{port}", "notify_allow_private": False}
        with story.opened(site, **settings) as house:
            run = house.submit(nonce)
            shown = house.until_shown(run, lambda shown: (shown["notification"] or {}).get("lastError"))
    assert (
        "127.1 leads to 127.0.0.1, which is no address of the open internet" in shown["notification"]["lastError"]
    )
    assert shown["status"] == "completed"
    assert told.received == []


#: The backend of the manual.
PROGRAM = re.findall(
    r"```python\n(# NOTIFY_SECRET=.*?)```", (ROOT / "deploy" / "README.md").read_text(), re.DOTALL
)


@pytest.mark.anyio
async def test_the_backend_of_the_manual_takes_it_once_and_nothing_that_was_touched(
    telling: Telling, nonce: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = telling.submit(nonce)
    telling.shown(run, "delivered")
    (posted,) = telling.distinct(nonce)
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
        assert database.execute("SELECT run, status FROM told").fetchall() == [(run["id"], "completed")]
