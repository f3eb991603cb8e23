"""The figures of a report as SVG within its page: classes carry the colours, so that a theme can change them."""

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from plum_hub.cards import StageCount
from plum_hub.training.curves import Curve, smooth

_WIDTH, _LEFT, _RIGHT, _TOP = 440, 54, 12, 26
_CLASSES = {"chosen": "good", "rejected": "bad"}
"""Colours of lines by their legend; others have the accent."""
_MANY = 20
"""Steps above which a curve is smoothed, and its points are faint."""
_POINTS = 400
"""Most points of a line, which is all that a screen can show."""
_LONGEST = 25
"""Characters of a name that fit beside a bar; longer names are above it."""
_WIDEST = 64
"""Characters that fit in a line of their own."""
_SMALLEST = 1e-300
"""Differences below it have no digits left."""


def histogram(bins: Sequence[int]) -> Markup:
    """Draw suites by the share of their samples that pass (the paper's Figure 2).

    Args:
        bins: Number of suites in each bin from 0 to 1.

    Returns:
        The SVG.
    """
    height, bottom, tallest = 220, 180, max(*bins, 1)
    step = (_WIDTH - _LEFT - _RIGHT) / len(bins)
    parts = []
    for number, count in enumerate(bins):
        bar = 140 * count / tallest
        x = _LEFT + number * step
        parts.append(_bar(x + 2, bottom - bar, step - 4, bar, "accent", f"{count:,} suites"))
        parts.append(_text(x + step / 2, bottom - bar - 5, f"{count:,}", "middle"))
    parts += [_text(_LEFT + n * step, bottom + 16, f"{n / len(bins):g}", "middle") for n in range(0, len(bins) + 1, 2)]
    parts.append(_text((_LEFT + _WIDTH) / 2, bottom + 34, "share of a suite's samples that pass it", "middle"))
    return _svg(height, "Suites by the share of their samples that pass", parts)


def funnel(stages: Sequence[StageCount]) -> Markup:
    """Draw the rows that each stage kept and left out.

    Args:
        stages: The stages, in order.

    Returns:
        The SVG.
    """
    left, row = 104, 30
    rows = [(stage.stage, stage.kept or 0, sum(stage.dropped.values())) for stage in stages]
    most = max(*(kept + dropped for _, kept, dropped in rows), 1)
    room = _WIDTH - left - 118
    parts = []
    for number, (name, kept, dropped) in enumerate(rows):
        y = 8 + number * row
        parts.append(_text(left - 8, y + 15, name if len(name) <= 14 else f"{name[:13]}…", "end"))
        parts.append(_bar(left, y + 2, room * kept / most, row - 10, "accent", f"{kept:,} kept"))
        parts.append(
            _bar(left + room * kept / most, y + 2, room * dropped / most, row - 10, "faint", f"{dropped:,} left out")
        )
        words = f"{kept:,}" + (f" (−{dropped:,})" if dropped else "")
        parts.append(_text(left + room * (kept + dropped) / most + 6, y + 16, words))
    return _svg(12 + len(rows) * row, "Rows kept and left out by stage", parts)


def verdicts(counts: Iterable[tuple[str, int, bool | None]]) -> Markup:
    """Draw samples by verdict.

    Args:
        counts: Status, number of samples, and label of the status.

    Returns:
        The SVG.
    """
    left, row = 116, 26
    rows = list(counts)
    most = max(*(count for _, count, _ in rows), 1)
    total = max(sum(count for _, count, _ in rows), 1)
    parts = []
    for number, (name, count, label) in enumerate(rows):
        y = 6 + number * row
        colour = {True: "good", False: "bad", None: "faint"}[label]
        bar = (_WIDTH - left - 118) * count / most
        parts.append(_text(left - 8, y + 14, name.replace("_", " "), "end"))
        parts.append(_bar(left, y + 1, bar, row - 8, colour, f"{count:,} samples"))
        parts.append(_text(left + bar + 6, y + 14, f"{count:,} ({100 * count / total:.1f} %)"))
    return _svg(10 + len(rows) * row, "Samples by verdict", parts)


def intervals(rows: Sequence[tuple[str, float, float, float]], unit: str) -> Markup:
    """Draw values with their intervals, one below the other.

    Args:
        rows: Name, lower end, value and upper end of each.
        unit: What the axis shows.

    Returns:
        The SVG.
    """
    above = any(len(name) > _LONGEST for name, *_ in rows)
    left, row = (24, 42) if above else (190, 26)
    low = min(0.0, *(each[1] for each in rows))
    high = max(*(each[3] for each in rows), low + 1)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    scale = (_WIDTH - left - 24) / (high - low)
    bottom = 8 + len(rows) * row
    parts = []
    for tick in ticks:
        x = left + (tick - low) * scale
        parts.append(Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="4" y2="{}"/>').format(
            "axis" if tick == 0 else "grid", x, x, bottom
        ))  # fmt: skip
        parts.append(_text(x, bottom + 15, f"{tick:g}", "middle"))
    for number, (name, start, value, end) in enumerate(rows):
        y = (36 if above else 20) + number * row
        if above:
            parts.append(_text(8, y - 14, name if len(name) <= _WIDEST else f"…{name[1 - _WIDEST :]}"))
        else:
            parts.append(_text(left - 8, y + 4, name, "end"))
        x1, x2, at = (left + (each - low) * scale for each in (start, end, value))
        parts.append(Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(x1, x2, y, y))
        parts.append(Markup('<circle class="dot" cx="{:.1f}" cy="{}" r="4"><title>{}</title></circle>').format(
            at, y, f"{value:.1f} ({start:.1f} to {end:.1f})"
        ))  # fmt: skip
    parts.append(_text(_WIDTH / 2, bottom + 33, unit, "middle"))
    return _svg(bottom + 42, unit, parts)


def curve(of: Curve) -> Markup:
    """Draw one curve of a training.

    Args:
        of: The curve.

    Returns:
        The SVG.
    """
    height, bottom = 210, 172
    values = [value for line in of.lines for value in line.drawn]
    steps = [step for line in of.lines for step in line.steps]
    ticks = _ticks(min(values), max(values))
    low, high = min(*values, ticks[0]), max(*values, ticks[-1])
    first, last = min(steps), max(steps)
    across = (_WIDTH - _LEFT - _RIGHT) / max(last - first, 1)
    if high - low <= _SMALLEST:
        low, high = low - max(1.0, abs(low)), high + max(1.0, abs(low))
    up = (bottom - _TOP) / (high - low)
    parts = []
    for tick in ticks:
        y = bottom - (tick - low) * up
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _WIDTH - _RIGHT, y, y
        ))  # fmt: skip
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:.4g}", "end"))
    for number, line in enumerate(of.lines):
        colour = _CLASSES.get(line.name, "accent")
        drawn = [(line.drawn, "raw" if len(line.steps) > _MANY else "smooth")]
        drawn += [(tuple(smooth(line.drawn)), "smooth")] if len(line.steps) > _MANY else []
        for points, weight in drawn:
            every = max(1, len(points) // _POINTS)
            places = [
                (_LEFT + (step - first) * across, bottom - (value - low) * up)
                for step, value in list(zip(line.steps, points, strict=True))[::every]
            ]
            parts.append(_line(places, f"line {weight} {colour}"))
        if len(of.lines) > 1:
            x = _LEFT + 8 + 110 * number
            parts += [_bar(x, 6, 12, 10, colour, line.name), _text(x + 17, 15, line.name)]
    parts.append(_text(_LEFT, bottom + 16, f"{first:g}"))
    parts += [_text(_WIDTH - _RIGHT, bottom + 16, f"{last:g}", "end")] if last > first else []
    parts.append(_text((_LEFT + _WIDTH) / 2, bottom + 31, f"step  ({of.unit})", "middle"))
    return _svg(height, of.title, parts)


def _line(places: Sequence[tuple[float, float]], classes: str) -> Markup:
    if len(places) == 1:  # a training of one step has a point, not a line
        (x, y) = places[0]
        return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(f"point {classes}", x, y)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline class="{}" points="{}"/>').format(classes, points)


def _ticks(low: float, high: float) -> list[float]:
    """Return about four round numbers within a range."""
    span = high - low
    if not (math.isfinite(span) and span > _SMALLEST):  # one value, as of a training of one step, or none
        return [low]
    power = math.floor(math.log10(span / 5))
    step = next(size * 10.0**power for size in (1, 2, 5, 10) if span / (size * 10.0**power) <= 5)
    first = math.ceil(low / step - 1e-9)
    numbers = (round((first + number) * step, 2 - power) for number in range(7))
    found = list(dict.fromkeys(each for each in numbers if each <= high + 1e-9 * step))
    return found if len(found) > 1 else [low, high]


def _bar(x: float, y: float, width: float, height: float, colour: str, name: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"><title>{}</title></rect>'
    ).format(colour, x, y, max(width, 0), max(height, 0), name)


def _text(x: float, y: float, text: str, anchor: str = "start") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _svg(height: int, title: str, parts: Iterable[Markup]) -> Markup:
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, title)
    return head + Markup("").join(parts) + Markup("</svg>")
