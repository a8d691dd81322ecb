"""The record of exchanges: everything that was asked, answered and sent, a JSON line each."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx2 as httpx
import pytest

from tests import sandbox_server
from tests.patience import until
from tests.receiver.sandbox.catcher import Catcher


def _lines(record: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.getvalue().splitlines()]


def test_every_exchange_is_a_line(receiver: Catcher) -> None:
    """A call with its answer, then the callback that it set off with the receiver's; the sandbox's own not."""
    record = io.StringIO()
    with sandbox_server.running(record=record) as sandbox, sandbox.client() as api:
        run = sandbox_server.new_run(api, callbackUrl=receiver.url)
        sandbox.finish(run)
        until(lambda: len(_lines(record)) == 3)
    agent, create, callback = _lines(record)
    assert (agent["request"]["method"], agent["request"]["url"]) == ("POST", "/agent/v1/agents")
    assert json.loads(create["request"]["body"])["prompt"] == "Review the lease."
    assert (create["kind"], create["answer"]["status"]) == ("call", 200)
    assert json.loads(create["answer"]["body"])["id"] == run
    assert (callback["kind"], callback["run"], callback["request"]["url"]) == ("callback", run, receiver.url)
    assert json.loads(callback["request"]["body"]) == {"runId": run}
    assert (callback["attempt"], callback["error"], callback["answer"]["status"]) == (1, None, 204)


def test_the_key_is_left_out() -> None:
    """Of the headers, which are there otherwise."""
    record = io.StringIO()
    with sandbox_server.running(record=record) as sandbox, sandbox.client() as api:
        api.get("/agent/v1/run?limit=1")
    (line,) = _lines(record)
    assert sandbox_server.KEY not in record.getvalue()
    assert ["authorization", "[redacted]"] in line["request"]["headers"]
    assert "x-ratelimit-limit" in dict(line["answer"]["headers"])
    assert line["request"]["url"] == "/agent/v1/run?limit=1"


def test_what_was_not_answered_has_no_answer() -> None:
    """A call that was cut, and a callback that was not received."""
    record = io.StringIO()
    with sandbox_server.running(record=record) as sandbox, sandbox.client() as api:
        run = sandbox_server.new_run(api, callbackUrl="http://127.0.0.1:9/nobody")
        sandbox.faults(down=True)
        with pytest.raises(httpx.TransportError):
            api.get(f"/agent/v1/run/{run}/status")
        sandbox.finish(run)
        until(lambda: len(_lines(record)) == 4)
    *_, cut, callback = _lines(record)
    assert (cut["kind"], cut["answer"]) == ("call", None)
    assert (callback["answer"], callback["error"]) == (None, "ConnectError")


def test_bodies_that_are_no_text_are_kept_too() -> None:
    """In base64."""
    record = io.StringIO()
    with sandbox_server.running(record=record) as sandbox, sandbox.client() as api:
        api.post("/agent/v1/run", content=b"\xff\xfe")
    (line,) = _lines(record)
    assert line["request"]["body"] == {"base64": "//4="}
