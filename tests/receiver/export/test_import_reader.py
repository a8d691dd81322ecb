"""Reading a file back: any bytes are a record or a named fault, and a cut anywhere is noticed."""

from __future__ import annotations

import codecs
import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import errors
from receiver.export import import_reader, jsonl, run_columns
from storage import bounds, ids, states
from storage.engine.database import Database
from storage.query import run_chunks
from storage.repositories import documents, runs
from tests import life
from tests.receiver.export import files

#: A run that ended, as a line tells it.
RUN: dict[str, Any] = {
    **dict.fromkeys(run_columns.FIELDS),
    "id": ids.new(life.NOW),
    "origin": "submitted",
    "status": "completed",
    "submittedBy": "backend",
    "acceptedAt": "2026-11-23T12:00:00.000000Z",
    "settledAt": "2026-11-23T12:01:00.000000Z",
    "stepCount": 0,
    "tags": {},
}
USE = {**dict.fromkeys(jsonl.USAGE_FIELDS), "position": 0}
STEP = {**dict.fromkeys(jsonl.STEP_FIELDS), "position": 0}
DOCUMENT = {"version": 1, "text": "{}", "sha256": "0" * 64, "fetchedAt": RUN["acceptedAt"], "parseError": None}


def line_of(**changes: Any) -> bytes:
    return json.dumps({**RUN, **changes}).encode()


def read(data: bytes, size: int | None = None) -> tuple[int, list[str]]:
    """Return the number of records in the data, and what is said of the other lines."""
    report = import_reader.Report()
    return len(list(import_reader.records(io.BytesIO(data), size, life.NOW, report))), report.refused


@pytest.mark.anyio
async def test_a_cut_at_every_place_is_noticed(database: Database) -> None:
    await life.settled_run(database)
    await life.settled_run(database)
    whole = await files.bytes_of(database)
    assert files.trailer(whole)["records"] == 2
    for cut in range(len(whole)):
        with pytest.raises(errors.InvalidExport):
            import_reader.verify(io.BytesIO(whole[:cut]))


@pytest.mark.anyio
async def test_a_byte_order_mark_that_an_editor_put_in_front_changes_nothing(database: Database) -> None:
    await life.settled_run(database)
    data = codecs.BOM_UTF8 + await files.bytes_of(database)
    size = import_reader.verify(io.BytesIO(data))
    for most in (size, None):
        assert read(data, most) == (1, [])
    with pytest.raises(errors.InvalidExport):
        import_reader.verify(io.BytesIO(codecs.BOM_UTF8 + data))


@pytest.mark.anyio
async def test_a_line_that_is_missing_doubled_or_changed_is_noticed(database: Database) -> None:
    for prompt in ("one", "two"):
        await life.settled_run(database, prompt=prompt)
    one, two, end = (await files.bytes_of(database)).splitlines(keepends=True)
    for bad in ([one, end], [one, one, two, end], [two, one, end], [one.replace(b"one", b"uno"), two, end]):
        with pytest.raises(errors.InvalidExport):
            import_reader.verify(io.BytesIO(b"".join(bad)))


@pytest.mark.anyio
async def test_parts_that_were_joined_are_as_good_as_the_whole(database: Database) -> None:
    for _ in range(3):
        await life.settled_run(database)
    lines = (await files.bytes_of(database)).splitlines(keepends=True)
    rest = await files.bytes_of(database, after=json.loads(lines[0])["id"])
    for file in (lines[0] + rest, rest):
        assert files.trailer(file)["records"] == 2
    joined = lines[0] + rest
    assert read(joined, import_reader.verify(io.BytesIO(joined))) == (3, [])


def test_a_run_without_a_submitter_in_the_file_names_the_import() -> None:
    without = {name: value for name, value in RUN.items() if name != "submittedBy"}
    found, _ = import_reader.record(json.dumps(without).encode(), life.NOW)
    assert found.run.submitted_by == states.Submitter.IMPORT


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "a b"}, "id: is none that Runledger gave"),
        ({"id": "run_1"}, "id: is none that Runledger gave"),
        ({"upstreamId": "../x"}, "may hold letters"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"status": "done"}, "status"),
        ({"costMicros": 1 << 63}, "out of range"),
        ({"acceptedAt": "2026-11-23T12:00:00"}, "no time zone"),
        ({"colour": "red"}, "colour is unknown"),
        ({"agentId": "é" * 2049}, "more than 4096 bytes"),
        ({"stepCount": 4}, "stepCount: says 4, and there are 0"),
        ({"steps": [{**STEP, "position": 1}]}, "positions go from 0"),
        ({"steps": [{**STEP, "position": -1}]}, "positions go from 0"),
        ({"steps": "many"}, "list of objects"),
        ({"documents": [DOCUMENT]}, "not those of its SHA-256"),
        ({"documents": [{**DOCUMENT, "base64": "%"}]}, "not those of its SHA-256"),
        ({"tags": {"a": 1}}, "tags"),
        ({"agentId": "a" * 201}, "agentId: has 201 characters, more than the 200"),
        ({"model": "𝄞" * 201}, "model: has 201 characters"),
        ({"submittedBy": "s" * 201}, "submittedBy: has 201 characters"),
        ({"idempotencyKey": "k" * 256}, "idempotencyKey: has 256 characters"),
        ({"tags": {"k" * 65: "v"}}, "tags: a name: has 65 characters"),
        ({"tags": {"client": "v" * 257}}, "tags: client: has 257 characters"),
        ({"inputTokens": 2**53}, "inputTokens: is out of range"),
        ({"outputTokens": -1}, "outputTokens: is out of range"),
        ({"usage": [{**USE, "totalTokens": 2**53}]}, "usage[0].totalTokens: is out of range"),
        ({"acceptedAt": "0001-01-01T00:00:00Z"}, "acceptedAt: lies before 2000 or more than a year ahead"),
        ({"settledAt": "9999-12-31T23:59:59.999999Z"}, "settledAt: lies before 2000"),
    ],
)
def test_a_wrong_line_is_reported_by_its_number(changes: dict[str, Any], said: str) -> None:
    count, (refused,) = read(line_of() + b"\n" + line_of(**changes) + b"\n")
    assert count == 1
    assert refused.startswith("line 2: " if "id" in changes else f"line 2: run {RUN['id']}: ")
    assert said in refused


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_instants_and_durations_that_cannot_be_are_left_out_and_noted(text: str) -> None:
    month = bounds.DURATION_MS
    times = {"createdAt": text, "startedAt": text, "completedAt": text, "durationMs": month + 1}
    step = {**STEP, "timestamp": text, "durationMs": month}
    sha = hashlib.sha256(b"{}").hexdigest()
    line = line_of(**times, stepCount=1, steps=[step], documents=[{**DOCUMENT, "sha256": sha}])
    report = import_reader.Report()
    ((found, _),) = import_reader.records(io.BytesIO(line + b"\n"), None, life.NOW, report)
    run, left_out = found.run, "createdAt, startedAt, completedAt, durationMs, steps[0].timestamp"
    assert (run.created_at, run.started_at, run.completed_at, run.duration_ms) == (None,) * 4
    assert (found.steps[0].timestamp, found.steps[0].duration_ms) == (None, month)
    assert [each.parse_error for each in found.documents or ()] == [f"left out at the import: {left_out}"]
    assert report == import_reader.Report(left_out=[f"line 1: run {run.id}: {left_out}"])


def test_a_line_that_is_wrong_is_named_and_the_next_ones_are_read() -> None:
    count, refused = read(b"\n".join([line_of(), b"{", line_of(model="m" * 201), line_of(), b""]))
    assert (count, [each.partition(": ")[0] for each in refused]) == (2, ["line 2", "line 3"])
    assert f"run {RUN['id']}: model: has 201 characters" in refused[1]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*RUN, "steps", "usage", "documents"]), JSON, max_size=4))
def test_any_value_of_a_field_gives_a_record_or_a_message(changes: dict[str, Any]) -> None:
    count, refused = read(line_of(**changes) + b"\n")
    assert count + len(refused) == 1


@given(st.binary(max_size=200), st.booleans())
def test_whatever_the_bytes_they_are_refused_in_a_sentence(content: bytes, ends: bool) -> None:
    with pytest.raises(errors.InvalidExport):
        import_reader.verify(io.BytesIO(content + b"\n" * ends))
    assert import_reader.resume_point(io.BytesIO(content)).size <= len(content)


@given(st.text(), st.text(), st.binary(max_size=50))
def test_any_text_and_any_bytes_come_back_from_their_line(prompt: str, output: str, body: bytes) -> None:
    held, _ = import_reader.record(
        line_of(prompt=prompt.replace("\0", ""), output=output.replace("\0", "")), life.NOW
    )
    record = run_chunks.Record(replace(held.run, step_count=2), life.steps(2), life.usage(1), [documents_of(body)])
    line = files.line(record)
    assert line.decode().splitlines() == [line.decode()[:-1]]
    back, _ = import_reader.record(line, life.NOW)
    assert run_chunks.is_same(back, record)
    assert files.line(back) == line


def documents_of(body: bytes) -> documents.Document:
    held = life.document(body)
    return documents.Document(held.body, held.body_sha256, held.size, held.fetched_at, None, 1)


def test_the_fields_of_a_line_are_those_of_a_run_but_what_its_store_has_to_do() -> None:
    known = {each for each in runs.Run.__dataclass_fields__ if each not in run_chunks.LOCAL_COLUMNS}
    assert set(run_columns.FIELDS.values()) == known
