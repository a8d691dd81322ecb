"""Reading the upstream's answers: a run is never lost over a detail."""

from __future__ import annotations

import copy
import datetime
import json
import pathlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from receiver import errors, upstream_values
from receiver.upstream import audit_trail, payloads, sanitize
from storage import bounds, results, states

DATA = pathlib.Path(__file__).parents[2] / "data"
COMPLETED = json.loads((DATA / "details-completed.json").read_text())
FAILED = json.loads((DATA / "details-failed.json").read_text())
#: What time it is when an answer comes.
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
MINIMAL: dict[str, Any] = {"id": "run_1", "status": "completed"}
modest = hypothesis.settings(max_examples=100, deadline=None)
scalars = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(),
    strategies.text(strategies.characters(), max_size=6),
    strategies.sampled_from(["2026-03-01T12:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00"]),
)
values = strategies.recursive(
    scalars,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=3), inner)
    ),
    max_leaves=6,
)


def read(document: object) -> payloads.Details:
    return payloads.details(json.dumps(document).encode(), NOW)


def at(hour: int, minute: int, second: int, micro: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 3, 1, hour, minute, second, micro, datetime.UTC)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value of a document but the top and its id and state."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = [(key, item) for key, item in value.items() if path or key not in ("id", "status")]
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [found for key, item in inner for found in [(*path, key), *places(item, (*path, key))]]


def replaced(document: Any, path: tuple[str | int, ...], value: object) -> Any:
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return document


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*strings(list(value)), *strings(list(value.values()))]
    return [text for item in value for text in strings(item)] if isinstance(value, list | tuple) else []


def test_a_whole_document_is_read_without_a_note() -> None:
    details = read(COMPLETED)
    assert details.parse_error is None
    assert (details.id, details.status, details.agent_id) == ("run_abc123", "completed", "agent_abc123")
    assert (details.prompt, details.guidance) == (COMPLETED["prompt"], COMPLETED["guidance"])
    assert (details.measures.output, details.measures.summary) == (
        COMPLETED["result"]["output"],
        "Three clauses were found.",
    )
    assert (details.measures.input_tokens, details.measures.output_tokens, details.measures.tool_calls) == (
        1200,
        340,
        1,
    )
    assert (details.measures.cost_micros, details.measures.duration_ms) == (8700, 149_000)
    assert (details.measures.failure_reason, details.measures.failure_source) == (None, None)


def test_instants_are_utc_with_microseconds() -> None:
    details = read(COMPLETED)
    assert (details.measures.created_at, details.measures.completed_at) == (at(12, 0, 0), at(12, 2, 30, 123_456))
    assert details.usage[1].timestamp == at(12, 0, 20, 500_000)


def test_steps_keep_their_order_and_their_parts() -> None:
    first, call, result = read(COMPLETED).steps
    assert first == results.Step(
        0, "step_1", "thinking", "The vault has to be searched.", None, None, None, 900, at(12, 0, 10), first.salt
    )
    assert (call.position, call.tool_name) == (1, "vault_search")
    assert call.tool_input == '{"limit":10,"query":"force majeure"}'
    assert (result.type, result.tool_output, result.duration_ms) == ("tool_result", '{"total":3}', 700)
    assert len({first.salt, call.salt, result.salt}) == 3


def test_usage_entries_are_read() -> None:
    llm, api = read(COMPLETED).usage
    assert (llm.upstream_id, llm.kind, llm.cost_micros, llm.total_tokens) == ("use_1", "llm", 8500, 1540)
    assert (llm.metadata, api.metadata, api.status_code, api.prompt_tokens) == (
        '{"stepId":"step_1"}',
        None,
        200,
        None,
    )


def test_an_id_and_a_state_are_enough() -> None:
    details = read(MINIMAL)
    assert (details.steps, details.usage) == ((), ())
    assert (
        details.measures.duration_ms,
        details.measures.cost_micros,
        details.measures.output,
        details.parse_error,
    ) == (
        None,
        None,
        None,
        None,
    )


def test_unknown_fields_are_ignored() -> None:
    assert read({**MINIMAL, "temperature": 0.7, "future": {"nested": [1.5, "\x00"]}}) == read(MINIMAL)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b'"text"', b"{", b'{"id":"run_1"}', b'{"status":"completed"}',
     b"\xff\xfe{}", b'{"id":"run_1","status":"dreaming"}', b'{"id":"../x","status":"completed"}',
     b'{"id":5,"status":"completed"}',
     b'{"id":"run_1","status":["completed"]}', b'{"id":"run_1\\n","status":"completed"}',
     b'{"id":"run_1","status":"completed","prompt":"\xe9"}'],
)  # fmt: skip
def test_what_names_no_run_or_no_state_is_unreadable(body: bytes) -> None:
    with pytest.raises(errors.InvalidResponse) as caught:
        payloads.details(body, NOW)
    assert caught.value.body == body


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"id":"run_1","steps":' + b"[" * 50_000])
def test_a_body_that_nests_too_deeply_has_an_error_of_its_own(body: bytes) -> None:
    with pytest.raises(errors.ResponseTooDeep):
        payloads.details(body, NOW)


def test_a_value_that_nests_deeply_is_cut_and_noted() -> None:
    deep: Any = 1
    for _ in range(sanitize.MAX_DEPTH + 5):
        deep = {"inner": deep}
    details = read({**MINIMAL, "steps": [{"toolInput": deep}]})
    assert details.parse_error == "values nested too deeply: 1"


@modest
@hypothesis.given(strategies.sampled_from(places(COMPLETED)), values)
def test_no_field_can_lose_a_run(path: tuple[str | int, ...], value: object) -> None:
    details = read(replaced(COMPLETED, path, value))
    assert (details.id, details.status) == ("run_abc123", "completed")
    assert len(details.parse_error or "") <= 1000


@modest
@hypothesis.given(values)
def test_every_value_that_is_kept_can_be_stored(value: object) -> None:
    step = read({**MINIMAL, "steps": [{"toolInput": value, "content": value}]}).steps[0]
    kept = [json.loads(step.tool_input or "null"), step.content]
    json.dumps(kept, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert not any("\x00" in text for text in strings(kept))


@modest
@hypothesis.given(strategies.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_any_other_body_is_unreadable(body: bytes) -> None:
    for reader in (payloads.details, payloads.status, payloads.created, payloads.page):
        with pytest.raises(errors.InvalidResponse):
            reader(body, NOW)


def test_nul_and_lone_surrogates_become_replacement_characters() -> None:
    details = read({**MINIMAL, "prompt": "a\x00b\ud800", "steps": [{"toolInput": {"k\x00": ["\udfff"]}}]})
    assert (details.prompt, details.steps[0].tool_input) == ("a\ufffdb\ufffd", '{"k\ufffd":["\ufffd"]}')
    assert details.parse_error == "texts with NUL or lone surrogates: 3"


def test_a_pair_of_surrogates_is_the_character_that_it_means() -> None:
    body = rb'{"id":"run_1","status":"completed","prompt":"\ud83d\ude00"}'
    assert payloads.details(body, NOW).prompt == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "number",
    ["0.5", "5.0", "1e3", "NaN", "Infinity", "-Infinity", "9007199254740992", "-9007199254740992", "9" * 9000],
)
def test_numbers_that_are_no_safe_integers_become_null(number: str) -> None:
    body = f'{{"id":"run_1","status":"completed","steps":[{{"toolInput":[{number},1],"durationMs":{number}}}]}}'
    details = payloads.details(body.encode(), NOW)
    assert (details.steps[0].tool_input, details.steps[0].duration_ms) == ("[null,1]", None)
    assert details.parse_error == "numbers that are not integers below 2^53: 2"


def test_the_largest_integers_are_kept() -> None:
    edge = 2**53 - 1
    assert read({**MINIMAL, "steps": [{"toolInput": [edge, -edge]}]}).steps[0].tool_input == f"[{edge},{-edge}]"


@pytest.mark.parametrize(
    ("name", "value"),
    [("prompt", 5), ("result", []), ("usage", "none"), ("steps", {}), ("createdAt", 1), ("model", ["m"])],
)
def test_a_field_of_a_wrong_type_is_none_and_noted(name: str, value: object) -> None:
    assert read({**MINIMAL, name: value}).parse_error == f"unusable fields: {name}"


@pytest.mark.parametrize("number", [-1, True, "5", [5]])
def test_a_count_that_is_none_is_noted(number: object) -> None:
    details = read({**MINIMAL, "usage": {"inputTokens": number}})
    assert (details.measures.input_tokens, details.parse_error) == (None, "unusable fields: usage.inputTokens")


def test_many_unusable_fields_are_counted() -> None:
    details = read({**MINIMAL, "steps": [1] * 5000})
    assert details.parse_error is not None
    assert details.parse_error.endswith("steps[9] and 4990 more")
    assert len(details.parse_error) <= 1000


def test_the_list_of_unusable_fields_is_bounded() -> None:
    details = read({**MINIMAL, "steps": [1] * 50_000})
    assert details.parse_error is not None
    assert details.parse_error.endswith("steps[9] and at least 9990 more")


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-03-01", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z", "2026-03-01T12:00:60Z",
             "٢٠٢٦-03-01T12:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
             "2026-W10-1T12:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z",
             "1999-12-31T23:59:59Z", "2027-11-23T12:00:00.000001Z"],
)  # fmt: skip
def test_an_unreadable_instant_is_none_and_noted(text: str) -> None:
    details = read({**MINIMAL, "createdAt": text})
    assert (details.measures.created_at, details.parse_error) == (None, "unusable fields: createdAt")


@pytest.mark.parametrize(
    "text", ["2026-03-01T12:00:00Z", "2026-03-01t12:00:00.000000999z", "2026-03-01 13:30:00.0+01:30"]
)
def test_an_instant_is_read_in_any_zone(text: str) -> None:
    assert read({**MINIMAL, "createdAt": text}).measures.created_at == at(12, 0, 0)


def test_what_can_have_happened_is_kept_to_its_edges() -> None:
    edges = {"createdAt": "2000-01-01T00:00:00Z", "completedAt": "2027-11-23T12:00:00Z"}
    details = read({**MINIMAL, **edges})
    assert (details.measures.created_at, details.measures.completed_at) == (bounds.EARLIEST, NOW + bounds.AHEAD)
    assert details.parse_error is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_every_instant_of_an_answer_is_plausible(text: str) -> None:
    times = dict.fromkeys(("createdAt", "startedAt", "completedAt", "timestamp"), text)
    body = json.dumps({**MINIMAL, **times, "steps": [times], "usage": {"entries": [times]}}).encode()
    details, shown = payloads.details(body, NOW), payloads.status(body, NOW)
    (line,) = payloads.page(json.dumps({"runs": [{**MINIMAL, **times}]}).encode(), NOW).runs
    found = [
        details.measures.created_at,
        details.measures.started_at,
        details.measures.completed_at,
        details.steps[0].timestamp,
    ]
    found += [details.usage[0].timestamp, shown.measures.started_at, shown.measures.completed_at]
    found += [line.created_at, line.started_at, payloads.created(body, NOW).created_at]
    assert set(found) == {None}
    assert details.parse_error == (
        "unusable fields: steps[0].timestamp, usage.entries[0].timestamp, startedAt, completedAt, createdAt"
    )


MONTH = bounds.DURATION_MS


def test_durations_of_more_than_thirty_days_are_none_and_noted() -> None:
    durations = {"steps": [{"durationMs": MONTH}, {"durationMs": MONTH + 1}], "usage": {"durationMs": MONTH + 1}}
    details = read({**MINIMAL, **durations})
    assert ([step.duration_ms for step in details.steps], details.measures.duration_ms) == ([MONTH, None], None)
    assert details.parse_error == "unusable fields: steps[1].durationMs, usage.durationMs"
    assert (
        payloads.status(json.dumps({**MINIMAL, "durationMs": MONTH + 1}).encode(), NOW).measures.duration_ms
        is None
    )


def test_instants_that_lie_too_far_apart_make_no_duration() -> None:
    times = {"startedAt": "2001-01-01T00:00:00Z", "completedAt": "2026-03-01T12:00:00Z"}
    details = read({**MINIMAL, **times})
    assert (details.measures.duration_ms, details.parse_error) == (
        None,
        "unusable fields: completedAt long after startedAt",
    )


@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"])
def test_names_that_are_indexed_are_cut_and_noted(letter: str) -> None:
    long = letter * 6400
    usage = {"entries": [{"model": long}]}
    details = read({**MINIMAL, "agentId": long, "model": long, "steps": [{"toolName": long}], "usage": usage})
    cut = letter * bounds.NAME
    assert (details.agent_id, details.model) == (cut, cut)
    assert (details.steps[0].tool_name, details.usage[0].model) == (cut, cut)
    assert details.parse_error == "names cut to 200 characters: 4"


def test_the_last_of_equal_keys_wins() -> None:
    assert payloads.details(b'{"id":"run_1","status":"running","status":"failed"}', NOW).status == "failed"


def test_duration_falls_back_on_the_instants() -> None:
    times = {"startedAt": "2026-03-01T12:00:01Z", "completedAt": "2026-03-01T12:00:02.5Z"}
    assert read({**MINIMAL, **times}).measures.duration_ms == 1500
    assert read({**MINIMAL, **times, "usage": {"durationMs": 7}}).measures.duration_ms == 7


def test_a_run_that_ended_before_it_started_has_no_duration() -> None:
    details = read({**MINIMAL, "startedAt": "2026-03-01T12:00:01Z", "completedAt": "2026-03-01T12:00:00Z"})
    assert (details.measures.duration_ms, details.parse_error) == (
        None,
        "unusable fields: completedAt before startedAt",
    )


def test_costs_and_tokens_fall_back_on_what_else_is_there() -> None:
    usage = {"entries": [{"costMicros": 5}, {}, {"costMicros": 7}], "summary": {"totalInputTokens": 3}}
    details = read({**MINIMAL, "usage": usage})
    assert (details.measures.cost_micros, details.measures.input_tokens, details.measures.output_tokens) == (
        12,
        3,
        None,
    )


def test_steps_beyond_the_limit_are_left_out_and_noted() -> None:
    details = read({**MINIMAL, "steps": [{}] * (audit_trail.MOST_STEPS + 2)})
    assert len(details.steps) == audit_trail.MOST_STEPS
    assert details.parse_error == "steps beyond 65536: 2"


def test_usage_entries_beyond_the_limit_are_left_out_and_noted() -> None:
    details = read({**MINIMAL, "usage": {"entries": [{}] * (audit_trail.MOST_STEPS + 2)}})
    assert len(details.usage) == audit_trail.MOST_STEPS
    assert details.parse_error is not None
    assert "usage entries beyond 65536: 2" in details.parse_error


def test_a_failure_is_described_by_the_issues_first() -> None:
    details = read(FAILED)
    assert (details.measures.failure_reason, details.measures.failure_source) == (
        "Vault is locked; Nothing was uploaded",
        "issues",
    )


@pytest.mark.parametrize(
    ("without", "reason", "source"),
    [
        ([("result", "finalResponse")], "ERROR vault locked", "logs"),
        ([("result",)], "I could not open the vault.", "steps"),
        ([("result",), ("steps",)], "error", "runtimeState"),
        ([("result",), ("steps",), ("runtimeState",)], None, None),
    ],
)
def test_a_failure_is_described_by_the_next_best_source(
    without: list[tuple[str | int, ...]], reason: str | None, source: str | None
) -> None:
    document = FAILED
    for path in without:
        document = replaced(document, path, None)
    details = read(document)
    assert (details.measures.failure_reason, details.measures.failure_source) == (reason, source)


def test_the_runner_is_asked_before_the_runtime() -> None:
    logs = {"runtime": "runtime said\n", "opencode": "opencode said", "runner": " \n"}
    assert (
        read({"id": "r", "status": "failed", "result": {"logs": logs}}).measures.failure_reason == "runtime said"
    )


@pytest.mark.parametrize("output", ["timed out", {"error": "timed out"}, {"error": True, "message": "timed out"}])
def test_a_tool_may_describe_the_failure(output: object) -> None:
    steps = [{"content": "before"}, {"toolOutput": output}, {"toolOutput": {"total": 3}, "content": ""}]
    details = read({"id": "r", "status": "failed", "steps": steps})
    assert (details.measures.failure_reason, details.measures.failure_source) == ("timed out", "steps")


def test_a_reason_is_cut() -> None:
    document = {"id": "r", "status": "failed", "steps": [{"content": "x" * 5000}]}
    assert read(document).measures.failure_reason == "x" * 2000


@pytest.mark.parametrize("status", sorted(upstream_values.STATUSES - {"failed"}))
def test_only_a_failed_run_has_a_reason(status: str) -> None:
    assert read({**FAILED, "status": status}).measures.failure_reason is None


def test_a_page_leaves_out_what_names_no_run() -> None:
    page = payloads.page((DATA / "runs-page.json").read_bytes(), NOW)
    assert [run.id for run in page.runs] == ["run_abc123"]
    assert (page.runs[0].created_at, page.runs[0].agent_id) == (at(12, 0, 0), "agent_abc123")
    assert (page.has_more, page.next_cursor) == (True, "run_abc122")


@pytest.mark.parametrize("cursor", [None, 5, "", "../x", "a b"])
def test_a_cursor_that_cannot_be_sent_back_is_none(cursor: object) -> None:
    page = payloads.page(json.dumps({"runs": [], "hasMore": False, "nextCursor": cursor}).encode(), NOW)
    assert page == payloads.Page((), False, None)


def test_a_page_without_a_list_is_unreadable() -> None:
    with pytest.raises(errors.InvalidResponse, match="no list of runs"):
        payloads.page(b'{"runs":null}', NOW)


def test_a_status_is_read() -> None:
    body = b'{"id":"run_1","status":"running","startedAt":"2026-03-01T12:00:00Z","durationMs":1.5}'
    assert payloads.status(body, NOW) == payloads.Status(
        "run_1", states.RUNNING, results.Measures(started_at=at(12, 0, 0))
    )


def test_a_created_run_is_read_even_without_its_instant() -> None:
    assert payloads.created(b'{"id":"run_1","status":"queued"}', NOW) == payloads.Created("run_1", None)
