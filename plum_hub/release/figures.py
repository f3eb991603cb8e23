"""The figures of a dataset card, as SVG text. The same counts give the same bytes."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal

BINS = 10
"""Bins of the histogram of pass ratios, of equal width; the last one includes 1."""
FOLDER = "figures"
"""The folder of a release that has the figures."""

_GREEN, _RED, _GREY, _BLUE = "#2e7d32", "#c62828", "#757575", "#1565c0"
_TEXT = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="13" fill="#212121"'
_WIDTH, _MARGIN, _ROW = 640, 16, 26


def pass_ratios(ratios: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Count suites by the share of their samples that pass them.

    Args:
        ratios: For each suite, how many of its samples passed, and how many it has (at least one).

    Returns:
        The number of suites in each of the `BINS` bins from 0 to 1.
    """
    bins = [0] * BINS
    for passed, samples in ratios:
        bins[min(passed * BINS // samples, BINS - 1)] += 1
    return tuple(bins)


def histogram(
    bins: Sequence[int],
    title: str = "Suites by their pass ratio",
    axis: str = "share of a suite's samples that pass it",
) -> str:
    """Draw a histogram of suites by a share; by default by pass ratio (PLUM, arXiv 2406.06887, Figure 2).

    Args:
        bins: Number of suites in each bin, as from `pass_ratios`.
        title: Title of the figure.
        axis: What the horizontal axis shows.

    Returns:
        The SVG.
    """
    height, left, bottom = 260, 48, 212
    step = (_WIDTH - left - _MARGIN) / len(bins)
    tallest = max(*bins, 1)
    parts = []
    for number, count in enumerate(bins):
        bar = 150 * count / tallest
        x, y = left + number * step, bottom - bar
        parts.append(_bar(x + 3, y, step - 6, bar, _BLUE))
        parts.append(_label(x + step / 2, y - 5, f"{count:,}", "middle"))
    parts += [_label(left + n * step, bottom + 18, f"{n / len(bins):g}", "middle") for n in range(len(bins) + 1)]
    parts.append(_label((_WIDTH + left) / 2, bottom + 38, axis, "middle"))
    return _drawing(height, title, parts)


def statuses(counts: Mapping[str, int], labels: Mapping[str, bool | None]) -> str:
    """Draw the samples by verdict: chosen in green, rejected in red, unlabelled in grey.

    Args:
        counts: Samples by status.
        labels: The label of each status: True for chosen, False for rejected, None for none.

    Returns:
        The SVG.
    """
    colours = {True: _GREEN, False: _RED, None: _GREY}
    left, room = 150, _WIDTH - 150 - 150
    most, total = max(*counts.values(), 1), max(sum(counts.values()), 1)
    parts = []
    for number, (status, count) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0]))):
        y, bar = 44 + number * _ROW, room * count / most
        parts.append(_label(left - 8, y + 14, status, "end"))
        parts.append(_bar(left, y, bar, _ROW - 8, colours[labels[status]]))
        parts.append(_label(left + bar + 8, y + 14, f"{count:,} ({100 * count / total:.1f} %)"))
    return _drawing(44 + len(counts) * _ROW + _MARGIN, "Samples by verdict", parts)


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}"/>'


def _label(x: float, y: float, text: str, anchor: Literal["start", "middle", "end"] = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {_TEXT}>{escape(text)}</text>'


def _drawing(height: int, title: str, parts: Iterable[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img"><title>{title}</title><rect width="100%" height="100%" rx="6" fill="#ffffff"/>'
    )
    return "\n".join(
        [head, _label(_MARGIN, 26, title).replace("<text ", '<text font-weight="bold" '), *parts, "</svg>\n"]
    )
