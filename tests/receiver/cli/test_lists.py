"""Lists: what is asked for is what comes, for people and for programs."""

from __future__ import annotations

import pytest

from storage import jobs, states, tables, transitions
from storage.database import Database
from tests import life
from tests.receiver.cli.desk import Desk


async def three(database: Database) -> None:
    """A run that completed, one that failed, one that was just accepted."""
    await life.settled_run(database, tags={"matter": "42"}, prompt="Read the lease.", agent_id="agent_a")
    await life.settled_run(database, states.FAILED, prompt="Read the deed.", agent_id="agent_b")
    await life.accepted(database, prompt="Read the will.", agent_id="agent_b")


def test_runs_are_listed_newest_first_with_their_whole_ids(desk: Desk) -> None:
    desk.behind(three)
    ids = [run["id"] for run in desk.type("runs", "--json").objects]
    lines = desk.type("runs").out.splitlines()
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
def test_filters_are_those_of_the_api(desk: Desk, words: list[str], prompts: list[str]) -> None:
    desk.behind(three)
    assert [run["prompt"] for run in desk.type("runs", "--json", *words).objects] == prompts


def test_a_page_tells_how_to_go_on_without_disturbing_programs(desk: Desk) -> None:
    desk.behind(three)
    first = desk.type("runs", "--json", "--limit", "2")
    cursor = first.err.split()[-1]
    rest = desk.type("runs", "--json", "--limit", "2", "--cursor", cursor)
    assert [run["prompt"] for run in first.objects + rest.objects] == [
        "Read the will.",
        "Read the deed.",
        "Read the lease.",
    ]
    assert rest.err == ""


def test_all_pages_come_at_once_where_all_are_wanted(desk: Desk) -> None:
    desk.behind(three)
    screen = desk.type("runs", "--json", "--limit", "1", "--all")
    assert len(screen.objects) == 3
    assert screen.err == ""


def test_an_empty_list_says_so_to_people_and_nothing_to_programs(desk: Desk) -> None:
    assert desk.type("runs").out == "No runs.\n"
    assert desk.type("runs", "--json").out == ""


def test_columns_give_way_on_a_narrow_terminal_and_ids_do_not(desk: Desk) -> None:
    desk.behind(three)
    ids = [run["id"] for run in desk.type("runs", "--json").objects]
    narrow, wide = desk.type("runs", width=60), desk.type("runs", width=200)
    assert all(len(line) <= 60 for line in narrow.out.splitlines())
    assert all(run_id in narrow.out for run_id in ids)
    assert "agent_b" in wide.out
    assert "agent_b" not in narrow.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["runs", "--status", "complted"], "--status: input should be 'accepted'"),
        (["runs", "--settled-by", "luck"], "--settled-by: "),
        (["runs", "--sort", "price"], "--sort: "),
        (["runs", "--cost", "cheap"], "--cost: 'cheap' is no amount of dollars"),
        (["runs", "--cursor", "zzz"], "--cursor: the cursor is not one of ours"),
        (["runs", "--tag", "matter"], "--tag 'matter' is not of the form key=value"),
        (["runs", "--tag", "a=1", "--tag", "a=2"], "--tag a is given twice"),
        (["stats", "--by", "colour"], "--by: "),
        (["deliveries", "--verdict", "lost"], "--verdict: "),
        (["jobs", "--state", "odd"], "--state: "),
    ],
)
def test_a_value_that_cannot_be_read_is_wrong_usage(desk: Desk, words: list[str], told: str) -> None:
    screen = desk.type(*words)
    assert (screen.code, screen.out) == (2, "")
    assert screen.err.startswith(f"runledger: {told}")
    assert screen.err.count("\n") == 1


def test_sums_are_those_of_the_chosen_runs(desk: Desk) -> None:
    desk.behind(three)
    rows = desk.type("stats", "--by", "agent", "--status", "completed,failed", "--json").objects
    assert {row["key"]: row["costMicros"] for row in rows} == {"agent_a": 3000, "agent_b": 3000}
    assert "agent_a" in desk.type("stats", "--by", "agent").out


def test_a_grouping_that_is_unknown_is_told_with_what_was_meant(desk: Desk) -> None:
    screen = desk.type("stats", "--by", "agnet")
    assert (screen.code, screen.err) == (2, "runledger: --by: 'agnet' is unknown; did you mean agent?\n")


def test_sums_are_asked_for_by_a_tag_with_percentiles(desk: Desk) -> None:
    desk.behind(three)
    rows = desk.type("stats", "--by", "tag.matter", "--json").objects
    assert [(row["key"], row["count"], row["p95Ms"]) for row in rows] == [(None, 2, 60_000), ("42", 1, 60_000)]
    assert "p95" in desk.type("stats", "--by", "tag.matter").out
    assert "settled after" in desk.type("stats", "--by", "road", width=160).out


def test_rollups_are_verified_and_made_anew(desk: Desk) -> None:
    desk.behind(three)
    assert desk.type("rollups", "verify").out.startswith("All 10 rows are what")
    desk.behind(_tamper)
    assert desk.type("rollups", "verify", "--json").object["stored"]["cost_micros"] == 1
    wrong = desk.type("rollups", "verify")
    assert (wrong.code, wrong.out.splitlines()) == (
        1,
        [
            "rollup_agents (day 2026-11-23, agent_id agent_b, status failed, created True): "
            "cost_micros 1 is kept, cost_micros 3000 is right",
            "1 rows are wrong: runledger rollups rebuild",
        ],
    )
    assert desk.type("rollups", "rebuild", "--json").object == {"rows": 10}
    assert desk.type("rollups", "verify").code == 0


async def _tamper(database: Database) -> None:
    kept = tables.ROLLUP_AGENTS
    wrong = kept.update().where(kept.c.agent_id == "agent_b").values(cost_micros=1)
    await database.write(lambda connection: connection.execute(wrong))


def test_deliveries_are_listed_and_shown_with_what_was_sent(desk: Desk) -> None:
    async def deliver(database: Database) -> None:
        run = await life.running(database)
        await database.write(transitions.accept_delivery, life.delivery(run_id=run.id))

    desk.behind(deliver)
    listed = desk.type("deliveries", "--verdict", "accepted", "--json").object
    assert listed["road"] == "watcher"
    assert '{"runId":"run_1","status":"completed"}' in desk.type("deliveries", listed["id"]).out
    assert desk.type("deliveries", listed["id"], "--json").object["text"].startswith('{"runId"')


def test_a_delivery_cannot_steer_the_terminal(desk: Desk) -> None:
    async def deliver(database: Database) -> None:
        run = await life.running(database, prompt="\x1b[2Jgone\x9b2J")
        await database.write(transitions.accept_delivery, life.delivery(run_id=run.id, body=b"\x1b]0;title\x07"))

    desk.behind(deliver)
    delivery = desk.type("deliveries", "--json").object["id"]
    shown = [desk.type("deliveries", delivery).out, desk.type("runs").out]
    shown.append(desk.type("show", desk.type("runs", "--json").object["id"]).out)
    assert not any(character in screen for screen in shown for character in "\x1b\x07\x9b")


def test_a_job_is_listed_and_made_due_again(desk: Desk) -> None:
    desk.behind(life.accepted)
    job = desk.type("jobs", "--kind", "start", "--json").object
    assert job["id"] in desk.type("jobs").out
    screen = desk.type("jobs", "retry", job["id"])
    assert screen.code == 0
    assert screen.out.startswith("The start job is due now. No worker was ever seen")
    assert desk.type("jobs", "retry", job["id"], "--json").object["kind"] == "start"


def test_a_job_that_is_done_cannot_be_retried(desk: Desk) -> None:
    screen = desk.type("jobs", "retry", "019a2f7c-0000-7000-8000-000000000000")
    assert (screen.code, screen.err) == (1, "runledger: there is no job of that id; a job that is done is gone\n")


def test_jobs_can_be_chosen_by_the_upstreams_id(desk: Desk) -> None:
    async def two(database: Database) -> None:
        run = await life.running(database, "run_here")
        await life.running(database, "run_there")
        await database.write(jobs.wish, [jobs.Wish(states.Kind.SETTLE, run.id, life.NOW)])

    desk.behind(two)
    assert desk.type("jobs", "--run", "run_here", "--json").object["kind"] == "settle"
    assert desk.type("jobs", "--run", "run_there", "--json").objects == []


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--limit", "3"], "--limit"), (["--all"], "--all"), (["--cursor", "x"], "number of a change")],
)
def test_following_takes_filters_and_a_number_alone(desk: Desk, words: list[str], why: str) -> None:
    shown = desk.type("runs", "--follow", *words)
    assert (shown.code, shown.out) == (2, "")
    assert why in shown.err


def test_a_question_is_asked_beside_options(desk: Desk) -> None:
    desk.behind(three)
    found = desk.type("runs", "status:failed,accepted -agent:agent_a", "--agent", "agent_b", "--count")
    assert ["Read the will." in found.out, "Read the deed." in found.out] == [True, True]
    assert "2 in all." in found.out


def test_a_question_that_cannot_be_read_is_shown_with_its_place(desk: Desk) -> None:
    desk.behind(three)
    said = desk.type("runs", "lease stauts:failed")
    assert said.code == 2
    told, question, mark = said.err.splitlines()
    assert "did you mean status" in told
    assert mark.index("^") == question.index("stauts")


def test_words_show_where_they_stand(desk: Desk) -> None:
    desk.behind(three)
    assert "3 runs are not indexed yet" in desk.type("runs", "void").err
    desk.behind(life.indexed)
    found = desk.type("runs", "'lease is void' OR \"is void\"", width=200)
    assert "output: The lease is void." in found.out
    assert desk.type("runs", '"is void"', "--json").objects[0]["snippets"][0]["marks"] == [[10, 17]]


def test_the_index_is_told_of_and_made_anew(desk: Desk) -> None:
    desk.behind(three)
    assert desk.type("search", "status").out.startswith("3 runs wait")
    assert desk.type("search", "rebuild", "--later", "--json").object == {"runs": 3, "waiting": 3}
    assert desk.type("search", "rebuild").out == "3 runs are indexed anew.\n"
    assert desk.type("search", "status").out == "All runs are indexed.\n"
    assert len(desk.type("runs", "void", "--json").objects) == 2
