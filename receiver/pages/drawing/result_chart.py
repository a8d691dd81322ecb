"""The chart of a result: its first column against the first column of numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Value = None | bool | int | float | str
#: The most rows that are drawn, and the characters of a label.
ROWS, LABEL = 60, 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: its label, its number, and where its bar lies in per cent of the width."""

    label: str
    value: float
    start: float
    width: float

    @property
    def is_negative(self) -> bool:
        return self.value < 0


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of a result. `axis` is the place of zero in per cent; `rows` counts all rows of the result."""

    label: str
    measure: str
    bars: Sequence[Bar]
    axis: float
    rows: int


def draw(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> Chart | None:
    """Return the chart of a result; None where it has no column of numbers behind its first one, or one row."""
    measured = next((at for at in range(1, len(columns)) if _is_measure(row[at] for row in rows)), None)
    if measured is None or len(rows) < 2:
        return None
    drawn = [(row[0], row[measured]) for row in rows[:ROWS]]
    numbers = [float(value) if isinstance(value, int | float) else 0.0 for _, value in drawn]
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    span = (high - low) or 1.0
    if not math.isfinite(span):
        return None
    bars = [
        Bar(_label(label), value, 100 * (min(value, 0.0) - low) / span, 100 * abs(value) / span)
        for (label, _), value in zip(drawn, numbers, strict=True)
    ]
    return Chart(columns[0], columns[measured], bars, -100 * low / span, len(rows))


def _is_measure(values: Iterable[Value]) -> bool:
    """Return whether a column holds numbers, and at least one of them."""
    found = [each for each in values if each is not None]
    return bool(found) and all(isinstance(each, int | float) and not isinstance(each, bool) for each in found)


def _label(value: Value) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= LABEL else f"{text[: LABEL - 1]}…"
