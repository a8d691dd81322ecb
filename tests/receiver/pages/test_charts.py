"""The geometry of charts: what is drawn lies in the plot, in order, and nothing that is there is invisible."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from receiver.pages.drawing import charts

COLUMNS = st.lists(st.lists(st.integers(0, 10**12), min_size=6, max_size=6), max_size=60)
TIMES = st.lists(st.integers(0, 10**13), min_size=1, max_size=20)


@given(COLUMNS)
def test_every_value_has_a_part_that_is_seen_and_the_whole_stays_in_the_plot(values: list[list[int]]) -> None:
    ticks = charts.ticks(max(map(sum, values), default=0), 200)
    columns = charts.stacked(values, 200, ticks[-1].value)
    for column, numbers in zip(columns, values, strict=True):
        assert [part.at for part in column.parts] == [at for at, value in enumerate(numbers) if value]
        assert all(part.height >= charts.LEAST for part in column.parts)
        assert all(part.y >= -6 * charts.LEAST for part in column.parts)
        assert 0 <= column.bar_x < column.bar_x + column.bar_width <= 100.01


@given(st.integers(0, 10**15), st.integers(1, 5))
def test_an_axis_begins_at_zero_and_reaches_the_largest_value_in_few_equal_steps(most: int, count: int) -> None:
    ticks = charts.ticks(most, 100, count)
    assert (ticks[0].value, ticks[0].at, ticks[-1].at) == (0, 100, 0)
    assert ticks[-1].value >= most
    assert len(ticks) <= count + 2
    assert len({round(b.value - a.value) for a, b in itertools.pairwise(ticks)}) == 1


@given(TIMES)
def test_a_logarithmic_scale_keeps_the_order_and_holds_every_time(times: list[int]) -> None:
    scale = charts.log_scale(times)
    places = [scale.part(each) for each in sorted(times)]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert len(scale.times()) <= 5


@given(st.lists(st.none() | st.integers(1, 10**7), max_size=50))
def test_a_line_has_a_point_for_each_value_and_is_broken_where_there_is_none(values: list[int | None]) -> None:
    drawn = charts.path(values, charts.LogScale(1, 10**7), 1000, 100)
    known = [each is not None for each in values]
    assert len(re.findall(r"[ML]", drawn)) == sum(known)
    assert drawn.count("M") == sum(
        here and not before for before, here in zip([False, *known], known, strict=False)
    )


@given(st.lists(st.floats(0, 1e18), max_size=60))
def test_a_small_line_stays_in_its_box(values: list[float]) -> None:
    points = [tuple(map(float, each.split(","))) for each in charts.spark(values).split()]
    assert len(points) == len(values)
    assert all(0 <= x <= 100 and 0 <= y <= 20 for x, y in points)
