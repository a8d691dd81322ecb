"""Lists: the rows that were requested, for people and for programs."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from storage import states
from storage.engine.database import Database
from storage.repositories import jobs
from storage.tables.rollups import ROLLUP_SUMS
from storage.transitions import receiving
from tests import life
from tests.receiver.cli.terminal import Terminal


async def three(database: Database) -> None:
    """Make a run that completed, one that failed, one that was just accepted."""
    await life.settled_run(database, tags={"matter": "42"}, prompt="Read the lease.", agent_id="agent_a")
    await life.settled_run(database, states.FAILED, prompt="Read the deed.", agent_id="agent_b")
    await life.accepted(database, prompt="Read the will.", agent_id="agent_b")


def test_runs_are_listed_newest_first_with_their_whole_ids(terminal: Terminal) -> None:
    terminal.in_database(three)
    ids = [run["id"] for run in terminal.type("runs", "--json").objects]
    lines = terminal.type("runs").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ids
    assert "Read the will." in lines[2]


@pytest.mark.parametrize(
    ("words", "prompts"),
    [
        (["--status", "failed"], ["Read the deed."]),
        (["--status", "failed,accepted"], ["Read the will.", "Read the deed."]),
        (["--status", "failed", "--status", "accepted"], ["Read the will.", "Read the deed."]),
        (["--agent", "agent_a"], ["Read the lease."]),
        (["--tag", "matter=42"], ["Read the lease."]),
        (["--settled-by", "sweep"], []),
        (["--duration", ">2m"], []),
        (["--cost", "<=0.003", "--sort", "created"], ["Read the lease.", "Read the deed."]),
    ],
)
def test_filters_are_those_of_the_api(terminal: Terminal, words: list[str], prompts: list[str]) -> None:
    terminal.in_database(three)
    assert [run["prompt"] for run in terminal.type("runs", "--json", *words).objects] == prompts


def test_a_run_that_cannot_be_read_is_left_out_and_named_on_stderr_alone(terminal: Terminal) -> None:
    terminal.in_database(three)
    damage = text("UPDATE runs SET cost_micros = 'much' WHERE agent_id = 'agent_a'")
    terminal.in_database(lambda database: database.write(lambda connection: connection.execute(damage).close()))
    shown = terminal.type("runs", "--json")
    assert [run["agentId"] for run in shown.objects] == ["agent_b", "agent_b"]
    assert "row_skipped" in shown.err


def test_a_page_names_the_next_one_on_stderr(terminal: Terminal) -> None:
    terminal.in_database(three)
    first = terminal.type("runs", "--json", "--limit", "2")
    cursor = first.err.split()[-1]
    rest = terminal.type("runs", "--json", "--limit", "2", "--cursor", cursor)
    assert [run["prompt"] for run in first.objects + rest.objects] == [
        "Read the will.",
        "Read the deed.",
        "Read the lease.",
    ]
    assert rest.err == ""


def test_all_pages_come_at_once_where_all_are_wanted(terminal: Terminal) -> None:
    terminal.in_database(three)
    screen = terminal.type("runs", "--json", "--limit", "1", "--all")
    assert len(screen.objects) == 3
    assert screen.err == ""


def test_an_empty_list_is_a_line_for_people_and_nothing_for_programs(terminal: Terminal) -> None:
    assert terminal.type("runs").out == "No runs.\n"
    assert terminal.type("runs", "--json").out == ""


def test_columns_give_way_on_a_narrow_terminal_and_ids_do_not(terminal: Terminal) -> None:
    terminal.in_database(three)
    ids = [run["id"] for run in terminal.type("runs", "--json").objects]
    narrow, wide = terminal.type("runs", width=60), terminal.type("runs", width=200)
    assert all(len(line) <= 60 for line in narrow.out.splitlines())
    assert all(run_id in narrow.out for run_id in ids)
    assert "agent_b" in wide.out
    assert "agent_b" not in narrow.out


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["runs", "--status", "complted"], "--status: input should be 'accepted'"),
        (["runs", "--settled-by", "luck"], "--settled-by: "),
        (["runs", "--sort", "price"], "--sort: "),
        (["runs", "--cost", "cheap"], "--cost: 'cheap' is not an amount of dollars"),
        (["runs", "--cursor", "zzz"], "--cursor: the cursor is not one of ours"),
        (["runs", "--tag", "matter"], "--tag 'matter' is not of the form key=value"),
        (["runs", "--tag", "a=1", "--tag", "a=2"], "--tag a is given twice"),
        (["stats", "--by", "colour"], "--by: "),
        (["deliveries", "--verdict", "lost"], "--verdict: "),
        (["jobs", "--state", "odd"], "--state: "),
    ],
)
def test_a_value_that_cannot_be_read_is_wrong_usage(terminal: Terminal, words: list[str], output: str) -> None:
    screen = terminal.type(*words)
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith(f"runledger: {output}")
    assert screen.err.count("\n") == 1


def test_sums_are_those_of_the_chosen_runs(terminal: Terminal) -> None:
    terminal.in_database(three)
    rows = terminal.type("stats", "--by", "agent", "--status", "completed,failed", "--json").objects
    assert {row["key"]: row["costMicros"] for row in rows} == {"agent_a": 3000, "agent_b": 3000}
    assert "agent_a" in terminal.type("stats", "--by", "agent").out


def test_an_unknown_grouping_is_named_with_a_likely_one(terminal: Terminal) -> None:
    screen = terminal.type("stats", "--by", "agnet")
    assert (screen.code, screen.err) == (2, "runledger: --by: 'agnet' is unknown; did you mean agent?\n")


def test_sums_are_requested_by_a_tag_with_percentiles(terminal: Terminal) -> None:
    terminal.in_database(three)
    rows = terminal.type("stats", "--by", "tag.matter", "--json").objects
    assert [(row["key"], row["count"], row["p95Ms"]) for row in rows] == [(None, 2, 60_000), ("42", 1, 60_000)]
    assert "p95" in terminal.type("stats", "--by", "tag.matter").out
    assert "settled after" in terminal.type("stats", "--by", "source", width=160).out


def test_rollups_are_verified_and_made_again(terminal: Terminal) -> None:
    terminal.in_database(three)
    assert terminal.type("rollups", "verify").out.startswith("All 12 rows are what")
    terminal.in_database(_tamper)
    assert terminal.type("rollups", "verify", "--json").object["stored"]["cost_micros"] == 1
    wrong = terminal.type("rollups", "verify")
    assert (wrong.code, wrong.out.splitlines()) == (
        1,
        [
            "rollup_sums (dimension agent, span ever, status , period , key agent_b): "
            "cost_micros 1 is kept, cost_micros 3000 is right",
            "1 rows are wrong: runledger rollups rebuild",
        ],
    )
    assert terminal.type("rollups", "rebuild", "--json").object == {"rows": 12}
    assert terminal.type("rollups", "verify").code == 0


async def _tamper(database: Database) -> None:
    kept = ROLLUP_SUMS
    wrong = kept.update().where(kept.c.key == "agent_b", kept.c.span == "ever").values(cost_micros=1)
    await database.write(lambda connection: connection.execute(wrong))


def test_deliveries_are_listed_and_shown_with_what_was_sent(terminal: Terminal) -> None:
    async def deliver(database: Database) -> None:
        run = await life.running(database)
        await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))

    terminal.in_database(deliver)
    listed = terminal.type("deliveries", "--verdict", "accepted", "--json").object
    assert listed["source"] == "watcher"
    assert '{"runId":"run_1","status":"completed"}' in terminal.type("deliveries", listed["id"]).out
    assert terminal.type("deliveries", listed["id"], "--json").object["text"].startswith('{"runId"')


def test_a_delivery_is_processed_again(terminal: Terminal) -> None:
    async def deliver(database: Database) -> None:
        run = await life.running(database)
        await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))

    terminal.in_database(deliver)
    delivery = terminal.type("deliveries", "--json").object
    assert terminal.type("deliveries", delivery["id"], "--process", "--json").object["runId"] == delivery["runId"]
    assert "settle" in terminal.type("jobs").out
    assert "needs the ID" in terminal.type("deliveries", "--process").err


def test_a_delivery_cannot_steer_the_terminal(terminal: Terminal) -> None:
    async def deliver(database: Database) -> None:
        run = await life.running(database, prompt="\x1b[2Jgone\x9b2J")
        await database.write(receiving.accept_delivery, life.delivery(run_id=run.id, body=b"\x1b]0;title\x07"))

    terminal.in_database(deliver)
    delivery = terminal.type("deliveries", "--json").object["id"]
    shown = [terminal.type("deliveries", delivery).out, terminal.type("runs").out]
    shown.append(terminal.type("show", terminal.type("runs", "--json").object["id"]).out)
    assert not any(character in screen for screen in shown for character in "\x1b\x07\x9b")


def test_a_job_is_listed_and_made_due_again(terminal: Terminal) -> None:
    terminal.in_database(life.accepted)
    job = terminal.type("jobs", "--kind", "start", "--json").object
    assert job["id"] in terminal.type("jobs").out
    screen = terminal.type("jobs", "retry", job["id"])
    assert screen.code == 0
    assert screen.out.startswith("The start job is due now. No worker was ever seen")
    assert terminal.type("jobs", "retry", job["id"], "--json").object["kind"] == "start"


def test_a_job_that_is_done_cannot_be_retried(terminal: Terminal) -> None:
    screen = terminal.type("jobs", "retry", "019a2f7c-0000-7000-8000-000000000000")
    assert (screen.code, screen.err) == (
        1,
        "runledger: there is no job with that id; a job that is done is gone\n",
    )


def test_jobs_can_be_chosen_by_the_upstreams_id(terminal: Terminal) -> None:
    async def two(database: Database) -> None:
        run = await life.running(database, "run_here")
        await life.running(database, "run_there")
        await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.NOW)])

    terminal.in_database(two)
    assert terminal.type("jobs", "--run", "run_here", "--json").object["kind"] == "settle"
    assert terminal.type("jobs", "--run", "run_there", "--json").objects == []


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--limit", "3"], "--limit"), (["--all"], "--all"), (["--cursor", "x"], "number of a change")],
)
def test_following_takes_filters_and_a_number_alone(terminal: Terminal, words: list[str], why: str) -> None:
    shown = terminal.type("runs", "--follow", *words)
    assert (shown.code, shown.out) == (2, "")
    assert why in shown.err


def test_a_question_is_asked_beside_options(terminal: Terminal) -> None:
    terminal.in_database(three)
    found = terminal.type("runs", "status:failed,accepted -agent:agent_a", "--agent", "agent_b", "--count")
    assert ["Read the will." in found.out, "Read the deed." in found.out] == [True, True]
    assert "2 in all." in found.out


def test_an_invalid_query_is_shown_with_its_position(terminal: Terminal) -> None:
    terminal.in_database(three)
    message = terminal.type("runs", "lease stauts:failed")
    assert message.code == 2
    output, question, mark = message.err.splitlines()
    assert "did you mean status" in output
    assert mark.index("^") == question.index("stauts")


def test_a_query_with_words_prints_snippets(terminal: Terminal) -> None:
    terminal.in_database(three)
    assert "3 runs are not indexed yet" in terminal.type("runs", "void").err
    terminal.in_database(life.indexed)
    found = terminal.type("runs", "'lease is void' OR \"is void\"", width=200)
    assert "output: The lease is void." in found.out
    assert terminal.type("runs", '"is void"', "--json").objects[0]["snippets"][0]["marks"] == [[10, 17]]


def test_the_index_is_reported_and_rebuilt(terminal: Terminal) -> None:
    terminal.in_database(three)
    assert terminal.type("search", "status").out.startswith("3 runs wait")
    assert terminal.type("search", "rebuild", "--later", "--json").object == {"runs": 3, "waiting": 3}
    assert terminal.type("search", "rebuild").out == "3 runs are indexed again.\n"
    assert terminal.type("search", "status").out == "All runs are indexed.\n"
    assert len(terminal.type("runs", "void", "--json").objects) == 2
