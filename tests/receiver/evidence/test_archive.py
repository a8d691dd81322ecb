"""Evidence of what is stored, on both databases, and each way in which it can be wrong."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Connection, Update, delete, select, update

from receiver import errors
from receiver.crypto import log_keys, log_policy
from receiver.evidence import archive
from receiver.verifier.evidence import check, values
from storage import ids, states
from storage.actions import reviews
from storage.engine.database import Database
from storage.ledger import entries, proofs
from storage.retention import erasing
from storage.tables.deliveries import DELIVERIES
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_STEPS, RUNS, UPSTREAM_LINKS
from storage.transitions import adopting, submitting
from tests import evidence_store, life
from tests.tamper import opened, stores

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "evidence.zip"


async def test_all_values_of_a_run_are_disclosed_and_hold(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    assert found.notes == []
    (shown,) = found.runs
    assert set(shown[values.DISCLOSED]) == {*values.NAMES} - {"instructions", "failureReason", "comment"}
    assert (shown["status"], shown["entries"]) == ("completed", 5)


async def test_the_same_store_gives_the_same_bytes(database: Database, tmp_path: Path) -> None:
    run = await evidence_store.settle(database)
    one = await evidence_store.make(database, tmp_path / "one.zip", run)
    assert one.read_bytes() == (await evidence_store.make(database, tmp_path / "two.zip", run)).read_bytes()


async def test_runs_of_every_life_hold(database: Database, path: Path) -> None:
    open_run = await life.running(database, "run_2")
    waiting = await life.accepted(database)
    cancelled = await life.accepted(database)
    await database.write(submitting.request_cancel, cancelled.id, "key:backend", life.at(5))
    failed = await evidence_store.settle(database, "run_3", {"output": None, "failure_reason": "No access."})
    found = check.check(await evidence_store.make(database, path, open_run.id, waiting.id, cancelled.id, failed))
    assert found.failures == []
    assert [run["status"] for run in found.runs] == [None, None, "cancelled", "completed"]


async def test_values_that_were_replaced_are_named_and_the_new_ones_hold(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    await database.write(submitting.change_tags, run, {"client": "other"}, "key:backend", life.at(70))
    later = life.result(body=b'{"version":2}', measures=life.measures(output="The lease is valid.", cost_micros=7))
    await life.settle(database, await life.get_run(database, run), later, life.at(80))
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    assert found.runs[0][values.REPLACED] == ["output", "tags"]
    files = evidence_store.read(path)
    assert files[f"runs/{run}/output.txt"] == b"The lease is valid."
    assert {f"runs/{run}/document-{version}.json" for version in (1, 2)} <= set(files)


async def test_a_callback_that_came_before_its_run_was_known_is_there(database: Database, path: Path) -> None:
    await evidence_store.receive(database, None, upstream_id="run_early", event_id="evt_1")
    run = await evidence_store.settle(database, "run_early")
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    assert found.runs[0]["entries"] == 6


async def test_what_was_erased_is_named_and_every_proof_holds(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    everything = erasing.Erasure("asked for", "key:backend")
    await database.write(erasing.erase_run, run, everything, life.at(100))
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    assert found.runs[0][values.DISCLOSED] == ["tags"]
    assert {"prompt", "output", "steps", "usage", "body", "document"} <= set(found.runs[0][values.ERASED])


async def test_where_the_prompt_alone_was_erased_the_rest_is_disclosed(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    prompt = erasing.Erasure("asked for", "key:backend", fields=frozenset({states.Content.PROMPT}))
    await database.write(erasing.erase_run, run, prompt, life.at(100))
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    assert {"output", "summary", "guidance", "tags"} <= set(found.runs[0][values.DISCLOSED])
    assert "prompt" in found.runs[0][values.ERASED]


CHANGES: dict[str, tuple[Update, str]] = {
    "an answer": (update(RUNS).values(output="The lease is valid."), "output is not the value that was recorded"),
    "a prompt": (update(RUNS).values(prompt="Another."), "prompt is not the value that was recorded"),
    "a cost": (update(RUNS).values(cost_micros=1), "the record has costMicros 1, and the entries say 3000"),
    "a state": (update(RUNS).values(status="failed"), "the record has status 'failed'"),
    "an id": (update(RUNS).values(upstream_id="run_9"), "the record has upstreamId 'run_9'"),
    "a step": (update(RUN_STEPS).values(content="x"), "steps is not the value that was recorded"),
    "a body": (update(DELIVERIES).values(body=b"{}"), "body is not the value that was recorded"),
    "a size": (update(DELIVERIES).values(size=9), "has size 9, and the entries say"),
    "all salts": (update(LEDGER_ENTRIES).values(salts=None), "no entry says that it was erased"),
    "a missing answer": (update(RUNS).values(output=None), "output is missing where Runledger keeps it"),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_row_that_was_changed_in_the_store_is_named(name: str, database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    statement, reason = CHANGES[name]

    def tamper(connection: Connection) -> None:
        if name == "an id":
            connection.execute(delete(UPSTREAM_LINKS))
        connection.execute(statement)

    await database.write(tamper)
    found = check.check(await evidence_store.make(database, path, run))
    assert any(reason in each for each in found.failures), found.failures


async def test_an_entry_of_a_kind_that_is_not_known_is_named_and_proved(database: Database, path: Path) -> None:
    class Later(StrEnum):
        KIND = "run.of_a_later_release"

    run = await evidence_store.settle(database)
    entry = entries.Entry(cast(entries.Kind, Later.KIND), life.at(90), run, "worker", {"fact": 1})
    await database.write(entries.append, [entry])
    found = check.check(await evidence_store.make(database, path, run))
    assert found.is_ok
    assert found.notes == [f"run {run}: this release does not know entries of the kind run.of_a_later_release"]


PLANTED = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> \u202e\x1b[31m http://planted.example/"


_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "ol", "li", "a", "pre"),
    *("table", "tr", "th", "td"),
}


class _Page(HTMLParser):
    """The tags and the attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags = set[str]()
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


async def test_a_run_with_markup_in_every_field_makes_a_page_that_shows_it(database: Database, path: Path) -> None:
    texts = {name: f"{name} {PLANTED}" for name in ("prompt", "guidance", "agent_id", "model", "submitted_by")}
    measures = {name: f"{name} {PLANTED}" for name in ("output", "summary", "failure_source")}
    run = await life.running(database, "run_1", tags={"client": PLANTED}, object_ids=(PLANTED,), **texts)
    await evidence_store.receive(database, run.id, event_id=f"evt {PLANTED}")
    (step,) = life.steps(1, PLANTED)
    step = dataclasses.replace(step, type=PLANTED, tool_name=PLANTED, tool_input=PLANTED)
    await life.settle(database, run, life.result(measures=life.measures(**measures), steps=[step]))
    assert check.check(await evidence_store.make(database, path, run.id)).failures == []
    page = evidence_store.read(path)["summary.html"].decode()
    assert page.count("alert(1)") > 15
    shown = _Page(page)
    assert shown.tags == _TAGS
    assert all(value.startswith("#run-") for name, value in shown.attributes if name in ("href", "src"))
    assert not {"\u202e", "\x1b"} & set(page)
    assert "default-src 'none'" in page


async def test_withheld_values_and_their_salts_are_nowhere_in_the_file(database: Database, path: Path) -> None:
    measures = {"output": "open-output", "summary": "hidden-summary"}
    run = await evidence_store.settle(
        database, measures=measures, prompt="open-prompt", guidance="hidden-guidance"
    )
    await evidence_store.receive(database, run, body=b'{"hidden":"hidden-body"}', event_id="evt_1")
    found = check.check(await evidence_store.make(database, path, run, only=["prompt", "output"]))
    assert found.failures == []
    assert found.runs[0][values.DISCLOSED] == ["output", "prompt"]
    assert {"summary", "guidance", "tags", "steps", "document", "body"} <= set(found.runs[0][values.WITHHELD])
    whole = b"".join(evidence_store.read(path).values())
    assert b"open-prompt" in whole
    for hidden in (b"hidden-", b"acme", b"obj_1", b"Read the lease", *await _salts(database, "prompt", "output")):
        assert hidden not in whole


async def _salts(database: Database, *but: str) -> list[bytes]:
    def read(connection: Connection) -> list[bytes]:
        rows = connection.execute(LEDGER_ENTRIES.select()).all()
        return [salt.encode() for row in rows for name, salt in (row.salts or {}).items() if name not in but]

    return await database.read(read)


async def test_reviews_are_there_with_their_comments(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    for place, verdict in enumerate((states.ReviewVerdict.APPROVED, states.ReviewVerdict.REJECTED)):
        review = reviews.Review(
            ids.new(life.at(90)), run, verdict, f"said {place}", "key:ann", life.at(90 + place)
        )
        await database.write(reviews.add, review)
    found = check.check(await evidence_store.make(database, path, run))
    assert found.failures == []
    files = evidence_store.read(path)
    assert {data for name, data in files.items() if "/reviews/" in name} == {b"said 0", b"said 1"}
    assert b'"review": "rejected"' in files[f"runs/{run}/run.json"]


async def test_a_policy_of_the_auditors_own_decides_whose_keys_count(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    await evidence_store.make(database, path, run)
    right = evidence_store.POLICY.text.encode()
    assert check.check(path, right).is_ok
    other = log_policy.Policy([log_keys.new(evidence_store.LOG.name).verifier]).text.encode()
    assert "no key of the log in the policy has signed the checkpoint" in check.check(path, other).failures


async def test_evidence_of_each_run_that_has_an_entry_holds(database: Database, path: Path) -> None:
    await stores.fill(database)
    newest = await database.read(proofs.newest_checkpoint)
    assert newest is not None
    of_runs = select(LEDGER_ENTRIES.c.run_id).where(LEDGER_ENTRIES.c.run_id.is_not(None)).distinct()
    ids_of_runs = [each for (each,) in await database.read(lambda connection: connection.execute(of_runs).all())]
    await archive.write(database, path, ids_of_runs, newest, log_policy.Policy([opened.SIGNER.verifier]))
    found = check.check(path)
    assert found.failures == []
    assert len(found.runs) == len(ids_of_runs) > 15


async def test_a_value_is_not_shown_as_it_was_before_a_later_one(database: Database, path: Path) -> None:
    run = await evidence_store.settle(database)
    await database.write(submitting.change_tags, run, {"client": "other"}, "key:backend", life.at(90))
    files = evidence_store.read(await evidence_store.make(database, path, run))
    name = f"runs/{run}/run.json"
    content = json.loads(files[name])
    old, new = [each for each in content["values"] if each["name"] == "tags"]
    salts = await database.read(lambda c: c.execute(select(LEDGER_ENTRIES.c.salts).order_by("seq").limit(1)).one())
    old |= {"state": values.DISCLOSED, "salts": [salts[0]["tags"]]}
    new["state"] = values.WITHHELD
    del new["salts"]
    files |= {name: json.dumps(content).encode(), f"runs/{run}/tags.json": b'{"client":"acme"}'}
    found = check.check(evidence_store.write(path, evidence_store.sealed(files)))
    assert any("tags is disclosed as it was before a later entry" in each for each in found.failures)


async def test_a_run_without_entries_gives_no_evidence(database: Database, path: Path) -> None:
    adoption = adopting.Adoption(
        ids.new(life.NOW), "run_1", "backend", states.Source.REQUEST, life.NOW, life.at(60)
    )
    run, _ = await database.write(adopting.adopt, adoption)
    await life.accepted(database)
    with pytest.raises(errors.EvidenceNotMade, match="no entry yet"):
        await evidence_store.make(database, path, run.id)
