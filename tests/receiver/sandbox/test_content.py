"""What runs appear to do: plausible, priced, consistent, and the same for the same seed."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from receiver.sandbox import faults, messages, state, transcript
from tests import sandbox_server

START = 1_800_000_000.0


def _world(seed: int, now: list[float]) -> state.World:
    return state.World(seed, 60.0, lambda: now[0], faults.Injector(faults.Faults(), seed))


def _ended(seed: int, status: str, after: float = 60.0) -> state.Run:
    now = [START]
    place = _world(seed, now)
    run = place.add_run(place.add_agent({"name": "n", "instructions": "i"}), "Review the lease.", None, None, None)
    place.begin(run)
    now[0] += after
    place.end(run, status)
    return run


@pytest.mark.parametrize("seed", range(25))
def test_a_run_has_ten_to_forty_steps_of_every_type(seed: int) -> None:
    """Thinking, calls with their results, and one output at the end, in order of time."""
    shown = state.details(_ended(seed, "completed"), START + 100)
    steps = shown["steps"]
    assert isinstance(steps, list)
    assert 10 <= len(steps) <= 40
    assert {step["type"] for step in steps} == {"thinking", "tool_call", "tool_result", "output"}
    assert [step["type"] == "output" for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [step["timestamp"] for step in steps] == sorted(step["timestamp"] for step in steps)
    assert len({step["id"] for step in steps}) == len(steps)


@pytest.mark.parametrize("seed", range(5))
def test_steps_carry_what_their_type_promises(seed: int) -> None:
    """Calls name a tool and its input, results its output and duration, the rest has text."""
    steps = state.details(_ended(seed, "completed"), START + 100)["steps"]
    assert isinstance(steps, list)
    for step in steps:
        if step["type"] in ("tool_call", "tool_result"):
            assert step["toolName"] in transcript.TOOLS
            assert isinstance(step["toolInput"], dict)
        else:
            assert step["content"]
        if step["type"] == "tool_result":
            assert isinstance(step["toolOutput"], dict)
            assert step["durationMs"] > 0


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_the_summary_is_the_sum_of_the_entries(status: str) -> None:
    """Tokens and costs add up, in whole and in part, and are above zero."""
    usage = state.details(_ended(3, status, after=30.0), START + 100)["usage"]
    assert isinstance(usage, dict)
    entries, summary = usage["entries"], usage["summary"]
    assert {entry["kind"] for entry in entries} == {"llm", "api"}
    assert all(entry["costMicros"] > 0 for entry in entries)
    assert all(entry["totalTokens"] > 0 for entry in entries if entry["kind"] == "llm")
    assert summary["costMicros"] == sum(entry["costMicros"] for entry in entries)
    assert (
        summary["totalInputTokens"] == usage["inputTokens"] == sum(entry["promptTokens"] or 0 for entry in entries)
    )
    assert summary["totalOutputTokens"] == usage["outputTokens"]
    assert summary["totalTokens"] == summary["totalInputTokens"] + summary["totalOutputTokens"]


def test_steps_appear_as_time_passes() -> None:
    """A running run shows a part that only grows, and neither result nor usage."""
    now = [START]
    place = _world(1, now)
    run = place.add_run(place.add_agent({"name": "n", "instructions": "i"}), "p", None, None, None)
    place.begin(run)
    counts = []
    for elapsed in range(0, 90, 10):
        shown = state.details(run, START + elapsed)
        assert (shown["result"], shown["usage"]) == (None, None)
        assert isinstance(shown["steps"], list)
        counts.append(len(shown["steps"]))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == len(run.transcript.steps)


def test_the_same_seed_makes_the_same_content() -> None:
    """Two worlds of one seed agree in every id and word; another seed differs."""
    one, same, other = (state.details(_ended(seed, "completed"), START + 100) for seed in (7, 7, 8))
    assert one == same
    assert one["id"] != other["id"]
    assert one["result"] != other["result"]


def test_runs_of_one_world_differ() -> None:
    """The ordinal counts, also for equal prompts."""
    one, other = (transcript.written(f"1:run:{ordinal}", "p", "m", []) for ordinal in (1, 2))
    assert one.output != other.output


def _failed_everywhere() -> dict[str, state.Run]:
    runs = [_ended(seed, "failed") for seed in range(40)]
    return {run.transcript.failure_place: run for run in runs}


def test_a_failed_run_has_no_error_field_but_a_reason_elsewhere() -> None:
    """The reason is in the issues, the logs or the last step; or only the runtime's state shows the failure."""
    found = _failed_everywhere()
    assert set(found) == {"issues", "logs", "steps", "state"}
    for place, run in found.items():
        shown = state.details(run, START + 100)
        assert "error" not in shown
        result, steps = shown["result"], shown["steps"]
        assert isinstance(steps, list)
        shown_in = {
            "issues": isinstance(result, dict)
            and run.transcript.failure in (result["finalResponse"] or {}).get("issues", []),
            "logs": isinstance(result, dict) and run.transcript.failure in result["logs"]["runner"],
            "steps": steps[-1]["content"] == run.transcript.failure,
            "state": shown["runtimeState"] == "error",
        }
        assert [where for where, is_shown in shown_in.items() if is_shown] == [place]


def test_a_topic_of_the_prompt_appears_in_the_transcript() -> None:
    """The memorandum is about what was asked, where the prompt names a known topic."""
    written = transcript.written("1", "Summarise all Force Majeure clauses.", "m", ["obj_7"])
    assert "force majeure" in written.output
    calls = [step.fields for step in written.steps if step.fields["toolName"] == "read_document"]
    assert {call["toolInput"]["objectId"] for call in calls} <= {"obj_7"}


def test_instants_are_utc_with_milliseconds() -> None:
    """As the service writes them."""
    assert messages.instant(1_795_435_200.0) == "2026-11-23T12:00:00.000Z"


def test_a_past_is_made_at_once(sandbox: sandbox_server.Sandbox, api: httpx.Client) -> None:
    old, new = sandbox.past(2, ago=3600, status="failed"), sandbox.past(1, prompt="Yesterday's.")
    listed = api.get("/agent/v1/run").json()["runs"]
    assert [run["id"] for run in listed] == [*new, *reversed(old)]
    assert [run["status"] for run in listed] == ["completed", "failed", "failed"]
    assert listed[1]["createdAt"] < listed[0]["createdAt"]
    assert api.get(f"/agent/v1/run/{new[0]}/details").json()["result"]["output"]
