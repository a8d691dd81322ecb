"""Findings about a run through the real service, from what was recorded of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from receiver import errors, settings
from receiver.cli.doctor import live_findings, live_run
from receiver.cli.doctor.findings import Finding, Level, fault, ok, warning
from receiver.crypto import signatures
from receiver.upstream import probing, routes
from storage import states
from storage.engine.database import Database
from storage.repositories import deliveries, runs
from tests import life

KEY = b"a signing key of thirty-two bytes"
SPELLED = {"base64": base64.b64encode(KEY).decode(), "hex": KEY.hex(), "raw": KEY.decode().replace(" ", "_")}
HEADERS = {"content-type": "application/json", "user-agent": "case-dev"}

pytestmark = pytest.mark.anyio


def _delivery(body: bytes, headers: Mapping[str, str] = HEADERS, **changes: Any) -> deliveries.StoredDelivery:
    whole = deliveries.StoredDelivery(
        1, "delivery_1", states.Source.WATCHER, "run", None, None, life.at(63), states.Verdict.ACCEPTED,
        None, None, 0, None, "127.0.0.1", headers, "", len(body), None, body,
    )  # fmt: skip
    return replace(whole, **changes)


def _event(encoding: str, body: bytes = b'{"id":"evt_1"}', late: float = 0) -> deliveries.StoredDelivery:
    """Return an event that was signed with the key in this encoding, and rejected."""
    at = str(int((life.at(63) - timedelta(seconds=late)).timestamp()))
    key = signatures.decode(SPELLED[encoding], encoding).key
    names = (signatures.ID_HEADER, signatures.TIMESTAMP_HEADER, signatures.SIGNATURE_HEADER)
    headers = dict(zip(names, ("msg_1", at, signatures.sign(key, "msg_1", at, body)), strict=True))
    return _delivery(body, headers, source=states.Source.PLATFORM, verdict=states.Verdict.REJECTED)


def _seen(status: int | None = 404, body: bytes = b"", **changes: Any) -> probing.ProbeResult:
    error = errors.UpstreamStatusError(routes.STATUS, status, "no") if status and status >= 400 else None
    whole = probing.ProbeResult(routes.STATUS, life.NOW, 0.1, status, {}, body, True, error)
    return replace(whole, **changes)


@pytest.fixture
async def run(database: Database) -> runs.Run:
    """Return a run that has completed."""
    return await life.settled_run(database, upstream_id="run_1")


def _found(run: runs.Run, texts: tuple[str, ...] = (), **changes: Any) -> dict[str, Finding]:
    received = live_findings.Received(run, (_delivery(b'{"run":{"id":"run_1"}}'),), (), ())
    asked = live_findings.Answers(_seen(200, b'{"id":"run_1"}'), _seen(200, b"event: close\n\n"), _seen(), _seen())
    cancelled = changes.pop("cancelled", None)
    changes = {"heard": replace(received, **changes)}
    seen = live_findings.Observation(settings.load(env_file=None), changes["heard"], cancelled, texts, asked)
    return {each.name: each for each in live_findings.findings_of(seen)}


async def test_a_callback_is_shown_with_its_headers_its_body_and_the_name_of_its_run(run: runs.Run) -> None:
    found = _found(run)
    assert found["callback"].message.startswith("came once")
    assert found["callback headers"].message == "content-type: application/json\nuser-agent: case-dev"
    assert found["callback body"].message == '{"run":{"id":"run_1"}}'
    assert found["callback names"].message == "the run as run.id"
    assert found["states that call"].message == "a callback comes for: completed; not tried: failed, cancelled"


async def test_repeats_of_a_callback_are_counted(run: runs.Run) -> None:
    found = _found(run, callbacks=(_delivery(b"{}"), _delivery(b"{}", repeats=2)))
    assert found["callback"].message.startswith("came 4 times")
    assert found["callback names"].level is Level.WARNING


async def test_where_no_callback_comes_the_sweep_is_to_come_more_often(run: runs.Run) -> None:
    found = _found(run, callbacks=())
    assert (found["callback"].level, found["callback"].setting) == (Level.WARNING, "RUNLEDGER_SWEEP_SECONDS=15")
    assert found["states that call"].message == "none comes for: completed; not tried: failed, cancelled"


async def test_a_cancelled_run_shows_whether_its_end_has_a_callback(run: runs.Run) -> None:
    other = live_findings.Received(replace(run, status=states.Status.CANCELLED), (), (), ())
    message = _found(run, cancelled=other)["states that call"].message
    assert message == "a callback comes for: completed; none comes for: cancelled; not tried: failed"


@pytest.mark.parametrize("encoding", signatures.ENCODINGS)
@pytest.mark.parametrize("late", [0, 4000])
async def test_the_encoding_under_which_a_signature_holds_is_found(encoding: str, late: float) -> None:
    event = _event(encoding, late=late)
    assert live_findings.encoding_of(event, ["whsec_AAAA", "whsec_" + SPELLED[encoding]]) == encoding
    assert live_findings.encoding_of(event, ["whsec_AAAA"]) is None


async def test_an_event_that_was_misread_gives_the_setting_that_reads_it(run: runs.Run) -> None:
    found = _found(run, (SPELLED["hex"],), unverified=(_event("hex"),))
    assert (found["event"].level, found["event"].setting) == (Level.WARNING, "RUNLEDGER_WEBHOOK_KEY_ENCODING=hex")


async def test_an_event_signed_with_an_unknown_secret_gives_no_setting(run: runs.Run) -> None:
    found = _found(run, ("whsec_AAAA",), unverified=(_event("hex"),))
    assert (found["event"].level, found["event"].setting) == (Level.WARNING, "")
    assert "none of the secrets" in found["event"].message


async def test_a_stream_that_stays_open_is_distinguished_from_one_that_closes() -> None:
    late = errors.UpstreamUnreachable(routes.EVENTS, "TimeoutError")
    late.__cause__ = TimeoutError()
    closed = _seen(200, b"event: run.completed\ndata: {}\n\nevent: close\ndata: {}\n\n")
    (found,) = live_findings.stream_finding(closed)
    assert found.message == "2 events (run.completed, close); a close event; then the upstream ends the stream"
    (found,) = live_findings.stream_finding(_seen(200, b"data: {}\n\n", is_complete=False, error=late))
    assert (
        found.message
        == "1 event (message); no close event; then the stream stays open (it does not answer in time)"
    )


async def test_errors_are_reported_with_their_status_and_their_form() -> None:
    body = json.dumps({"error": {"message": "no", "type": "t", "code": "404"}}).encode()
    assert live_findings.error_finding("unknown run", _seen(404, body)).message.endswith(
        'answers 404, {"error": {message, type, code}}'
    )


def _obstacles(*found: Finding) -> list[str]:
    given = settings.load(env_file=None, casedev_base_url="http://127.0.0.1:1", public_url="http://127.0.0.1:2")
    return list(live_run.obstacles(given, found))


async def test_a_run_is_sent_only_where_it_would_be_done_and_seen() -> None:
    worker = ok("worker", "at work")
    assert _obstacles(worker, warning("jobs", "one failed")) == []
    assert _obstacles(warning("worker", "none was ever seen")) == ["worker: none was ever seen"]
    assert _obstacles(worker, fault("key", "not taken", "")) == ["key: not taken"]
    assert _obstacles(warning("database", "none")) == ["there is no database yet: start `runledger serve` first"]
