"""The doctor's judgements, each by itself, and how they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from receiver import settings
from receiver.cli.doctor import findings, ground, inside, outside, rounds, stored
from receiver.cli.doctor.findings import Finding, Level
from receiver.cli.doctor.scene import Scene
from storage import house, inspection, search, states
from tests import life
from tests.receiver.cli.desk import Desk, process

GIB = 1 << 30


@pytest.fixture
def alone(bare: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk where nothing was ever done, and whose upstream is away."""
    monkeypatch.setenv("CASEDEV_BASE_URL", "http://127.0.0.1:9")
    return bare


@pytest.mark.parametrize(
    ("free", "level"),
    [(2 * GIB, Level.OK), (GIB, Level.OK), (GIB - 1, Level.WARNING), (100 << 20, Level.WARNING), (9, Level.FAULT)],
)
def test_disk_space_is_judged_by_what_is_free(free: int, level: Level) -> None:
    assert ground.space_judged(free).level is level


@pytest.mark.parametrize(
    ("skew", "level", "said"),
    [
        (None, Level.WARNING, "no Date"),
        (0.4, Level.OK, "within 1 s"),
        (-29, Level.OK, "within 29 s"),
        (31, Level.WARNING, "31 s behind"),
        (-241, Level.FAULT, "241 s ahead of"),
    ],
)
def test_the_clock_is_judged_by_how_far_it_is_off(skew: float | None, level: Level, said: str) -> None:
    found = outside.clock_judged(skew)
    assert found.level is level
    assert said in found.said


@pytest.mark.parametrize(
    ("seen", "level"),
    [
        (inspection.Inspection(9, "wal", None, True), Level.OK),
        (inspection.Inspection(9, "delete", None, True), Level.WARNING),
        (inspection.Inspection(9, "wal", None, False), Level.WARNING),
        (inspection.Inspection(9, "wal", "row 3 missing from index", True), Level.FAULT),
    ],
)
def test_the_file_is_judged_by_what_sqlite_found(seen: inspection.Inspection, level: Level) -> None:
    assert stored.file_judged(seen, "runledger.db").level is level


def test_a_worker_that_was_not_seen_lately_is_worth_a_look() -> None:
    levels = [
        stored.worker_judged(house.State(worker_seen_at=seen), life.NOW).level
        for seen in (None, life.NOW - timedelta(seconds=16), life.NOW - timedelta(seconds=15))
    ]
    assert levels == [Level.WARNING, Level.WARNING, Level.OK]


def test_jobs_that_fail_or_were_given_up_are_counted() -> None:
    assert stored.work_judged(0, {}).level is Level.OK
    found = stored.work_judged(2, {states.Kind.NOTIFY: 1})
    assert (found.level, found.said) == (Level.WARNING, "2 failed when last tried, 1 of kind notify given up")


def test_runs_that_wait_long_to_be_found_by_their_words_are_told() -> None:
    levels = [
        stored.search_judged(search.Lag(3, since), life.NOW).level
        for since in (None, life.NOW - timedelta(minutes=9), life.NOW - timedelta(minutes=10))
    ]
    assert levels == [Level.OK, Level.OK, Level.WARNING]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (inside.Page(None, trouble="the connection is refused"), "cannot be reached: the connection is refused"),
        (inside.Page(301, location="https://www.example.com/"), "leads to https://www.example.com/"),
        (inside.Page(200, b"<html>Welcome</html>"), "not as Runledger does"),
        (inside.Page(200, b'{"ok": true}'), "not as Runledger does"),
        (inside.Page(502, b'{"ok": true, "version": "0.1.0"}'), "answers 502"),
    ],
)
def test_a_public_address_that_is_not_ours_is_told_from_ours(page: inside.Page, said: str) -> None:
    found = inside.health_judged(page, "https://runledger.example.com")
    assert found.level is Level.FAULT
    assert said in found.said


def test_a_proxy_that_keeps_callbacks_out_is_named() -> None:
    found = inside.ours_judged(inside.Page(403), "https://runledger.example.com")
    assert found.level is Level.FAULT
    assert "let the proxy pass /callbacks/" in found.advice


def test_a_backend_at_a_private_address_is_a_fault_unless_it_is_meant() -> None:
    found = inside.backend_judged("backend.test", ["10.0.0.5"], allows_private=False)
    assert found is not None
    assert found.level is Level.FAULT
    assert inside.backend_judged("backend.test", ["10.0.0.5"], allows_private=True) is None
    assert inside.backend_judged("backend.test", ["93.184.215.14"], allows_private=False) is None


def test_a_check_that_breaks_or_hangs_says_so_and_hides_nothing() -> None:
    async def breaks(_scene: Scene) -> AsyncIterator[Finding]:
        yield findings.ok("first", "seen before it broke")
        raise ValueError("broken")

    async def hangs(_scene: Scene) -> AsyncIterator[Finding]:
        await asyncio.Event().wait()
        yield findings.ok("never", "")

    checks = {"database": breaks, "upstream": hangs, "programs": ground.programs}
    scene = Scene(settings.load(env_file=None), {}, [], {}, timeout=0.2)
    found = {each.name: each for each in asyncio.run(rounds.made(scene, checks))}
    assert found["first"].level is Level.OK
    assert found["database"].said == "this check broke: ValueError: broken"
    assert found["upstream"].said == "this check did not come to an end in time"
    assert found["event loop"].level is Level.OK


def test_a_fresh_folder_is_no_fault_and_stays_as_it_is(alone: Desk) -> None:
    screen = alone.type("doctor", "--json")
    levels = {each["name"]: each["level"] for each in screen.objects}
    assert (levels["data folder"], levels["database"], levels["key"]) == ("warning", "warning", "fault")
    assert screen.code == 1
    assert not alone.folder.exists()


def test_a_name_that_means_nothing_is_told_with_the_one_that_was_meant(
    alone: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLEDGER_DATADIR", "elsewhere")
    (told,) = [each for each in alone.type("doctor", "--json").objects if each["name"] == "settings"]
    assert (told["level"], told["said"]) == ("warning", "RUNLEDGER_DATADIR is no setting")
    assert told["advice"] == "did you mean RUNLEDGER_DATA_DIR?"


def test_people_get_a_table_that_fits_and_what_to_do(alone: Desk) -> None:
    screen = alone.type("doctor", width=60)
    assert max(len(line.rstrip()) for line in screen.out.splitlines()) <= 60
    assert "→ set it to your Case.dev key" in screen.out
    assert "\x1b" not in screen.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--live", "agent_1"], "add --yes where nobody can be asked"),
        (["--yes"], "belong to --live AGENT"),
        (["--cancel-too"], "belong to --live AGENT"),
    ],
)
def test_a_run_is_sent_only_where_it_is_surely_wanted(alone: Desk, words: list[str], said: str) -> None:
    screen = alone.type("doctor", *words)
    assert (screen.code, screen.out) == (2, "")
    assert said in screen.err


def test_a_faulty_set_up_is_named_before_a_run_is_sent(alone: Desk) -> None:
    screen = alone.type("doctor", "--live", "agent_1", "--yes", "--json")
    assert screen.code == 1
    assert screen.err.startswith("runledger: --live: without RUNLEDGER_PUBLIC_URL no callback comes")


def test_as_a_process_it_ends_with_the_code_of_what_it_found(tmp_path: Path) -> None:
    done = process("doctor", "--json", folder=tmp_path, CASEDEV_BASE_URL="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (1, b"")
    assert {json.loads(line)["level"] for line in done.stdout.splitlines()} == {"ok", "warning", "fault"}
