"""Limits for unknown senders: requests per address, and memory for bodies."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import client_address, errors
from receiver.web import request_limits

SMALL = request_limits.Bounds(failures=3, seconds=10.0, origins=4)


def test_a_bucket_holds_so_many_and_then_one_more_every_so_often() -> None:
    buckets = request_limits.Buckets(SMALL)
    assert [buckets.charge("192.0.2.1", 100.0) for _ in range(4)] == [True, True, True, False]
    assert [buckets.charge("192.0.2.1", now) for now in (109.9, 110.0, 110.0, 120.0)] == [False, True, False, True]
    assert buckets.charge("192.0.2.2", 100.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 30)), max_size=50))
def test_nobody_is_charged_more_than_the_bucket_and_what_came_in_since(steps: list[tuple[int, float]]) -> None:
    buckets, now, charged = request_limits.Buckets(SMALL), 0.0, 0
    for tries, pause in steps:
        now += pause
        charged += sum(buckets.charge("192.0.2.1", now) for _ in range(tries))
        assert charged <= SMALL.failures + now / SMALL.seconds + 1e-6


def test_however_many_origins_fail_few_are_remembered() -> None:
    buckets = request_limits.Buckets(SMALL)
    for number in range(1000):
        buckets.charge(f"192.0.2.{number % 250}", 100.0 + number)
    assert len(buckets) == SMALL.origins


def test_a_network_of_ipv6_is_one_origin_and_an_address_of_ipv4_is_one_however_it_is_spelled() -> None:
    same = [client_address.origin(each) for each in ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:DB8:1:2::")]
    assert same == ["2001:db8:1:2::/64"] * 3
    assert client_address.origin("2001:db8:1:3::1") != same[0]
    assert client_address.origin("::ffff:192.0.2.1") == client_address.origin("192.0.2.1") == "192.0.2.1"
    assert client_address.origin(None) == client_address.origin("a socket of this machine")


@pytest.mark.anyio
async def test_the_longest_read_gives_up_its_memory_and_is_stopped_at_once() -> None:
    budget, began = request_limits.BodyBudget(100), asyncio.Event()

    async def slow() -> None:
        with budget.lease() as lease, lease.reading(3600):
            lease.reserve(90)
            began.set()
            await asyncio.Event().wait()

    reading = asyncio.create_task(slow())
    await began.wait()
    with budget.lease() as lease:
        with lease.reading(3600):
            lease.reserve(20)
        assert budget.used == 20
        with pytest.raises(errors.TooManyBodies):
            await reading
    assert budget.used == 0


@pytest.mark.anyio
async def test_what_was_read_keeps_its_place_until_it_is_let_go() -> None:
    budget = request_limits.BodyBudget(100)
    with budget.lease() as first, budget.lease() as second:
        with first.reading(3600):
            first.reserve(90)
        with pytest.raises(errors.TooManyBodies), second.reading(3600):
            second.reserve(20)
        assert budget.used == 90
    assert budget.used == 0


@pytest.mark.anyio
async def test_a_body_that_is_slow_is_no_body_that_made_room() -> None:
    with request_limits.BodyBudget(100).lease() as lease, pytest.raises(errors.BodyTooSlow), lease.reading(0):
        await asyncio.Event().wait()


@pytest.mark.anyio
async def test_each_body_has_its_own_time_whichever_began_first() -> None:
    budget, ended = request_limits.BodyBudget(100), list[float]()

    async def read(seconds: float) -> None:
        with budget.lease() as lease, contextlib.suppress(errors.BodyTooSlow), lease.reading(seconds):
            await asyncio.Event().wait()
        ended.append(seconds)

    late = asyncio.create_task(read(3600))
    await asyncio.gather(read(0.02), read(0), read(0.01))
    assert sorted(ended) == [0, 0.01, 0.02]
    assert not late.done()
    late.cancel()


@pytest.mark.anyio
async def test_a_request_that_is_cancelled_while_its_time_ends_is_cancelled() -> None:
    async def read() -> None:
        with request_limits.BodyBudget(100).lease() as lease, lease.reading(0):
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


@given(st.lists(st.lists(st.integers(0, 60), max_size=6), max_size=12))
def test_never_more_is_held_than_there_is_room(bodies: list[list[int]]) -> None:
    budget = request_limits.BodyBudget(100)

    async def reader(sizes: list[int]) -> None:
        with budget.lease() as lease, contextlib.suppress(errors.TooManyBodies), lease.reading(3600):
            for size in sizes:
                lease.reserve(size)
                assert budget.used <= 100
                await asyncio.sleep(0)

    async def all_of_them() -> None:
        await asyncio.gather(*(reader(sizes) for sizes in bodies))

    asyncio.run(all_of_them())
    assert budget.used == 0
