"""A submission by command is stored at once in the server's database, as the API would store it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from receiver import clock
from storage import states
from storage.engine.database import Database
from storage.repositories import job_list, ledger_changes, runs, system_state
from storage.transitions import starting
from tests import life
from tests.receiver.cli.terminal import Terminal


def test_a_submission_is_kept_with_all_that_was_asked(new_terminal: Terminal) -> None:
    words = ["--agent", "agent_1", "--prompt", "Read it.", "--guidance", "Slowly.", "--model", "m-1"]
    words += ["--object", "o1", "--object", "o2", "--tag", "matter=42", "--tag", "kind=a=b", "--json"]
    shown = new_terminal.type("submit", *words).object
    kept = new_terminal.in_database(lambda database: life.get_run(database, shown["id"]))
    assert (kept.agent_id, kept.prompt, kept.guidance, kept.model) == ("agent_1", "Read it.", "Slowly.", "m-1")
    assert (kept.object_ids, dict(kept.tags)) == (["o1", "o2"], {"matter": "42", "kind": "a=b"})
    assert (kept.status, kept.submitted_by) == (states.ACCEPTED, "cli")
    assert new_terminal.in_database(lambda database: life.open_jobs(database, kept.id)) == ["start"]


def test_the_ledger_names_the_operator_as_the_submitter(new_terminal: Terminal) -> None:
    run = new_terminal.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    (entry,) = new_terminal.in_database(lambda database: database.read(ledger_changes.of_run, run))
    assert (entry.kind, entry.actor) == ("run.accepted", "operator")


@pytest.mark.parametrize("source", ["file", "input"])
def test_a_prompt_comes_from_a_file_or_standard_input_as_it_is(
    new_terminal: Terminal, tmp_path: Path, source: str
) -> None:
    text = "Prüfe den Vertrag.\nZeile 2\n"
    (tmp_path / "task.txt").write_text(text, encoding="utf-8")
    words = ["--prompt-file", "task.txt"] if source == "file" else ["-"]
    given = None if source == "file" else text
    assert new_terminal.type("submit", "--agent", "a", "--json", *words, given=given).object["prompt"] == text


def test_instructions_replace_an_agent(new_terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("You review leases.")
    run = new_terminal.type("submit", "--instructions-file", "who.txt", "--prompt", "x", "--json").object
    assert (run["agentId"], run["instructions"]) == (None, "You review leases.")
    shown = new_terminal.type("show", run["id"]).out
    assert "at most once" in shown
    assert "You review leases." in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_wait_that_is_over_reports_that_the_run_goes_on(new_terminal: Terminal, form: list[str]) -> None:
    screen = new_terminal.type("submit", "--agent", "a", "--prompt", "x", "--wait", "0.01", *form)
    assert screen.code == 1
    assert "It has not ended yet" in screen.err
    assert "accepted" in screen.out


def test_an_idempotency_key_makes_two_submissions_one(new_terminal: Terminal) -> None:
    words = ["submit", "--agent", "a", "--idempotency-key", "k", "--json"]
    first, again = new_terminal.type(*words, "--prompt", "x"), new_terminal.type(*words, "--prompt", "x")
    assert first.object["id"] == again.object["id"]
    other = new_terminal.type(*words, "--prompt", "y")
    assert other.code == 1
    assert other.err == (
        f"runledger: this idempotency key was used for another submission, run {first.object['id']}\n"
    )


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--agent", "a"], "give the prompt in one way"),
        (["--agent", "a", "--prompt", "x", "-"], "give the prompt in one way"),
        (["--agent", "a", "--prompt", " \n"], "the prompt is empty"),
        (["--agent", "a", "read", "it"], None),
        (["--agent", "a", "read"], "'read' is no option"),
        (["--agent", "a/b", "--prompt", "x"], "--agent: "),
        (["--agent", "a", "--prompt", "x", "--model", ""], "--model: "),
        (["--agent", "a", "--prompt", "x", "--tag", "a b=c"], "--tag: "),
        (["--agent", "a", "--prompt", "x", "--object", ""], "--object: "),
        (["--prompt", "x"], "give --agent ID, or --instructions TEXT"),
        (["--agent", "a", "--instructions", "b", "--prompt", "x"], "give --agent ID, or --instructions TEXT"),
        (["--instructions", "", "--prompt", "x"], "--instructions: is empty"),
    ],
)
def test_a_submission_that_cannot_be_is_wrong_usage(
    new_terminal: Terminal, words: list[str], output: str | None
) -> None:
    screen = new_terminal.type("submit", *words)
    assert screen.code == 2
    assert output is None or screen.err.startswith(f"runledger: {output}")
    assert not (new_terminal.folder / "runledger.db").exists()


def test_an_idempotency_key_that_no_header_could_carry_is_wrong_usage(new_terminal: Terminal) -> None:
    screen = new_terminal.type("submit", "--agent", "a", "--prompt", "x", "--idempotency-key", "ü")
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith("runledger: --idempotency-key: ")


def test_a_prompt_that_is_not_text_is_an_error(new_terminal: Terminal) -> None:
    screen = new_terminal.type("submit", "--agent", "a", "-", given=b"\xff\xfe")
    assert (screen.code, screen.err) == (1, "runledger: the prompt is not UTF-8 text\n")


@pytest.mark.parametrize(("status", "code"), [(states.COMPLETED, 0), (states.FAILED, 1)])
def test_waiting_ends_with_the_run_and_prints_its_outcome(
    terminal: Terminal, status: states.Status, code: int
) -> None:
    words = ["submit", "--agent", "a", "--prompt", "x", "--idempotency-key", "k", "--json"]
    first = terminal.type(*words).object

    async def end(database: Database) -> None:
        now, made = clock.now(), starting.CreatedRun("run_up", life.at(1), watched=False)
        start = await life.claimed(database, states.Kind.START, first["id"], now)
        await database.write(starting.record_created, start, made, now)
        await life.settle(database, await life.get_run(database, first["id"]), life.result(status), clock.now())

    terminal.in_database(end)
    screen = terminal.type(*words, "--wait", "5")
    assert (screen.code, screen.object["status"]) == (code, status)


def test_waiting_without_a_worker_gives_up_in_time_and_names_the_reason(new_terminal: Terminal) -> None:
    screen = new_terminal.type("submit", "--agent", "a", "--prompt", "x", "--wait", "0.3", "--json")
    assert screen.code == 1
    assert screen.object["status"] == "accepted"
    assert "No worker was ever seen" in screen.err


def test_a_run_from_elsewhere_is_adopted_once(new_terminal: Terminal) -> None:
    first, again = (
        new_terminal.type("watch", "run_else", "--json"),
        new_terminal.type("watch", "run_else", "--json"),
    )
    assert first.object["origin"] == "adopted"
    assert first.object["id"] == again.object["id"]
    assert new_terminal.in_database(lambda database: life.open_jobs(database, first.object["id"])) == ["adopt"]


def test_a_run_that_is_not_created_yet_is_cancelled_at_once(terminal: Terminal) -> None:
    run = terminal.in_database(life.accepted)
    screen = terminal.type("cancel", run.id)
    assert screen.out.startswith(f"cancelled {run.id}")
    assert "operator" in [
        entry.actor for entry in terminal.in_database(lambda db: db.read(ledger_changes.of_run, run.id))
    ]


def test_a_run_that_runs_is_cancelled_by_a_job(terminal: Terminal) -> None:
    run = terminal.in_database(life.running)
    assert terminal.type("cancel", run.id, "--json").object["cancelRequestedAt"] is not None
    assert terminal.in_database(lambda database: life.open_jobs(database, run.id)) == ["cancel"]


def test_a_settled_run_is_fetched_again_by_a_job(terminal: Terminal) -> None:
    run = terminal.in_database(life.settled_run)
    assert terminal.type("refresh", run.id).code == 0
    assert terminal.in_database(lambda database: life.open_jobs(database, run.id)) == ["settle"]


def test_a_run_that_was_never_created_cannot_be_fetched(terminal: Terminal) -> None:
    run = terminal.in_database(life.accepted)
    screen = terminal.type("refresh", run.id)
    assert screen.code == 1
    assert "nothing to fetch" in screen.err


@pytest.mark.parametrize(
    ("seen", "output"),
    [
        (None, "No worker was ever seen on this database"),
        (timedelta(minutes=5), "The worker was last seen 5m 00s ago"),
        (timedelta(seconds=1), "The running worker carries it out."),
    ],
)
def test_a_sweep_is_requested_and_the_state_of_the_worker_is_shown(
    terminal: Terminal, seen: timedelta | None, output: str
) -> None:
    if seen is not None:
        terminal.in_database(lambda database: database.write(system_state.record_heartbeat, clock.now() - seen))
    screen = terminal.type("sweep")
    assert screen.code == 0
    assert output in screen.out
    assert terminal.in_database(_sweeps) == 1


async def _sweeps(database: Database) -> int:
    return len((await database.read(job_list.page, job_list.Query(kind=states.Kind.SWEEP), clock.now()))[0])


def test_submitting_here_and_over_http_means_the_same(new_terminal: Terminal) -> None:
    run = new_terminal.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    kept = new_terminal.in_database(lambda database: database.read(runs.find, run))
    assert kept is not None
    assert kept.request_sha256 == hashlib.sha256(b'{"agent_id":"a","prompt":"x"}').hexdigest()
