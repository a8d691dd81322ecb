"""The hints in callbacks and events."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies

from receiver import upstream_values
from receiver.inbound import payload_hints

values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.floats() | strategies.text(max_size=5),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(["id", "run", "data", "runId", "run_id", "status", "type", "event"]), inner
        )
    ),
    max_leaves=8,
)
modest = hypothesis.settings(max_examples=100, deadline=None)


@pytest.mark.parametrize(
    "body", ['{"runId":"run_1"}', '{"id":"run_1"}', '{"run":{"id":"run_1"}}', '{"data":{"runId":"run_1"}}',
             '{"run_id":"run_1"}', '\ufeff{"runId":"run_1","cost":1e999,"huge":' + "9" * 5000 + "}"],
)  # fmt: skip
def test_a_run_is_found_under_each_of_its_names(body: str) -> None:
    assert payload_hints.callback(body.encode()).run_ids == ("run_1",)


def test_every_run_that_is_named_is_returned_once_and_in_order() -> None:
    body = {"run_id": "run_4", "data": {"runId": "run_3"}, "run": {"id": "run_2"}, "id": "run_2", "runId": "run_1"}
    assert payload_hints.callback(json.dumps(body).encode()).run_ids == ("run_1", "run_2", "run_3", "run_4")


@pytest.mark.parametrize(
    "run", ["", "../agents", "a b", "é", "a" * 129, "run_1\n", 5, None, ["run_1"], {"id": "x"}]
)
def test_an_id_that_cannot_be_in_an_address_is_not_one(run: object) -> None:
    assert payload_hints.callback(json.dumps({"runId": run}).encode()).run_ids == ()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"null", b"[]", b"NaN", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\x1f\x8b",
        b"\x1f\x8b is how gzip begins",
    ],
)  # fmt: skip
def test_junk_yields_no_hints(body: bytes) -> None:
    assert payload_hints.callback(body).run_ids == ()
    assert payload_hints.callback(body).status is None
    assert payload_hints.event(body) == payload_hints.Event(None, None, None, None)


@modest
@hypothesis.given(strategies.binary())
def test_no_bytes_raise(body: bytes) -> None:
    assert payload_hints.callback(body).run_ids == ()
    payload_hints.event(body)


@modest
@hypothesis.given(values)
def test_no_json_raises_and_every_claim_is_well_formed(value: object) -> None:
    body = json.dumps(value).encode()
    event = payload_hints.event(body)
    runs = {*payload_hints.callback(body).run_ids, *([event.run_id] if event.run_id else [])}
    assert all(upstream_values.SAFE_ID.fullmatch(run) for run in runs)
    assert {payload_hints.callback(body).status, event.status} <= upstream_values.STATUSES | {None}


@pytest.mark.parametrize(
    "body", [{"status": "failed"}, {"run": {"status": "failed"}}, {"data": {"status": "failed"}},
             {"event": "run.failed"}, {"type": "agent.run.failed"}],
)  # fmt: skip
def test_a_state_is_found_under_each_of_its_names(body: object) -> None:
    assert payload_hints.callback(json.dumps(body).encode()).status == "failed"


@pytest.mark.parametrize("status", ["done", "", 5, ["failed"], None])
def test_an_unknown_state_is_not_claimed(status: object) -> None:
    assert payload_hints.callback(json.dumps({"status": status, "type": "run.started"}).encode()).status is None


def test_an_event_is_read_from_its_envelope() -> None:
    data = {"runId": "run_1", "agentId": "agent_1", "status": "completed"}
    body = {"id": "evt_1", "type": "agent.run.completed", "occurred_at": "2026-11-23T12:00:00.000Z", "data": data}
    assert payload_hints.event(json.dumps(body).encode()) == payload_hints.Event(
        "evt_1", "agent.run.completed", "run_1", "completed"
    )


def test_the_id_of_an_event_is_never_mistaken_for_a_run() -> None:
    assert payload_hints.event(b'{"id":"evt_1","type":"webhook.test","data":{"id":"obj_1"}}').run_id is None


@pytest.mark.parametrize("name", ["", "a b", "é", "\x00", "a" * 257, 5])
def test_an_event_id_that_is_no_label_is_none(name: object) -> None:
    assert payload_hints.event(json.dumps({"id": name}).encode()).id is None
