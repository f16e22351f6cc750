"""Three plots as plain SVG: bars, curves of delays, lines over time. Numbers in, text out; GitHub shows it as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

# Colours that stay apart for readers who cannot tell red from green: Okabe and Ito, "Color Universal Design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_FONT = 'font-family="Helvetica,Arial,sans-serif" font-size="12"'
_LABEL_WIDTH = 190
_ROW = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart: `low` and `high` are drawn as a whisker."""

    label: str
    value: float
    low: float
    high: float
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One series: points in the units of the axes."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to 0..1.

    Attributes:
        place: Value -> 0..1; what is outside is cut off.
        ticks: Values with their text.
        title: What it is, with its unit.
    """

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]
    title: str


def linear_axis(top: float, title: str) -> Axis:
    """0 to `top`, with round ticks."""
    step = 10 ** math.floor(math.log10(max(top, 1e-9)))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if top / s <= 8)
    ticks = [(step * i, f"{step * i:,.6g}") for i in range(int(top / step) + 1)]
    return Axis(lambda value: min(1.0, max(0.0, value / top)), ticks, title)


def log_axis(low: float, high: float, title: str) -> Axis:
    """Powers of ten, and 2 and 5 times them where there is room."""
    begin, end = math.log10(low), math.log10(high)
    factors = (1, 2, 5) if end - begin < 2.5 else (1,)
    values = [f * 10.0**p for p in range(math.floor(begin), math.ceil(end) + 1) for f in factors]
    ticks = [(value, f"{value:,.6g}") for value in values if low <= value <= high]
    return Axis(lambda value: min(1.0, max(0.0, (math.log10(max(value, low)) - begin) / (end - begin))), ticks, title)


def tail_axis(nines: int, title: str) -> Axis:
    """Shares of records from 0 to 0.9..9, stretched so that every further nine takes as much room."""
    ticks = [
        (0.0, "0"),
        (0.5, "50 %"),
        *((1 - 10.0**-n, f"{100 - 10.0 ** (2 - n):.10g} %") for n in range(1, nines + 1)),
    ]
    return Axis(lambda share: min(1.0, -math.log10(max(10.0**-nines, 1 - share)) / nines), ticks, title)


def bars(title: str, rows: Sequence[Bar], axis: Axis, reference: float | None = None) -> str:
    """Horizontal bars in the given order, ours in another colour; a dashed line at `reference`."""
    width, left, top = 760, _LABEL_WIDTH, 48
    plot, height = width - left - 80, top + _ROW * len(rows) + 48
    parts = [_text(12, 24, title, weight="bold")]
    parts += _grid_below(axis, left, top, plot, _ROW * len(rows))
    for at, row in enumerate(rows):
        y = top + _ROW * at
        x = left + plot * axis.place(row.value)
        colour = COLOURS[1] if row.is_ours else COLOURS[0]
        parts.append(_text(left - 8, y + 16, row.label, anchor="end"))
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{x - left:.1f}" height="{_ROW - 8}" fill="{colour}"/>')
        low, high = (left + plot * axis.place(value) for value in (row.low, row.high))
        if high - low > 1:
            parts.append(_path([(low, y + 12), (high, y + 12)], "#333333", 1.5))
        parts.append(_text(max(x, high) + 6, y + 16, f"{row.value:,.2f}" if row.value < 100 else f"{row.value:,.0f}"))
    if reference is not None:
        x = left + plot * axis.place(reference)
        parts.append(_path([(x, top), (x, top + _ROW * len(rows))], "#333333", 1.5, dash="4 3"))
    return _document(width, height, parts)


def lines(title: str, series: Sequence[Line], across: Axis, up: Axis) -> str:
    """Lines with a legend to the right."""
    width, left, top, plot, tall = 760, 64, 48, 470, 300
    height = top + tall + 52
    parts = [_text(12, 24, title, weight="bold")]
    parts += _grid_below(across, left, top, plot, tall)
    for value, text in up.ticks:
        y = top + tall * (1 - up.place(value))
        parts.append(_path([(left, y), (left + plot, y)], "#e0e0e0", 1))
        parts.append(_text(left - 6, y + 4, text, anchor="end"))
    parts.append(_text(left, top - 6, up.title))
    for at, line in enumerate(series):
        colour, dash = COLOURS[at % len(COLOURS)], ("", "5 3", "2 2")[at // len(COLOURS) % 3]
        points = [(left + plot * across.place(x), top + tall * (1 - up.place(y))) for x, y in line.points]
        parts.append(_path(points, colour, 2, dash))
        y = top + 12 + 18 * at
        parts.append(_path([(left + plot + 14, y - 4), (left + plot + 34, y - 4)], colour, 2, dash))
        parts.append(_text(left + plot + 40, y, line.label))
    return _document(width, max(height, top + 18 * len(series) + 30), parts)


def _grid_below(axis: Axis, left: float, top: float, plot: float, tall: float) -> list[str]:
    parts = []
    for value, text in axis.ticks:
        x = left + plot * axis.place(value)
        parts.append(_path([(x, top), (x, top + tall)], "#e0e0e0", 1))
        parts.append(_text(x, top + tall + 16, text, anchor="middle"))
    parts.append(_text(left + plot / 2, top + tall + 34, axis.title, anchor="middle"))
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {place} fill="#222222">{escape(text)}</text>'


def _path(points: Sequence[tuple[float, float]], colour: str, width: float, dash: str = "") -> str:
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{through}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _document(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_FONT}>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )
