"""The stream of a run's events, read by a parser that we did not write."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from receiver.sandbox import faults
from tests import sandbox_server
from tests.patience import until
from tests.sandbox_server import Sandbox

NEVER = 300.0


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    """Yield a sandbox whose runs continue until a test ends them."""
    with sandbox_server.running(run_seconds=NEVER) as server:
        yield server


def started(sandbox: Sandbox, api: httpx.Client) -> str:
    run = sandbox_server.new_run(api)
    api.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    return run


def ended(sandbox: Sandbox, api: httpx.Client, status: str = "completed") -> str:
    """Return a run that has ended, whatever end the switches choose."""
    run = sandbox_server.new_run(api)
    sandbox.finish(run, status)
    return run


@contextlib.contextmanager
def streamed(
    api: httpx.Client, run: str, after: int | None = None, header: str | None = None
) -> Iterator[Iterator[httpx.ServerSentEvent]]:
    query = {} if after is None else {"lastEventId": after}
    headers = {} if header is None else {"Last-Event-ID": header}
    with api.stream("GET", f"/agent/v1/run/{run}/events", params=query, headers=headers) as response:
        response.raise_for_status()
        yield iter(httpx.EventSource(response, max_event_size=None))


def replayed(api: httpx.Client, run: str, after: int | None = None) -> list[httpx.ServerSentEvent]:
    with streamed(api, run, after) as events:
        return list(events)


def is_over(sandbox: Sandbox) -> bool:
    """Return whether the stream that was opened last is over."""
    return bool(sandbox.calls("events")[-1]["is_over"])


def until_cut(api: httpx.Client, run: str) -> list[httpx.ServerSentEvent]:
    """Return what came before the connection was cut."""
    found: list[httpx.ServerSentEvent] = []
    with streamed(api, run) as events, pytest.raises(httpx.TransportError):
        found.extend(events)
    return found


def test_ids_grow_with_gaps_and_the_data_repeats_the_type(sandbox: Sandbox, api: httpx.Client) -> None:
    *events, close = replayed(api, ended(sandbox, api))
    ids = [int(event.id) for event in events]
    gaps = {after - before for before, after in itertools.pairwise(ids)}
    assert min(gaps) >= 1
    assert max(gaps) > 1
    shown = [event.json() for event in events]
    assert [each["type"] for each in shown if isinstance(each, dict)] == [event.event for event in events]
    assert len({event.event for event in events}) >= 8
    assert close.event == "close"


@pytest.mark.parametrize("status", faults.ENDED)
def test_the_last_event_before_close_is_the_end_of_the_run(
    sandbox: Sandbox, api: httpx.Client, status: str
) -> None:
    run = ended(sandbox, api, status)
    terminal, close = replayed(api, run)[-2:]
    data = terminal.json()
    assert isinstance(data, dict)
    assert (terminal.event, data["runId"], data["status"]) == (f"run.{status}", run, status)
    assert close.event == "close"


def test_what_is_seen_live_is_seen_again_in_a_replay(slow: Sandbox) -> None:
    with slow.client() as api:
        run = started(slow, api)
        with streamed(api, run) as events:
            first = next(events)
            slow.finish(run, "failed")
            live = [first, *events]
        *again, close = replayed(api, run)
    assert live == again
    assert (live[-1].event, close.event) == ("run.failed", "close")


def test_a_run_that_is_queued_streams_from_its_start(slow: Sandbox) -> None:
    with slow.client() as api, slow.client() as other:
        run = sandbox_server.new_run(other)
        with streamed(api, run) as events:
            other.post(f"/agent/v1/run/{run}/exec").raise_for_status()
            assert next(events).event == "session.created"


def test_a_cancelled_run_shows_only_what_has_happened(slow: Sandbox) -> None:
    with slow.client() as api:
        run = started(slow, api)
        api.post(f"/agent/v1/run/{run}/cancel").raise_for_status()
        kinds = [event.event for event in replayed(api, run)]
    assert kinds[0] == "session.created"
    assert kinds[-2:] == ["run.cancelled", "close"]
    assert "tool.completed" not in kinds


def test_a_stream_is_resumed_by_header_or_query_and_the_header_wins(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    whole = replayed(api, run)
    rest = [event.id for event in whole[10:-1]]
    assert [event.id for event in replayed(api, run, int(whole[9].id))][:-1] == rest
    with streamed(api, run, 0, whole[9].id) as events:
        assert [event.id for event in events][:-1] == rest


def test_after_the_last_event_there_is_only_the_close(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    last = int(replayed(api, run)[-2].id)
    assert [event.event for event in replayed(api, run, last)] == ["close"]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 16])
def test_a_last_event_id_that_is_no_number_is_refused(sandbox: Sandbox, api: httpx.Client, after: str) -> None:
    run = ended(sandbox, api)
    path = f"/agent/v1/run/{run}/events"
    assert api.get(path, params={"lastEventId": after}).status_code == 400
    assert api.get(path, headers={"Last-Event-ID": after}).status_code == 400


def test_an_unknown_run_has_no_stream(api: httpx.Client) -> None:
    assert api.get("/agent/v1/run/run_x/events").status_code == 404


def test_heartbeats_are_comments(slow: Sandbox) -> None:
    slow.faults(stream_heartbeat=0.01)
    with slow.client() as api, slow.client() as other:
        run = sandbox_server.new_run(other)
        with api.stream("GET", f"/agent/v1/run/{run}/events") as response:
            assert next(response.iter_lines()) == ": heartbeat"


def test_a_stream_that_is_cut_again_and_again_is_whole_in_the_end(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    whole = replayed(api, run)
    sandbox.faults(stream_cut_after=len(whole) // 2)
    first = until_cut(api, run)
    assert len(first) == len(whole) // 2
    assert first + replayed(api, run, int(first[-1].id)) == whole


def test_a_stalled_stream_sends_nothing_more(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    sandbox.faults(stream_stall_after=3)
    with streamed(api, run) as events:
        assert len([next(events) for _ in range(3)]) == 3
        assert not is_over(sandbox)
    until(lambda: is_over(sandbox))


def test_repeated_events_have_the_same_id(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    whole = replayed(api, run)
    sandbox.faults(stream_repeats=2)
    assert replayed(api, run)[:-1] == [event for event in whole[:-1] for _ in range(3)]


def test_among_the_junk_every_good_event_is_there(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    whole = replayed(api, run)
    sandbox.faults(stream_junk=True)
    littered = replayed(api, run)
    assert len(littered) > 5 * len(whole)
    assert [event for event in littered if event in whole] == whole


def test_only_the_newest_events_are_kept_for_a_replay(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    whole = replayed(api, run)
    sandbox.faults(stream_kept=4)
    assert replayed(api, run) == whole[-5:]


def test_a_reader_that_does_not_read_is_cut_off(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    sandbox.faults(stream_padding=8_000_000, stream_slow_reader=0.05)
    with streamed(api, run) as events:
        until(lambda: is_over(sandbox))
        with pytest.raises(httpx.TransportError):
            list(events)


def test_a_stream_may_stay_open_after_its_end(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    sandbox.faults(stream_stays_open=True)
    with streamed(api, run) as events:
        assert "close" in (event.event for event in events)
        assert not is_over(sandbox)
    until(lambda: is_over(sandbox))


def test_rules_hit_streams_as_they_hit_every_call(sandbox: Sandbox, api: httpx.Client) -> None:
    run = ended(sandbox, api)
    sandbox.faults(script=[{"route": "events", "run": run, "times": 1, "action": "status:503"}])
    assert api.get(f"/agent/v1/run/{run}/events").status_code == 503
    sandbox.faults(script=[{"route": "events", "action": "malformed"}])
    assert "'type':'run.completed'" in api.get(f"/agent/v1/run/{run}/events").text


def test_a_sandbox_that_stops_does_not_wait_for_its_streams() -> None:
    with sandbox_server.running(run_seconds=NEVER) as sandbox, sandbox.client() as api:
        reading = api.send(api.build_request("GET", f"/agent/v1/run/{started(sandbox, api)}/events"), stream=True)
        assert next(iter(httpx.EventSource(reading))).event == "session.created"
