"""One upstream stream however many listen; what is slow, broken or too much ends alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from receiver import errors, telemetry, timeouts
from receiver.sandbox import faults
from receiver.streams import broker, channels
from receiver.upstream import client
from storage.repositories.stream_events import HEARTBEAT, Event
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
    """Yield the module's sandbox without faults; its runs go on until a test ends them."""
    yield served
    served.faults(**faults.as_json(faults.Faults()))


class Setup:
    """A broker that runs, and a run that is running upstream."""

    def __init__(self, made: broker.Broker, sandbox: Sandbox, run: str, stop: asyncio.Event) -> None:
        self.broker, self.sandbox, self.run, self.stop = made, sandbox, run, stop

    async def finish(self) -> None:
        await asyncio.to_thread(self.sandbox.finish, self.run, "completed")

    async def received(self, after: int = 0) -> list[Event]:
        """Return all events that a new listener gets."""
        async with contextlib.aclosing(await self.broker.listen(self.run, after)) as listening:
            return await rest(listening)

    async def calls(self) -> list[dict[str, Any]]:
        found = await asyncio.to_thread(self.sandbox.calls, "events")
        return [call for call in found if call["run"] == self.run]


async def rest(listening: channels.Listener) -> list[Event]:
    return [event async for event in listening if isinstance(event, Event)]


@contextlib.asynccontextmanager
async def set_up(sandbox: Sandbox, bounds: channels.Bounds | None = None, **timing: float) -> AsyncIterator[Setup]:
    with sandbox.client() as api:
        run = sandbox_server.new_run(api)
        api.post(f"/agent/v1/run/{run}/exec").raise_for_status()
    stop = asyncio.Event()
    waits = timeouts.Timing(**{**TIMING, **timing})  # type: ignore[arg-type]
    made = broker.Broker(waits, telemetry.Telemetry(), stop, bounds or channels.Bounds())
    upstream = client.Client(sandbox.url, KEY)
    running = asyncio.create_task(made.run(upstream))
    await asyncio.sleep(0)
    try:
        yield Setup(made, sandbox, run, stop)
    finally:
        stop.set()
        await running
        await upstream.aclose()


async def eventually(check: Callable[[], Any]) -> None:
    """Wait until a check of the sandbox holds, while the broker goes on."""
    async with asyncio.timeout(60):
        while not await check():
            await asyncio.sleep(0.005)


async def test_many_listeners_share_one_upstream_stream(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        listening = [await setup.broker.listen(setup.run, 0) for _ in range(20)]
        hearing = [asyncio.create_task(rest(each)) for each in listening]
        await setup.finish()
        received = await asyncio.gather(*hearing)
        assert all(each == received[0] for each in received)
        assert (received[0][0].type, received[0][-1].type) == ("session.created", "run.completed")
        assert len(await setup.calls()) == 1


async def test_a_later_listener_gets_the_same_events_from_the_buffer(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        first = await setup.broker.listen(setup.run, 0)
        await setup.finish()
        received = await rest(first)
        assert await setup.received() == received
        assert await setup.received(received[4].id) == received[5:]
        assert len(await setup.calls()) == 1


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
async def test_every_event_is_received_once_however_the_stream_breaks(
    sandbox: Sandbox, switches: dict[str, Any]
) -> None:
    async with set_up(sandbox, stream_idle=2.0) as setup:
        await setup.finish()
        async with set_up(sandbox) as untroubled:
            whole = await Setup(untroubled.broker, sandbox, setup.run, untroubled.stop).received()
        await asyncio.to_thread(lambda: sandbox.faults(**switches))
        assert await setup.received() == whole


async def test_a_cut_stream_is_resumed_behind_the_last_event(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        await setup.finish()
        await asyncio.to_thread(lambda: sandbox.faults(stream_cut_after=10))
        received = await setup.received()
        asked = [call["query"] for call in await setup.calls()]
        assert asked == [f"lastEventId={after}" for after in (0, *(event.id for event in received[9:-1:10]))]


async def test_a_slow_listener_is_dropped_and_no_other(sandbox: Sandbox) -> None:
    async with set_up(sandbox, channels.Bounds(events=5, batch=2)) as setup:
        slow, fast = await setup.broker.listen(setup.run, 0), await setup.broker.listen(setup.run, 0)
        assert isinstance(await anext(slow), Event)
        hearing = asyncio.create_task(rest(fast))
        await setup.finish()
        received = await hearing
        assert received[-1].type == "run.completed"
        with pytest.raises(errors.StreamInterrupted, match="too slow"):
            await rest(slow)
        await slow.aclose()
        # A listener behind the buffer gets a stream of its own.
        assert await setup.received() == received
        assert len(await setup.calls()) == 2


async def test_a_listener_that_reads_nothing_does_not_block_the_stream_for_ever(sandbox: Sandbox) -> None:
    async with set_up(sandbox, channels.Bounds(events=5), slow_listener=0.01) as setup:
        idle = await setup.broker.listen(setup.run, 0)
        await setup.finish()

        async def is_given_up() -> bool:  # then a new listener gets a stream of its own
            async with contextlib.aclosing(await setup.broker.listen(setup.run, 0)):
                return len(await setup.calls()) > 1

        await eventually(is_given_up)
        with pytest.raises(errors.StreamInterrupted, match="too slow"):
            await rest(idle)


async def test_where_nothing_happens_there_are_heartbeats(sandbox: Sandbox) -> None:
    async with set_up(sandbox, stream_heartbeat=0.01) as setup:
        listening = await setup.broker.listen(setup.run, 0)
        while await anext(listening) != HEARTBEAT:
            pass
        await setup.finish()
        assert (await rest(listening))[-1].type == "run.completed"


async def test_the_stream_is_let_go_a_moment_after_the_last_listener(sandbox: Sandbox) -> None:
    async with set_up(sandbox, stream_linger=0.0) as setup:
        listening = await setup.broker.listen(setup.run, 0)
        await anext(listening)
        assert not (await setup.calls())[-1]["is_over"]
        await listening.aclose()

        async def is_over() -> bool:
            return bool((await setup.calls())[-1]["is_over"])

        await eventually(is_over)


async def test_a_stream_that_never_begins_is_refused_at_once(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        with pytest.raises(errors.UpstreamStatusError) as unknown:
            await setup.broker.listen("run_unknown", 0)
        assert unknown.value.status == 404
        await asyncio.to_thread(lambda: sandbox.faults(down=True))
        with pytest.raises(errors.UpstreamUnreachable):
            await setup.broker.listen(setup.run, 0)


async def test_a_stream_that_breaks_for_good_is_given_up_by_name(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        rules = [{"route": "events", "times": 1, "action": "pass"}, {"route": "events", "action": "status:503"}]
        await asyncio.to_thread(lambda: sandbox.faults(script=rules, stream_cut_after=3))
        listening = await setup.broker.listen(setup.run, 0)
        await setup.finish()
        with pytest.raises(errors.StreamInterrupted, match="503"):
            await rest(listening)
        assert len(await setup.calls()) == broker.TRIES


@pytest.mark.parametrize(("rule", "retry_after"), [("status:401", ""), ("status:404", ""), ("status:429", "60")])
async def test_where_asking_again_is_of_no_use_it_is_left(sandbox: Sandbox, rule: str, retry_after: str) -> None:
    async with set_up(sandbox) as setup:
        rules = [{"route": "events", "times": 1, "action": "pass"}, {"route": "events", "action": rule}]
        switches = {"stream_cut_after": 3, "retry_after": retry_after}
        await asyncio.to_thread(lambda: sandbox.faults(script=rules, **switches))
        listening = await setup.broker.listen(setup.run, 0)
        await setup.finish()
        with pytest.raises(errors.StreamInterrupted, match=rule[-3:]):
            await rest(listening)
        assert len(await setup.calls()) == 2


async def test_one_stream_that_stalls_delays_no_other(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as stalled:
        stall = [{"route": "events", "run": stalled.run, "action": "hold"}]
        await asyncio.to_thread(lambda: sandbox.faults(script=stall))
        waiting = asyncio.create_task(stalled.received())
        async with set_up(sandbox) as other:
            await other.finish()
            assert (await events_beside_a_stalled_stream(stalled, other.run))[-1].type == "run.completed"
        assert not waiting.done()
        await asyncio.to_thread(lambda: sandbox.faults(script=[]))
        await asyncio.to_thread(sandbox.release)
        await stalled.finish()
        assert (await waiting)[-1].type == "run.completed"


async def events_beside_a_stalled_stream(setup: Setup, run: str) -> list[Event]:
    """Return the events of another run from a broker one stream of which stalls."""
    return await Setup(setup.broker, setup.sandbox, run, setup.stop).received()


async def test_there_are_only_so_many_listeners(sandbox: Sandbox) -> None:
    async with set_up(sandbox, channels.Bounds(listeners=2)) as setup:
        listening = [await setup.broker.listen(setup.run, 0) for _ in range(2)]
        with pytest.raises(errors.TooManyStreams):
            await setup.broker.listen(setup.run, 0)
        await listening[0].aclose()
        await listening[0].aclose()
        await setup.broker.listen(setup.run, 0)
        with pytest.raises(errors.TooManyStreams):
            await setup.broker.listen(setup.run, 0)


async def test_there_are_only_so_many_streams_and_one_without_listeners_makes_room(sandbox: Sandbox) -> None:
    async with set_up(sandbox, channels.Bounds(channels=1)) as setup, set_up(sandbox) as other:
        listening = await setup.broker.listen(setup.run, 0)
        with pytest.raises(errors.TooManyStreams):
            await setup.broker.listen(other.run, 0)
        await listening.aclose()
        assert isinstance(await anext(await setup.broker.listen(other.run, 0)), Event)


async def test_at_the_servers_stop_listeners_are_asked_to_reconnect(sandbox: Sandbox) -> None:
    async with set_up(sandbox) as setup:
        listening = await setup.broker.listen(setup.run, 0)
        setup.stop.set()
        with pytest.raises(errors.StreamInterrupted, match="the server stops"):
            await rest(listening)
        with pytest.raises(errors.StreamsUnavailable):
            await setup.broker.listen("run_x", 0)
