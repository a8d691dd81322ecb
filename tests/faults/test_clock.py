"""The clock of this machine goes back or forward by an hour: nothing waits that long, nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults import houses
from tests.faults.conftest import Sites
from tests.journeys import story
from tests.journeys.judging import judge
from tests.patience import until

HOUR = 3600.0
TIMING = {"sweep": 0.2, "stray": 60.0, "pause_most": 0.2}


def _wrong(house: story.House, seconds: float) -> None:
    """From here on this machine's clock is wrong by so much."""
    new = house.server.folder / "clock.new"
    new.write_text(str(seconds))
    new.rename(house.server.folder / "clock")


@pytest.fixture(scope="module")
def clocked(sites: Sites) -> Iterator[Callable[[str], story.House]]:
    make = lambda site: story.opened(site, timing=TIMING, switches=houses.SWITCHES)  # noqa: E731
    with story.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def house(clocked: Callable[[str], story.House], kind: str) -> Iterator[story.House]:
    """A house whose clock is right, at first."""
    opened = clocked(kind)
    yield opened
    _wrong(opened, 0)
    until(lambda: houses.readiness(opened) == 200, why="it did not become ready again by itself")


def _waiting(house: story.House, nonce: str) -> story.Row:
    """A run that waits, since the upstream is away, and a pause that holds."""
    house.sandbox.faults(down=True)
    run = house.submit(nonce)
    house.until_troubled()
    until(lambda: house.server.rows("SELECT 1 FROM jobs WHERE kind = 'start' AND last_error IS NOT NULL"))
    return run


def test_a_clock_that_goes_back_makes_nobody_wait_for_it(house: story.House, nonce: str) -> None:
    _waiting(house, nonce)
    _wrong(house, -HOUR)
    house.sandbox.faults(down=False)
    judge(house, nonce)
    until(lambda: houses.readiness(house) == 200)


def test_a_clock_that_goes_back_while_the_server_is_down_makes_nobody_wait_for_it(
    house: story.House, nonce: str
) -> None:
    _waiting(house, nonce)
    house.server.kill()
    _wrong(house, -HOUR)
    house.sandbox.faults(down=False)
    house.restart()
    judge(house, nonce)
    until(lambda: houses.readiness(house) == 200)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_that_jumps_under_load_and_is_set_right_loses_nothing(
    house: story.House, nonce: str, seconds: float
) -> None:
    with houses.flowing(house, nonce) as load:
        for wrong in (seconds, 0.0):
            _wrong(house, wrong)
            taken = load.submitted
            until(lambda taken=taken: load.submitted > taken + 5)  # type: ignore[misc]
    assert set(load.answers) == {202}
    load.judge()
