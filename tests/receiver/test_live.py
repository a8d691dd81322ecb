"""One upstream stream however many listen; what is slow, broken or too much ends alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from receiver import backoff, errors, live, telemetry
from receiver.sandbox import faults
from receiver.upstream import client
from storage.events import HEARTBEAT, Event
from tests import sandbox_server
from tests.sandbox_server import KEY, Sandbox

pytestmark = pytest.mark.anyio

NEVER = 300.0
TIMING = {"backoff": 0.01, "pause_most": 0.02, "stream_heartbeat": NEVER, "stream_linger": NEVER}


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with sandbox_server.running(run_seconds=NEVER) as server:
        yield server


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    """The module's sandbox on a good day; its runs go on until somebody ends them."""
    yield served
    served.faults(**faults.as_json(faults.Faults()))


class Stage:
    """A hub that runs, and a run that is running upstream."""

    def __init__(self, hub: live.Hub, sandbox: Sandbox, run: str, stop: asyncio.Event) -> None:
        self.hub, self.sandbox, self.run, self.stop = hub, sandbox, run, stop

    async def finish(self) -> None:
        await asyncio.to_thread(self.sandbox.finish, self.run, "completed")

    async def heard(self, after: int = 0) -> list[Event]:
        """Everything, by a listener who comes now."""
        async with contextlib.aclosing(await self.hub.listen(self.run, after)) as listening:
            return await rest(listening)

    async def calls(self) -> list[dict[str, Any]]:
        found = await asyncio.to_thread(self.sandbox.calls, "events")
        return [call for call in found if call["run"] == self.run]


async def rest(listening: live.Listening) -> list[Event]:
    return [event async for event in listening if isinstance(event, Event)]


@contextlib.asynccontextmanager
async def staged(sandbox: Sandbox, bounds: live.Bounds | None = None, **timing: float) -> AsyncIterator[Stage]:
    with sandbox.client() as api:
        run = sandbox_server.new_run(api)
        api.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    stop = asyncio.Event()
    hub = live.Hub(backoff.Timing(**{**TIMING, **timing}), telemetry.Telemetry(), stop, bounds or live.Bounds())  # type: ignore[arg-type]
    upstream = client.Client(sandbox.url, KEY)
    running = asyncio.create_task(hub.run(upstream))
    await asyncio.sleep(0)
    try:
        yield Stage(hub, sandbox, run, stop)
    finally:
        stop.set()
        await running
        await upstream.aclose()


async def eventually(check: Callable[[], Any]) -> None:
    """Waits until something of the sandbox is so, while the hub goes on."""
    async with asyncio.timeout(60):
        while not await check():
            await asyncio.sleep(0.005)


async def test_many_listeners_share_one_upstream_stream(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        listening = [await stage.hub.listen(stage.run, 0) for _ in range(20)]
        hearing = [asyncio.create_task(rest(each)) for each in listening]
        await stage.finish()
        heard = await asyncio.gather(*hearing)
        assert all(each == heard[0] for each in heard)
        assert (heard[0][0].type, heard[0][-1].type) == ("session.created", "run.completed")
        assert len(await stage.calls()) == 1


async def test_who_comes_later_hears_the_same_from_the_ring(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        first = await stage.hub.listen(stage.run, 0)
        await stage.finish()
        heard = await rest(first)
        assert await stage.heard() == heard
        assert await stage.heard(heard[4].id) == heard[5:]
        assert len(await stage.calls()) == 1


@pytest.mark.parametrize(
    "switches",
    [
        {"stream_cut_after": 4},
        {"stream_stall_after": 25},
        {"stream_repeats": 2},
        {"stream_junk": True},
        {"stream_cut_after": 7, "stream_repeats": 1, "stream_junk": True},
        {"script": [{"route": "events", "times": 1, "action": "truncated"}]},
    ],
)
async def test_however_the_stream_breaks_every_event_is_heard_once(
    sandbox: Sandbox, switches: dict[str, Any]
) -> None:
    async with staged(sandbox, stream_idle=2.0) as stage:
        await stage.finish()
        async with staged(sandbox) as untroubled:
            whole = await Stage(untroubled.hub, sandbox, stage.run, untroubled.stop).heard()
        await asyncio.to_thread(lambda: sandbox.faults(**switches))
        assert await stage.heard() == whole


async def test_a_cut_stream_is_resumed_behind_the_last_event(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        await stage.finish()
        await asyncio.to_thread(lambda: sandbox.faults(stream_cut_after=10))
        heard = await stage.heard()
        asked = [call["query"] for call in await stage.calls()]
        assert asked == [f"lastEventId={after}" for after in (0, *(event.id for event in heard[9:-1:10]))]


async def test_a_slow_listener_is_dropped_and_no_other(sandbox: Sandbox) -> None:
    async with staged(sandbox, live.Bounds(events=5, batch=2)) as stage:
        slow, fast = await stage.hub.listen(stage.run, 0), await stage.hub.listen(stage.run, 0)
        assert isinstance(await anext(slow), Event)
        hearing = asyncio.create_task(rest(fast))
        await stage.finish()
        heard = await hearing
        assert heard[-1].type == "run.completed"
        with pytest.raises(errors.Interrupted, match="too slow"):
            await rest(slow)
        await slow.aclose()
        # Behind the ring there is a stream of its own.
        assert await stage.heard() == heard
        assert len(await stage.calls()) == 2


async def test_a_listener_who_takes_nothing_does_not_hold_the_stream_for_ever(sandbox: Sandbox) -> None:
    async with staged(sandbox, live.Bounds(events=5), slow_reader=0.01) as stage:
        idle = await stage.hub.listen(stage.run, 0)
        await stage.finish()

        async def is_given_up() -> bool:  # then who comes now is read to anew
            async with contextlib.aclosing(await stage.hub.listen(stage.run, 0)):
                return len(await stage.calls()) > 1

        await eventually(is_given_up)
        with pytest.raises(errors.Interrupted, match="too slow"):
            await rest(idle)


async def test_where_nothing_happens_there_are_heartbeats(sandbox: Sandbox) -> None:
    async with staged(sandbox, stream_heartbeat=0.01) as stage:
        listening = await stage.hub.listen(stage.run, 0)
        while await anext(listening) != HEARTBEAT:
            pass
        await stage.finish()
        assert (await rest(listening))[-1].type == "run.completed"


async def test_the_stream_is_let_go_a_moment_after_the_last_listener(sandbox: Sandbox) -> None:
    async with staged(sandbox, stream_linger=0.0) as stage:
        listening = await stage.hub.listen(stage.run, 0)
        await anext(listening)
        assert not (await stage.calls())[-1]["is_over"]
        await listening.aclose()

        async def is_over() -> bool:
            return bool((await stage.calls())[-1]["is_over"])

        await eventually(is_over)


async def test_a_stream_that_never_begins_is_told_at_once(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        with pytest.raises(errors.Answered) as unknown:
            await stage.hub.listen("run_unknown", 0)
        assert unknown.value.status == 404
        await asyncio.to_thread(lambda: sandbox.faults(down=True))
        with pytest.raises(errors.NoAnswer):
            await stage.hub.listen(stage.run, 0)


async def test_a_stream_that_breaks_for_good_is_given_up_by_name(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        rules = [{"route": "events", "times": 1, "action": "pass"}, {"route": "events", "action": "status:503"}]
        await asyncio.to_thread(lambda: sandbox.faults(script=rules, stream_cut_after=3))
        listening = await stage.hub.listen(stage.run, 0)
        await stage.finish()
        with pytest.raises(errors.Interrupted, match="503"):
            await rest(listening)
        assert len(await stage.calls()) == live.TRIES


@pytest.mark.parametrize(("rule", "retry_after"), [("status:401", ""), ("status:404", ""), ("status:429", "60")])
async def test_where_asking_again_is_of_no_use_it_is_left(sandbox: Sandbox, rule: str, retry_after: str) -> None:
    async with staged(sandbox) as stage:
        rules = [{"route": "events", "times": 1, "action": "pass"}, {"route": "events", "action": rule}]
        switches = {"stream_cut_after": 3, "retry_after": retry_after}
        await asyncio.to_thread(lambda: sandbox.faults(script=rules, **switches))
        listening = await stage.hub.listen(stage.run, 0)
        await stage.finish()
        with pytest.raises(errors.Interrupted, match=rule[-3:]):
            await rest(listening)
        assert len(await stage.calls()) == 2


async def test_one_stream_that_stalls_stands_in_nobodys_way(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stalled:
        stall = [{"route": "events", "run": stalled.run, "action": "hold"}]
        await asyncio.to_thread(lambda: sandbox.faults(script=stall))
        waiting = asyncio.create_task(stalled.heard())
        async with staged(sandbox) as other:
            await other.finish()
            assert (await stalled_hub_hears(stalled, other.run))[-1].type == "run.completed"
        assert not waiting.done()
        await asyncio.to_thread(lambda: sandbox.faults(script=[]))
        await asyncio.to_thread(sandbox.release)
        await stalled.finish()
        assert (await waiting)[-1].type == "run.completed"


async def stalled_hub_hears(stage: Stage, run: str) -> list[Event]:
    """What the hub of a stage, one stream of which stalls, hears of another run."""
    return await Stage(stage.hub, stage.sandbox, run, stage.stop).heard()


async def test_there_are_only_so_many_listeners(sandbox: Sandbox) -> None:
    async with staged(sandbox, live.Bounds(listeners=2)) as stage:
        listening = [await stage.hub.listen(stage.run, 0) for _ in range(2)]
        with pytest.raises(errors.TooManyStreams):
            await stage.hub.listen(stage.run, 0)
        await listening[0].aclose()
        await listening[0].aclose()
        await stage.hub.listen(stage.run, 0)
        with pytest.raises(errors.TooManyStreams):
            await stage.hub.listen(stage.run, 0)


async def test_there_are_only_so_many_streams_and_one_without_listeners_makes_room(sandbox: Sandbox) -> None:
    async with staged(sandbox, live.Bounds(channels=1)) as stage, staged(sandbox) as other:
        listening = await stage.hub.listen(stage.run, 0)
        with pytest.raises(errors.TooManyStreams):
            await stage.hub.listen(other.run, 0)
        await listening.aclose()
        assert isinstance(await anext(await stage.hub.listen(other.run, 0)), Event)


async def test_at_the_servers_stop_listeners_are_told_to_come_back(sandbox: Sandbox) -> None:
    async with staged(sandbox) as stage:
        listening = await stage.hub.listen(stage.run, 0)
        stage.stop.set()
        with pytest.raises(errors.Interrupted, match="the server stops"):
            await rest(listening)
        with pytest.raises(errors.NotFollowed):
            await stage.hub.listen("run_x", 0)
