"""Wishes: stored at once, in the database of the server, as the API would store them."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from receiver import clock
from storage import changes, house, jobs, runs, states, transitions
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk


def test_a_submission_is_kept_with_all_that_was_asked(bare: Desk) -> None:
    words = ["--agent", "agent_1", "--prompt", "Read it.", "--guidance", "Slowly.", "--model", "m-1"]
    words += ["--object", "o1", "--object", "o2", "--tag", "matter=42", "--tag", "kind=a=b", "--json"]
    shown = bare.type("submit", *words).object
    kept = bare.behind(lambda database: life.found(database, shown["id"]))
    assert (kept.agent_id, kept.prompt, kept.guidance, kept.model) == ("agent_1", "Read it.", "Slowly.", "m-1")
    assert (kept.object_ids, dict(kept.tags)) == (["o1", "o2"], {"matter": "42", "kind": "a=b"})
    assert (kept.status, kept.submitted_by) == (states.ACCEPTED, "cli")
    assert bare.behind(lambda database: life.open_jobs(database, kept.id)) == ["start"]


def test_the_ledger_calls_who_submits_here_the_operator(bare: Desk) -> None:
    run = bare.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    (entry,) = bare.behind(lambda database: database.read(changes.of_run, run))
    assert (entry.kind, entry.actor) == ("run.accepted", "operator")


@pytest.mark.parametrize("source", ["file", "input"])
def test_a_prompt_comes_from_a_file_or_standard_input_as_it_is(bare: Desk, tmp_path: Path, source: str) -> None:
    text = "Prüfe den Vertrag.\nZeile 2\n"
    (tmp_path / "task.txt").write_text(text, encoding="utf-8")
    words = ["--prompt-file", "task.txt"] if source == "file" else ["-"]
    given = None if source == "file" else text
    assert bare.type("submit", "--agent", "a", "--json", *words, given=given).object["prompt"] == text


def test_instructions_stand_in_the_place_of_an_agent(bare: Desk, tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("You review leases.")
    run = bare.type("submit", "--instructions-file", "who.txt", "--prompt", "x", "--json").object
    assert (run["agentId"], run["instructions"]) == (None, "You review leases.")
    shown = bare.type("show", run["id"]).out
    assert "at most once" in shown
    assert "You review leases." in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_wait_that_is_over_says_that_the_run_goes_on(bare: Desk, form: list[str]) -> None:
    screen = bare.type("submit", "--agent", "a", "--prompt", "x", "--wait", "0.01", *form)
    assert screen.code == 1
    assert "It has not ended yet and goes on" in screen.err
    assert "accepted" in screen.out


def test_an_idempotency_key_makes_two_submissions_one(bare: Desk) -> None:
    words = ["submit", "--agent", "a", "--idempotency-key", "k", "--json"]
    first, again = bare.type(*words, "--prompt", "x"), bare.type(*words, "--prompt", "x")
    assert first.object["id"] == again.object["id"]
    other = bare.type(*words, "--prompt", "y")
    assert other.code == 1
    assert other.err == (
        f"runledger: this idempotency key was used for another submission, run {first.object['id']}\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent", "a"], "give the prompt in one way"),
        (["--agent", "a", "--prompt", "x", "-"], "give the prompt in one way"),
        (["--agent", "a", "--prompt", " \n"], "the prompt is empty"),
        (["--agent", "a", "read", "it"], None),
        (["--agent", "a", "read"], "'read' stands alone"),
        (["--agent", "a/b", "--prompt", "x"], "--agent: "),
        (["--agent", "a", "--prompt", "x", "--model", ""], "--model: "),
        (["--agent", "a", "--prompt", "x", "--tag", "a b=c"], "--tag: "),
        (["--agent", "a", "--prompt", "x", "--object", ""], "--object: "),
        (["--prompt", "x"], "give --agent ID, or --instructions TEXT"),
        (["--agent", "a", "--instructions", "b", "--prompt", "x"], "give --agent ID, or --instructions TEXT"),
        (["--instructions", "", "--prompt", "x"], "--instructions: is empty"),
    ],
)
def test_a_submission_that_cannot_be_is_wrong_usage(bare: Desk, words: list[str], told: str | None) -> None:
    screen = bare.type("submit", *words)
    assert screen.code == 2
    assert told is None or screen.err.startswith(f"runledger: {told}")
    assert not (bare.folder / "runledger.db").exists()


def test_an_idempotency_key_that_no_header_could_carry_is_wrong_usage(bare: Desk) -> None:
    screen = bare.type("submit", "--agent", "a", "--prompt", "x", "--idempotency-key", "ü")
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith("runledger: --idempotency-key: ")


def test_a_prompt_that_is_no_text_is_said_so(bare: Desk) -> None:
    screen = bare.type("submit", "--agent", "a", "-", given=b"\xff\xfe")
    assert (screen.code, screen.err) == (1, "runledger: the prompt is not UTF-8 text\n")


@pytest.mark.parametrize(("status", "code"), [(states.COMPLETED, 0), (states.FAILED, 1)])
def test_waiting_ends_with_the_run_and_tells_how_it_went(desk: Desk, status: states.Status, code: int) -> None:
    words = ["submit", "--agent", "a", "--prompt", "x", "--idempotency-key", "k", "--json"]
    first = desk.type(*words).object

    async def end(database: Database) -> None:
        now, made = clock.now(), transitions.Created("run_up", life.at(1), watched=False)
        start = await life.claimed(database, states.Kind.START, first["id"], now)
        await database.write(transitions.created, start, made, now)
        await life.settle(database, await life.found(database, first["id"]), life.result(status), clock.now())

    desk.behind(end)
    screen = desk.type(*words, "--wait", "5")
    assert (screen.code, screen.object["status"]) == (code, status)


def test_waiting_for_what_nobody_does_gives_up_in_time_and_says_why(bare: Desk) -> None:
    screen = bare.type("submit", "--agent", "a", "--prompt", "x", "--wait", "0.3", "--json")
    assert screen.code == 1
    assert screen.object["status"] == "accepted"
    assert "No worker was ever seen" in screen.err


def test_a_run_from_elsewhere_is_adopted_once(bare: Desk) -> None:
    first, again = bare.type("watch", "run_else", "--json"), bare.type("watch", "run_else", "--json")
    assert first.object["origin"] == "adopted"
    assert first.object["id"] == again.object["id"]
    assert bare.behind(lambda database: life.open_jobs(database, first.object["id"])) == ["adopt"]


def test_a_run_that_the_upstream_does_not_know_is_cancelled_on_the_spot(desk: Desk) -> None:
    run = desk.behind(life.accepted)
    screen = desk.type("cancel", run.id)
    assert screen.out.startswith(f"cancelled {run.id}")
    assert "operator" in [entry.actor for entry in desk.behind(lambda db: db.read(changes.of_run, run.id))]


def test_a_run_that_runs_is_cancelled_by_a_job(desk: Desk) -> None:
    run = desk.behind(life.running)
    assert desk.type("cancel", run.id, "--json").object["cancelRequestedAt"] is not None
    assert desk.behind(lambda database: life.open_jobs(database, run.id)) == ["cancel"]


def test_a_settled_run_is_fetched_again_by_a_job(desk: Desk) -> None:
    run = desk.behind(life.settled_run)
    assert desk.type("refresh", run.id).code == 0
    assert desk.behind(lambda database: life.open_jobs(database, run.id)) == ["settle"]


def test_a_run_that_was_never_created_cannot_be_fetched(desk: Desk) -> None:
    run = desk.behind(life.accepted)
    screen = desk.type("refresh", run.id)
    assert screen.code == 1
    assert "nothing to fetch" in screen.err


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (None, "No worker was ever seen on this database"),
        (timedelta(minutes=5), "The worker was last seen 5m 00s ago"),
        (timedelta(seconds=1), "The running worker does it."),
    ],
)
def test_a_sweep_is_wished_and_who_will_do_it_is_said(desk: Desk, seen: timedelta | None, told: str) -> None:
    if seen is not None:
        desk.behind(lambda database: database.write(house.beat, clock.now() - seen))
    screen = desk.type("sweep")
    assert screen.code == 0
    assert told in screen.out
    assert desk.behind(_sweeps) == 1


async def _sweeps(database: Database) -> int:
    return len((await database.read(jobs.page, jobs.Query(kind=states.Kind.SWEEP), clock.now()))[0])


def test_submitting_here_and_over_http_means_the_same(bare: Desk) -> None:
    run = bare.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    kept = bare.behind(lambda database: database.read(runs.find, run))
    assert kept is not None
    assert kept.request_sha256 == hashlib.sha256(b'{"agent_id":"a","prompt":"x"}').hexdigest()
