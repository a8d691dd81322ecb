"""Exports over HTTP: what comes, how it ends, what is refused before the first byte."""

from __future__ import annotations

import asyncio
import codecs
import csv
import hashlib
import io
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver import errors
from receiver.export import flow
from storage.engine.database import Database
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem
from tests.receiver.export import files

pytestmark = pytest.mark.anyio


async def test_json_lines_come_oldest_first_and_end_with_their_digest(deployment: Deployment) -> None:
    await files.populated(deployment.database)
    answer = await deployment.get("/v1/export")
    *lines, last = answer.content.splitlines(keepends=True)
    records = [json.loads(line) for line in lines]
    assert answer.headers["content-type"] == "application/jsonl"
    assert [run["prompt"] for run in records[: len(files.HOSTILE)]] == files.HOSTILE
    assert len(records[0]["steps"]) == 3
    assert "documents" not in records[0]
    digest = hashlib.sha256(b"".join(lines)).hexdigest()
    end = {"records": len(lines), "sha256": digest, "after": None, "unindexed": None}
    assert json.loads(last) == {"trailer": end}


async def test_a_download_goes_on_behind_the_last_run_that_came(deployment: Deployment) -> None:
    await files.populated(deployment.database)
    whole = (await deployment.get("/v1/export?trailer=false")).content.splitlines(keepends=True)
    last = json.loads(whole[4])["id"]
    rest = (await deployment.get(f"/v1/export?after={last}")).content.splitlines(keepends=True)
    assert rest[:-1] == whole[5:]
    assert json.loads(rest[-1])["trailer"]["after"] == last


async def test_the_parameters_of_the_list_choose(deployment: Deployment, subtests: pytest.Subtests) -> None:
    await files.populated(deployment.database)
    for form in ["jsonl", "csv"]:
        with subtests.test(f"{form!r:.60}"):
            path = f"/v1/export?format={form}&trailer=false&q=tag.client:acme&tag.n=3"
            (line,) = (await deployment.get(path)).text.splitlines()[form == "csv" :]
            assert "@SUM" in line


async def test_an_export_by_words_reports_how_many_runs_are_not_indexed(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, prompt="Force majeure.")
    await life.indexed(deployment.database)
    await life.settled_run(deployment.database, prompt="Force majeure, later.")
    *lines, last = (await deployment.get("/v1/export?q=majeure")).text.splitlines()
    assert (len(lines), json.loads(last)["trailer"]["unindexed"]) == (1, 1)


async def test_csv_ends_with_a_record_of_as_many_cells(deployment: Deployment) -> None:
    await files.populated(deployment.database)
    answer = await deployment.get("/v1/export?format=csv")
    head, *rows, last = csv.reader(io.StringIO(answer.text, newline=""))
    digest = hashlib.sha256(answer.content[: answer.content.rindex(b"#trailer")]).hexdigest()
    assert last[:3] == ["#trailer", f"records={len(rows)}", f"sha256={digest}"]
    assert {len(row) for row in (head, *rows, last)} == {len(head)}


@pytest.mark.anyio
async def test_csv_begins_with_a_byte_order_mark_where_one_is_wanted(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, prompt="Prüfung")
    plain = (await deployment.get("/v1/export?format=csv&trailer=false")).content
    marked = (await deployment.get("/v1/export?format=csv&trailer=false&bom=true")).content
    assert marked == codecs.BOM_UTF8 + plain
    first = next(csv.DictReader(io.StringIO(plain.decode(), newline="")))
    rest = (await deployment.get(f"/v1/export?format=csv&bom=true&trailer=false&after={first['id']}")).content
    assert rest == b"", "what goes on has no mark in its middle"


async def test_a_part_of_csv_has_no_head(deployment: Deployment) -> None:
    await files.populated(deployment.database)
    whole = (await deployment.get("/v1/export?format=csv&trailer=false")).content
    first = next(csv.DictReader(io.StringIO(whole.decode(), newline="")))
    rest = (await deployment.get(f"/v1/export?format=csv&trailer=false&after={first['id']}")).content
    assert whole.endswith(rest)
    assert not rest.startswith(b"id,")


async def test_an_impossible_export_is_refused_before_the_first_byte(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for asked, status, parameter in [
        ("after=..", 400, "after"),
        ("format=xls", 400, "format"),
        ("format=csv&documents=true", 400, "documents"),
        ("format=jsonl&bom=true", 400, "bom"),
        ("format=parquet&after=run_1", 400, "after"),
        ("q=colour:red", 400, "q"),
        ("limit=5", 400, "limit"),
        ("sort=-cost", 400, "sort"),
    ]:
        with subtests.test(f"{asked!r:.60}"):
            assert problem(await deployment.get(f"/v1/export?{asked}"), status)["parameter"] == parameter


async def test_parquet_without_its_package_is_refused_with_the_command_that_installs_it(
    deployment: Deployment,
) -> None:
    answer = problem(await deployment.get("/v1/export?format=parquet"), 501)
    assert answer["detail"].endswith("pip install 'runledger[parquet]'")


async def test_a_key_without_the_scope_read_may_not_export(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/export", "submit"), 403)


async def test_a_run_that_is_not_here_cannot_be_gone_on_behind(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/export?after=run_unknown"), 404)


async def test_head_is_get_without_its_body(deployment: Deployment) -> None:
    answer = await deployment.ask("HEAD", "/v1/export?format=csv", "read")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-disposition"] == 'attachment; filename="runs-20261123T120000Z.csv"'
    assert (await deployment.get("/v1/export")).status_code == 200


async def test_no_more_exports_run_at_once_than_there_are_slots(database: Database) -> None:
    slots = flow.ExportSlots(1)
    async for made in app_fixture.opened(database, export_slots=slots):
        with slots.slot():
            answer = problem(await made.get("/v1/export"), 503)
        assert answer["type"] == "urn:runledger:problem:too-many-streams"
        assert (await made.get("/v1/export")).status_code == 200


async def test_an_export_releases_its_slot_however_it_ends(database: Database) -> None:
    async for made in app_fixture.opened(database, export_slots=flow.ExportSlots(1)):
        for method, asked, status in (
            ("HEAD", "", 200),
            ("HEAD", "", 200),
            ("GET", "after=x", 404),
            ("GET", "", 200),
        ):
            answer = await made.ask(method, f"/v1/export?{asked}", "read")
            assert answer.status_code == status


async def test_an_export_ends_however_many_runs_come_meanwhile(database: Database) -> None:
    for _ in range(3):
        await life.accepted(database)
    pieces, count = files.begun(database, documents=False).pieces(), 0
    async for piece in pieces:
        await life.accepted(database)
        count += piece.count(b"\n")
    assert count == 3 + 1


async def test_a_server_that_stops_breaks_an_export_off(database: Database) -> None:
    await life.accepted(database)
    stopping = asyncio.Event()
    pieces: AsyncGenerator[bytes, None] = files.begun(database, stopping=stopping).pieces()
    await anext(pieces)
    stopping.set()
    with pytest.raises(errors.StreamInterrupted):
        await anext(pieces)


VALUES = st.one_of(
    st.text(max_size=30), st.sampled_from(["jsonl", "csv", "true", "status:failed", '"a b"', "-7d"])
)
NAMES = st.sampled_from(
    ["format", "documents", "trailer", "after", "q", "status", "cost", "tag.a", "tool", "has", "created", "x"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asked=st.dictionaries(NAMES, VALUES, max_size=5))
async def test_any_request_is_answered(deployment: Deployment, asked: dict[str, Any]) -> None:
    answer = await deployment.get("/v1/export", params=asked)
    assert answer.status_code in (200, 400, 404, 501)
