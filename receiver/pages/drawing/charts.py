"""The geometry of charts: from numbers to positions in an SVG. Pure.

Horizontal positions are in per cent of the plot, vertical ones in pixels from its top. A value that is not zero
has a bar of 2.5 pixels at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: The least height of a bar in pixels.
LEAST = 2.5
#: The part of a column that is left free at each side, and the most of it in per cent of the plot.
_GAP, _MOST_GAP = 0.12, 0.45
_STEPS = (1, 2, 2.5, 5, 10)
#: Milliseconds that a logarithmic axis may name.
_TIMES = (1, 10, 100, 1000, 10_000, 60_000, 300_000, 1_800_000, 7_200_000, 43_200_000, 172_800_000, 864_000_000)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a stacked column: which of the values it is, its top and its height."""

    at: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its place for the pointer, that of its bar, and its parts from the bottom up."""

    x: float
    width: float
    bar_x: float
    bar_width: float
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Tick:
    """A value of an axis and its position."""

    value: float
    at: float


def ticks(most: float, height: float, count: int = 3) -> list[Tick]:
    """Return round values from 0 up to at least `most`, with their distances from the top.

    >>> [(each.value, each.at) for each in ticks(29, 200)]
    [(0, 200.0), (10, 133.3), (20, 66.7), (30, 0.0)]
    >>> [each.value for each in ticks(0, 200)], [each.value for each in ticks(2, 80)]
    ([0, 1], [0, 1, 2])
    """
    step = max(_round_up(most / count), 1)
    last = max(math.ceil(most / step), 1)
    return [Tick(step * n, round(height - height * n / last, 1)) for n in range(last + 1)]


def _round_up(value: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    step = next(each * power for each in _STEPS if value <= each * power * 1.000001)
    return int(step) if step >= 10 or step == int(step) else math.ceil(step)


def stacked(values: Sequence[Sequence[int]], height: float, top: float) -> list[Column]:
    """Return columns of equal width, each with the parts of its values; `top` is the value at the upper edge.

    >>> (column,) = stacked([[0, 5, 5]], 100, 20)
    >>> [(part.at, part.y, part.height) for part in column.parts]
    [(1, 75.0, 25.0), (2, 50.0, 25.0)]
    """
    width = 100 / max(len(values), 1)
    gap = min(width * _GAP, _MOST_GAP)
    return [
        Column(
            round(width * place, 3),
            round(width, 3),
            round(width * place + gap, 3),
            round(width - 2 * gap, 3),
            _parts(column, height, top),
        )
        for place, column in enumerate(values)
    ]


def _parts(values: Sequence[int], height: float, top: float) -> list[Part]:
    parts, bottom = [], height
    for at, value in enumerate(values):
        if value > 0:
            tall = max(height * value / top, LEAST)
            bottom -= tall
            parts.append(Part(at, round(bottom, 1), round(tall, 1)))
    return parts


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic scale of milliseconds between two values."""

    low: float
    high: float

    def part(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high end.

        >>> [LogScale(10, 1000).part(value) for value in (10, 100, 5000)]
        [0.0, 0.5, 1.0]
        """
        inside = min(max(value, self.low), self.high)
        return round(math.log(inside / self.low) / math.log(self.high / self.low), 5)

    def times(self, most: int = 4) -> list[float]:
        """Return the round times on the scale.

        >>> LogScale(1000, 300_000).times()
        [1000, 10000, 60000, 300000]
        """
        inside = [each for each in _TIMES if self.low <= each <= self.high]
        return [*inside[:: max(-(-len(inside) // most), 1)]]


def log_scale(values: Sequence[float]) -> LogScale:
    """Return a scale for these times, between round ones."""
    least, most = max(min(values, default=1), 1), max(values, default=1000)
    low = max(each for each in _TIMES if each <= max(least, 1))
    high = next((each for each in _TIMES if each >= most and each > low), most * 2)
    return LogScale(low, high)


def path(values: Sequence[float | None], scale: LogScale, width: float, height: float) -> str:
    """Return the path of a line through the middle of each column; it is broken where there is no value.

    A value without neighbours is a dash.

    >>> path([10, 100, None, 1000], LogScale(10, 1000), 80, 100)
    'M10 100L30 50M65 0h10'
    """
    step, drawn = width / max(len(values), 1), ""
    around = [None, *values, None]
    for place, value in enumerate(values):
        if value is not None:
            before, after = around[place], around[place + 2]
            dash = step / 2 if before is None and after is None else 0
            x, y = step * (place + 0.5) - dash / 2, height - height * scale.part(value)
            drawn += f"{'M' if before is None else 'L'}{round(x, 1):g} {round(y, 1):g}"
            drawn += f"h{round(dash, 1):g}" if dash else ""
    return drawn


def spark(values: Sequence[float], width: float = 100, height: float = 20) -> str:
    """Return the points of a small line without axes.

    >>> spark([0, 4, 2])
    '0,18 50,2 100,10'
    """
    most, last = max(values, default=0) or 1, max(len(values) - 1, 1)
    inner = height - 4
    points = ((width * n / last, height - 2 - inner * value / most) for n, value in enumerate(values))
    return " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)


def spaced(count: int, most: int) -> list[int]:
    """Return which of `count` places have a label: at most `most` of them, evenly spaced from the first on.

    >>> spaced(24, 6), spaced(3, 6)
    ([0, 4, 8, 12, 16, 20], [0, 1, 2])
    """
    return list(range(0, count, max(-(-count // most), 1)))
