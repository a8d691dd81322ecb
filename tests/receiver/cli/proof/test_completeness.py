"""The upstream's list against the store, over real sockets."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import life, sandbox_server
from tests.receiver.cli.terminal import Screen, Terminal


@dataclass(frozen=True)
class Setup:
    """A sandbox with earlier runs, of which three are stored."""

    sandbox: sandbox_server.Sandbox
    terminal: Terminal
    stored: list[str]

    def check(self, *words: str) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        screen = self.terminal.type("ledger", "completeness", "--from", "1d", *words, "--json")
        assert screen.code == 0, screen.err
        return screen.object

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.terminal.folder / "runledger.db") as connection:
            found = connection.execute(statement).fetchall()
        connection.close()
        return found

    def entries(self) -> list[dict[str, Any]]:
        found = self.rows("SELECT body FROM ledger_entries WHERE kind = 'completeness.checked'")
        return [json.loads(body) for (body,) in found]


@pytest.fixture
def setup(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    with sandbox_server.running() as sandbox:
        monkeypatch.setenv("CASEDEV_BASE_URL", sandbox.url)
        monkeypatch.setenv("CASEDEV_API_KEY", sandbox_server.KEY)
        stored = sandbox.past(3, ago=600)
        assert terminal.type("backfill").code == 0
        yield Setup(sandbox, terminal, stored)


def about(found: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    """Return ids and reasons of one kind."""
    return [(each.get("upstreamId", each.get("run")), each["reason"]) for each in found["report"][kind]["runs"]]


def test_a_complete_store_is_reported_as_such(setup: Setup) -> None:
    report = setup.check()["report"]
    assert [report[kind]["count"] for kind in ("missing", "extra", "differing")] == [0, 0, 0]
    assert (report["listed"], report["stored"]) == (3, 3)


def test_what_the_store_lacks_has_its_reason(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere,) = setup.sandbox.past(1, ago=300)
    assert about(setup.check(), "missing") == [(elsewhere, "not_adopted")]
    monkeypatch.setenv("RUNLEDGER_ADOPT", "all")
    assert about(setup.check(), "missing") == [(elsewhere, "not_swept_yet")]
    swept = "VALUES (1, '2999-01-01T00:00:00.000000Z') ON CONFLICT DO UPDATE SET swept_at = excluded.swept_at"
    setup.rows(f"INSERT INTO system_state (id, swept_at) {swept}")
    assert about(setup.check(), "missing") == [(elsewhere, "before_adoption")]


def test_an_orphan_is_named_with_the_run_that_left_it(setup: Setup) -> None:
    (orphan,) = setup.sandbox.past(1, ago=300)
    (run,) = setup.rows("SELECT id FROM runs LIMIT 1")[0]
    setup.rows(
        f"INSERT INTO upstream_links VALUES ('{orphan}', '{run}', 'orphan', '2026-01-01T00:00:00.000000Z', NULL)"
    )
    (found,) = setup.check()["report"]["missing"]["runs"]
    assert (found["upstreamId"], found["reason"], found["run"]) == (orphan, "orphan", run)


def test_what_the_list_lacks_has_its_reason(setup: Setup) -> None:
    waiting = setup.terminal.in_database(life.accepted)
    gone = setup.terminal.in_database(life.settled_run)
    recent = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-1 minute')"
    setup.rows(f"UPDATE runs SET accepted_at = {recent} WHERE id = '{waiting.id}'")
    setup.rows(f"UPDATE runs SET created_at = {recent} WHERE id = '{gone.id}'")
    expected = [(waiting.id, "never_created"), (gone.upstream_id, "not_listed")]
    assert about(setup.check(), "extra") == expected
    setup.rows(f"UPDATE runs SET missing_since = {recent} WHERE id = '{gone.id}'")
    assert about(setup.check(), "extra")[1] == (gone.upstream_id, "lost")
    older = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-3 hours')"
    setup.rows(f"UPDATE runs SET created_at = {older} WHERE id = '{gone.id}'")
    assert about(setup.check(), "extra")[1] == (gone.upstream_id, "beyond_list")


def test_states_that_differ_are_named(setup: Setup) -> None:
    first, second, _ = setup.stored
    setup.rows(f"UPDATE runs SET status = 'failed' WHERE upstream_id = '{first}'")
    setup.rows(f"UPDATE runs SET status = 'running' WHERE upstream_id = '{second}'")
    found = setup.check()
    assert sorted(about(found, "differing")) == sorted([(first, "conflict"), (second, "not_settled")])
    assert {(each["listed"], each["stored"]) for each in found["report"]["differing"]["runs"]} == {
        ("completed", "failed"),
        ("completed", "running"),
    }


def test_runs_outside_the_range_are_not_compared(setup: Setup) -> None:
    setup.sandbox.past(2, ago=5)
    report = setup.check("--to", "3m")["report"]
    assert (report["listed"], report["stored"], report["missing"]["count"]) == (3, 3, 0)


def test_a_list_of_many_pages_is_read_to_the_beginning_of_the_range(setup: Setup) -> None:
    setup.sandbox.past(510, ago=30)
    report = setup.check()["report"]
    assert (report["listed"], report["missing"]["reasons"]) == (513, {"not_adopted": 510})


def test_the_kept_report_has_the_digest_that_the_ledger_records(setup: Setup) -> None:
    setup.sandbox.past(1, ago=300)
    found = setup.check()
    ((body,),) = setup.rows("SELECT body FROM completeness_reports")
    assert json.loads(body) == found["report"]
    spelled = json.dumps(found["report"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(bytes.fromhex(found["salt"]) + b"report\0" + spelled.encode()).hexdigest()
    (entry,) = setup.entries()
    assert entry["digests"] == {"report": digest} == {"report": found["digest"]}
    assert (entry["facts"]["reportId"], entry["facts"]["missing"], entry["actor"]) == (found["id"], 1, "operator")


def shown(setup: Setup, *words: str) -> Screen:
    return setup.terminal.type("ledger", "completeness", *words)


def test_the_report_is_a_few_sentences_for_people(setup: Setup) -> None:
    (elsewhere,) = setup.sandbox.past(1, ago=300)
    screen = shown(setup, "--from", "1d")
    for said in ("4 listed upstream, 3 stored", "1 not_adopted: it was created elsewhere", elsewhere, "0 in diff"):
        assert said in screen.out


def test_a_range_that_cannot_be_and_an_upstream_that_is_away_leave_no_report(setup: Setup) -> None:
    for options, fault in (
        (("1d", "--to", "2d"), "is not before --to"),
        (("1d", "--to", "2999-01-01"), "--to 2999-01-01 00:00:00Z is in the future"),
        (("soon",), "runledger: --from: 'soon' is not an instant"),
    ):
        screen = shown(setup, "--from", *options)
        assert (screen.code, fault in screen.err) == (2, True)
    setup.sandbox.faults(script=[{"route": "list", "times": 1, "action": "status:403"}])
    screen = shown(setup, "--from", "1d")
    assert (screen.code, "no report is kept" in screen.err) == (1, True)
    assert setup.entries() == []
