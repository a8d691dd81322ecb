"""What a run through the real service shows, from what was kept of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from receiver import errors, settings, signatures
from receiver.cli.doctor import live, observed
from receiver.cli.doctor.findings import Finding, Level, fault, ok, warning
from receiver.upstream import probing, routes
from storage import deliveries, runs, states
from storage.database import Database
from tests import life

KEY = b"a signing key of thirty-two bytes"
SPELLED = {"base64": base64.b64encode(KEY).decode(), "hex": KEY.hex(), "raw": KEY.decode().replace(" ", "_")}
HEADERS = {"content-type": "application/json", "user-agent": "case-dev"}

pytestmark = pytest.mark.anyio


def _delivery(body: bytes, headers: Mapping[str, str] = HEADERS, **changes: Any) -> deliveries.Stored:
    whole = deliveries.Stored(
        1, "delivery_1", states.Road.WATCHER, "run", None, None, life.at(63), states.Verdict.ACCEPTED,
        None, None, 0, None, "127.0.0.1", headers, "", len(body), None, body,
    )  # fmt: skip
    return replace(whole, **changes)


def _event(encoding: str, body: bytes = b'{"id":"evt_1"}', late: float = 0) -> deliveries.Stored:
    """An event that was signed with the key as this encoding reads it, and turned away."""
    at = str(int((life.at(63) - timedelta(seconds=late)).timestamp()))
    key = signatures.decode(SPELLED[encoding], encoding).key
    names = (signatures.ID_HEADER, signatures.TIMESTAMP_HEADER, signatures.SIGNATURE_HEADER)
    headers = dict(zip(names, ("msg_1", at, signatures.sign(key, "msg_1", at, body)), strict=True))
    return _delivery(body, headers, road=states.Road.PLATFORM, verdict=states.Verdict.REJECTED)


def _seen(status: int | None = 404, body: bytes = b"", **changes: Any) -> probing.Seen:
    error = errors.Answered(routes.STATUS, status, "no") if status and status >= 400 else None
    whole = probing.Seen(routes.STATUS, life.NOW, 0.1, status, {}, body, True, error)
    return replace(whole, **changes)


@pytest.fixture
async def run(database: Database) -> runs.Run:
    """A run that has completed."""
    return await life.settled_run(database, upstream_id="run_1")


def _told(run: runs.Run, texts: tuple[str, ...] = (), **changes: Any) -> dict[str, Finding]:
    heard = observed.Heard(run, (_delivery(b'{"run":{"id":"run_1"}}'),), (), ())
    asked = observed.Asked(_seen(200, b'{"id":"run_1"}'), _seen(200, b"event: close\n\n"), _seen(), _seen())
    cancelled = changes.pop("cancelled", None)
    changes = {"heard": replace(heard, **changes)}
    seen = observed.Observation(settings.load(env_file=None), changes["heard"], cancelled, texts, asked)
    return {each.name: each for each in observed.told(seen)}


async def test_a_callback_is_shown_with_its_headers_its_body_and_the_name_of_its_run(run: runs.Run) -> None:
    told = _told(run)
    assert told["callback"].said.startswith("came once")
    assert told["callback headers"].said == "content-type: application/json\nuser-agent: case-dev"
    assert told["callback body"].said == '{"run":{"id":"run_1"}}'
    assert told["callback names"].said == "the run as run.id"
    assert told["states that call"].said == "a callback comes for: completed; not tried: failed, cancelled"


async def test_repeats_of_a_callback_are_counted(run: runs.Run) -> None:
    told = _told(run, callbacks=(_delivery(b"{}"), _delivery(b"{}", repeats=2)))
    assert told["callback"].said.startswith("came 4 times")
    assert told["callback names"].level is Level.WARNING


async def test_where_no_callback_comes_the_sweep_is_to_come_more_often(run: runs.Run) -> None:
    told = _told(run, callbacks=())
    assert (told["callback"].level, told["callback"].setting) == (Level.WARNING, "RUNLEDGER_SWEEP_SECONDS=15")
    assert told["states that call"].said == "none comes for: completed; not tried: failed, cancelled"


async def test_a_cancelled_run_tells_whether_its_end_is_called(run: runs.Run) -> None:
    other = observed.Heard(replace(run, status=states.Status.CANCELLED), (), (), ())
    said = _told(run, cancelled=other)["states that call"].said
    assert said == "a callback comes for: completed; none comes for: cancelled; not tried: failed"


@pytest.mark.parametrize("encoding", signatures.ENCODINGS)
@pytest.mark.parametrize("late", [0, 4000])
async def test_the_encoding_under_which_a_signature_holds_is_found(encoding: str, late: float) -> None:
    event = _event(encoding, late=late)
    assert observed.encoding_of(event, ["whsec_AAAA", "whsec_" + SPELLED[encoding]]) == encoding
    assert observed.encoding_of(event, ["whsec_AAAA"]) is None


async def test_an_event_that_was_misread_gives_the_setting_that_reads_it(run: runs.Run) -> None:
    told = _told(run, (SPELLED["hex"],), unverified=(_event("hex"),))
    assert (told["event"].level, told["event"].setting) == (Level.WARNING, "RUNLEDGER_WEBHOOK_KEY_ENCODING=hex")


async def test_an_event_of_a_stranger_gives_no_setting(run: runs.Run) -> None:
    told = _told(run, ("whsec_AAAA",), unverified=(_event("hex"),))
    assert (told["event"].level, told["event"].setting) == (Level.WARNING, "")
    assert "none of the secrets" in told["event"].said


async def test_a_stream_that_stays_open_is_told_from_one_that_closes() -> None:
    late = errors.NoAnswer(routes.EVENTS, "TimeoutError")
    late.__cause__ = TimeoutError()
    closed = _seen(200, b"event: run.completed\ndata: {}\n\nevent: close\ndata: {}\n\n")
    (told,) = observed.stream_told(closed)
    assert told.said == "2 events (run.completed, close); a close event; then the upstream ends the stream"
    (told,) = observed.stream_told(_seen(200, b"data: {}\n\n", is_whole=False, error=late))
    assert (
        told.said == "1 event (message); no close event; then the stream stays open (it does not answer in time)"
    )


async def test_errors_are_told_with_their_status_and_their_form() -> None:
    body = json.dumps({"error": {"message": "no", "type": "t", "code": "404"}}).encode()
    assert observed.error_told("unknown run", _seen(404, body)).said.endswith(
        'answers 404, {"error": {message, type, code}}'
    )


def _obstacles(*found: Finding) -> list[str]:
    given = settings.load(env_file=None, casedev_base_url="http://127.0.0.1:1", public_url="http://127.0.0.1:2")
    return list(live.obstacles(given, found))


async def test_a_run_is_sent_only_where_it_would_be_done_and_seen() -> None:
    worker = ok("worker", "at work")
    assert _obstacles(worker, warning("jobs", "one failed")) == []
    assert _obstacles(warning("worker", "none was ever seen")) == ["worker: none was ever seen"]
    assert _obstacles(worker, fault("key", "not taken", "")) == ["key: not taken"]
    assert _obstacles(warning("database", "none")) == ["there is no database yet: start `runledger serve` first"]
