"""The findings of the doctor, each by itself, and how they are shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from receiver import settings
from receiver.cli.doctor import configuration_checks, findings, local_checks, runner, store_checks, upstream_checks
from receiver.cli.doctor.findings import CheckContext, Finding, Level
from storage import states
from storage.maintenance import integrity
from storage.repositories import system_state
from storage.search import index
from tests import life
from tests.receiver.cli.terminal import Terminal, process

GIB = 1 << 30


@pytest.fixture
def alone(new_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a new terminal whose upstream is away."""
    monkeypatch.setenv("CASEDEV_BASE_URL", "http://127.0.0.1:9")
    return new_terminal


@pytest.mark.parametrize(
    ("free", "level"),
    [(2 * GIB, Level.OK), (GIB, Level.OK), (GIB - 1, Level.WARNING), (100 << 20, Level.WARNING), (9, Level.FAULT)],
)
def test_disk_space_is_judged_by_what_is_free(free: int, level: Level) -> None:
    assert local_checks.space_finding(free).level is level


@pytest.mark.parametrize(
    ("skew", "level", "message"),
    [
        (None, Level.WARNING, "no Date"),
        (0.4, Level.OK, "within 1 s"),
        (-29, Level.OK, "within 29 s"),
        (31, Level.WARNING, "31 s behind"),
        (-241, Level.FAULT, "241 s ahead of"),
    ],
)
def test_the_clock_is_judged_by_how_far_it_is_off(skew: float | None, level: Level, message: str) -> None:
    found = upstream_checks.clock_finding(skew)
    assert found.level is level
    assert message in found.message


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (integrity.Inspection(9, "wal", None, True), Level.OK),
        (integrity.Inspection(9, "delete", None, True), Level.WARNING),
        (integrity.Inspection(9, "wal", None, False), Level.WARNING),
        (integrity.Inspection(9, "wal", "row 3 missing from index", True), Level.FAULT),
    ],
)
def test_the_file_is_judged_by_what_sqlite_found(seen: integrity.Inspection, level: Level) -> None:
    assert store_checks.file_finding(seen, "runledger.db").level is level


def test_a_worker_that_was_not_seen_lately_is_worth_a_look() -> None:
    levels = [
        store_checks.worker_finding(system_state.State(worker_seen_at=seen), life.NOW).level
        for seen in (None, life.NOW - timedelta(seconds=16), life.NOW - timedelta(seconds=15))
    ]
    assert levels == [Level.WARNING, Level.WARNING, Level.OK]


def test_jobs_that_fail_or_were_given_up_are_counted() -> None:
    assert store_checks.work_finding(0, {}).level is Level.OK
    found = store_checks.work_finding(2, {states.Kind.NOTIFY: 1})
    assert (found.level, found.message) == (Level.WARNING, "2 failed when last tried, 1 of kind notify given up")


def test_runs_that_wait_long_to_be_indexed_are_reported() -> None:
    levels = [
        store_checks.search_finding(index.Lag(3, since), life.NOW).level
        for since in (None, life.NOW - timedelta(minutes=9), life.NOW - timedelta(minutes=10))
    ]
    assert levels == [Level.OK, Level.OK, Level.WARNING]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            configuration_checks.Page(None, error="the connection is refused"),
            "cannot be reached: the connection is refused",
        ),
        (configuration_checks.Page(301, location="https://www.example.com/"), "leads to https://www.example.com/"),
        (configuration_checks.Page(200, b"<html>Welcome</html>"), "not as Runledger does"),
        (configuration_checks.Page(200, b'{"ok": true}'), "not as Runledger does"),
        (configuration_checks.Page(502, b'{"ok": true, "version": "0.1.0"}'), "answers 502"),
    ],
)
def test_a_public_address_of_another_server_is_distinguished_from_ours(
    page: configuration_checks.Page, message: str
) -> None:
    found = configuration_checks.health_finding(page, "https://runledger.example.com")
    assert found.level is Level.FAULT
    assert message in found.message


def test_a_proxy_that_keeps_callbacks_out_is_named() -> None:
    found = configuration_checks.ours_finding(configuration_checks.Page(403), "https://runledger.example.com")
    assert found.level is Level.FAULT
    assert "have the proxy pass /callbacks/" in found.advice


def test_a_backend_at_a_private_address_is_a_fault_unless_it_is_meant() -> None:
    found = configuration_checks.backend_finding("backend.test", ["10.0.0.5"], allows_private=False)
    assert found is not None
    assert found.level is Level.FAULT
    assert configuration_checks.backend_finding("backend.test", ["10.0.0.5"], allows_private=True) is None
    assert configuration_checks.backend_finding("backend.test", ["93.184.215.14"], allows_private=False) is None


def test_a_check_that_breaks_or_hangs_is_reported_and_hides_nothing() -> None:
    async def breaks(_context: CheckContext) -> AsyncIterator[Finding]:
        yield findings.ok("first", "seen before it broke")
        raise ValueError("broken")

    async def hangs(_context: CheckContext) -> AsyncIterator[Finding]:
        await asyncio.Event().wait()
        yield findings.ok("never", "")

    checks = {"database": breaks, "upstream": hangs, "programs": local_checks.programs}
    context = CheckContext(settings.load(env_file=None), {}, [], {}, timeout=0.2)
    found = {each.name: each for each in asyncio.run(runner.run(context, checks))}
    assert found["first"].level is Level.OK
    assert found["database"].message == "this check broke: ValueError: broken"
    assert found["upstream"].message == "this check did not end in time"
    assert found["event loop"].level is Level.OK


def test_a_fresh_folder_is_no_fault_and_stays_as_it_is(alone: Terminal) -> None:
    screen = alone.type("doctor", "--json")
    levels = {each["name"]: each["level"] for each in screen.objects}
    assert (levels["data folder"], levels["database"], levels["key"]) == ("warning", "warning", "fault")
    assert screen.code == 1
    assert not alone.folder.exists()


def test_an_unknown_name_is_reported_with_a_likely_one(alone: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLEDGER_DATADIR", "elsewhere")
    (output,) = [each for each in alone.type("doctor", "--json").objects if each["name"] == "settings"]
    assert (output["level"], output["said"]) == ("warning", "RUNLEDGER_DATADIR is no setting")
    assert output["advice"] == "did you mean RUNLEDGER_DATA_DIR?"


def test_people_get_a_table_that_fits_and_what_to_do(alone: Terminal) -> None:
    screen = alone.type("doctor", width=60)
    assert max(len(line.rstrip()) for line in screen.out.splitlines()) <= 60
    assert "→ set it to your Case.dev key" in screen.out
    assert "\x1b" not in screen.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--live", "agent_1"], "add --yes where there is no terminal to ask on"),
        (["--yes"], "belong to --live AGENT"),
        (["--cancel-too"], "belong to --live AGENT"),
    ],
)
def test_a_run_is_sent_only_where_it_is_surely_wanted(alone: Terminal, words: list[str], message: str) -> None:
    screen = alone.type("doctor", *words)
    assert (screen.code, screen.out) == (2, "")
    assert message in screen.err


def test_a_faulty_set_up_is_named_before_a_run_is_sent(alone: Terminal) -> None:
    screen = alone.type("doctor", "--live", "agent_1", "--yes", "--json")
    assert screen.code == 1
    assert screen.err.startswith("runledger: --live: without RUNLEDGER_PUBLIC_URL no callback comes")


def test_as_a_process_it_ends_with_the_code_of_what_it_found(tmp_path: Path) -> None:
    done = process("doctor", "--json", folder=tmp_path, CASEDEV_BASE_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (1, b"")
    assert {json.loads(line)["level"] for line in done.stdout.splitlines()} == {"ok", "warning", "fault"}
