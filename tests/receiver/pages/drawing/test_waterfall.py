"""The rows of a waterfall and their bars."""

from __future__ import annotations

from datetime import timedelta

import hypothesis
from hypothesis import strategies

from receiver.pages.drawing import waterfall
from storage import bounds
from storage.query.run_contents import Outline
from tests import life

TIMES = waterfall.Times(life.NOW, life.at(2), life.at(12))


def outline(position: int, type: str, tool: str | None = None, at: float = 0, took: int | None = None) -> Outline:
    """Return a step in outline."""
    return Outline(position, type, tool, took, life.at(at), False)


def rows(*steps: Outline, times: waterfall.Times = TIMES) -> list[waterfall.Row]:
    """Return the rows of steps without those of turns."""
    return [row for turn in waterfall.rows(steps, times) for row in turn.steps]


def test_a_call_and_its_result_are_one_row_from_the_call_to_the_result() -> None:
    row, *others = rows(outline(0, "tool_call", "search", 3), outline(1, "tool_result", "search", 5, 2000))
    assert not others
    assert (row.start, row.end, row.positions) == (3000, 5000, "0–1")


def test_calls_side_by_side_find_their_results() -> None:
    steps = [outline(0, "tool_call", "a", 3), outline(1, "tool_call", "b", 3)]
    steps += [outline(2, "tool_result", "a", 4), outline(3, "tool_result", "b", 7)]
    assert [(row.positions, row.end) for row in rows(*steps)] == [("0, 2", 4000), ("1, 3", 7000)]


def test_a_turn_begins_at_a_thought_that_follows_a_result() -> None:
    kinds = ["thinking", "thinking", "tool_call", "tool_result", "thinking", "output"]
    turns = waterfall.rows([outline(at, kind, at=at) for at, kind in enumerate(kinds)], TIMES)
    assert [(turn.name, len(turn.steps)) for turn in turns] == [("Turn 1", 3), ("Turn 2", 2)]


def test_instants_are_starts_where_steps_would_overlap_otherwise() -> None:
    starts = [outline(0, "thinking", at=2, took=3000), outline(1, "thinking", at=5, took=100)]
    assert [(row.start, row.end) for row in rows(*starts)] == [(2000, 5000), (5000, 5100)]
    ends = [outline(0, "thinking", at=2.5, took=100), outline(1, "thinking", at=5.5, took=3000)]
    assert [(row.start, row.end) for row in rows(*ends)] == [(2400, 2500), (2500, 5500)]


def test_a_step_without_an_instant_follows_the_step_before_it() -> None:
    second = Outline(1, "thinking", None, 500, None, False)
    assert [row.start for row in rows(outline(0, "thinking", at=4), second)] == [4000, 4000]


def test_a_step_years_away_does_not_stretch_the_axis() -> None:
    far = Outline(1, "thinking", None, None, life.NOW + timedelta(days=300), False)
    turns = waterfall.rows([outline(0, "thinking", at=4), far], TIMES)
    assert waterfall.whole(turns, TIMES) == waterfall.Window(0, 12_000)


def test_a_bar_is_cut_to_the_window_and_keeps_its_label_inside() -> None:
    window = waterfall.Window(1000, 2000)
    bar = waterfall.bar(waterfall.Row("tool", 3, "search", 500, 1250), window)
    assert (bar.x, bar.width, bar.label_at, bar.is_label_left) == (0, 25, 25, False)
    late = waterfall.bar(waterfall.Row("tool", 3, "search", 1900, 9000), window)
    assert (late.x, late.width, late.label_at, late.is_label_left) == (90, 10, 90, True)


STEPS = strategies.builds(
    Outline,
    strategies.just(0),
    strategies.sampled_from(["thinking", "tool_call", "tool_result", "output", "", None, "x" * 50]),
    strategies.sampled_from([None, "search", "read"]),
    strategies.none() | strategies.integers(0, bounds.DURATION_MS),
    strategies.none() | strategies.integers(-(10**8), 10**8).map(life.at),
    strategies.booleans(),
)


@hypothesis.given(strategies.lists(STEPS, max_size=30))
def test_each_step_is_in_one_row_and_each_bar_within_the_picture(steps: list[Outline]) -> None:
    placed = [
        Outline(at, *(getattr(step, name) for name in Outline.__struct_fields__[1:]))
        for at, step in enumerate(steps)
    ]
    turns = waterfall.rows(placed, TIMES)
    window = waterfall.whole(turns, TIMES)
    each_row = [row for turn in turns for row in turn.steps]
    assert {each for row in each_row for each in (row.first, row.last)} == set(range(len(steps)))
    for row in (*turns, *each_row):
        bar = waterfall.bar(row, window)
        assert 0 <= bar.x <= bar.x + bar.width <= 100.001
    assert all(0 <= x <= 100 and width <= 101 for _, x, width in waterfall.lanes(turns, window))
