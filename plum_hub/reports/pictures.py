"""The figures of a report as PNG, by matplotlib."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from plum_hub.errors import MissingExtraError
from plum_hub.files import writing
from plum_hub.records import Score
from plum_hub.reports.content import BuildFacts, EvaluationFacts, PaperRow, PaperTable, ReportContent
from plum_hub.reports.results import interval, is_quoted
from plum_hub.slug import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREEN, _RED, _BLUE, _GREY = "#2e7d32", "#c62828", "#1565c0", "#757575"
_DOTS = 150
_COMPARED = 3
"""Rows of the paper's Figure 3: the base, and the model trained in two ways."""


def draw_pictures(content: ReportContent, folder: Path) -> list[Path]:
    """Draw the figures that the content has data for. The same content gives the same bytes.

    Args:
        content: The content.
        folder: Where to write them, created if missing.

    Returns:
        The pictures, in the order to show them.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RunError: A picture cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtraError("plum-hub report", "report")
    drawn: list[Path] = []

    def picture(name: str, height: float, draw: Callable[["Axes"], None]) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, height), dpi=_DOTS, layout="constrained")
        drawn.append(folder / f"{name}.png")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # characters that its font lacks are drawn as boxes
            draw(figure.add_subplot())
            figure.savefig(drawn[-1], metadata={"Software": None})

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        names = file_names(build.name for build in content.builds)
        for build, name in zip(content.builds, names, strict=True):
            picture(f"funnel-{name}", 1.2 + 0.45 * len(build.stages), partial(_funnel, build))
            if sum(build.pass_ratios):
                picture(f"pass-ratio-{name}", 3.0, partial(_ratios, build))
        if scores := _quoted(content):
            picture("results", 1.2 + 0.3 * len(scores), partial(_results, content))
        for table in (table for table in content.tables if table.id == "figure3"):
            for first in range(0, len(table.rows), _COMPARED):
                number = f"-{first // _COMPARED + 1}" if first else ""
                rows = table.rows[first : first + _COMPARED]
                picture(f"figure-3{number}", 3.4, partial(_bars, table, rows))
    return drawn


def file_names(names: Iterable[str]) -> list[str]:
    """Name files after parts of a report. Names that would coincide, as those that differ in case, have a number.

    Args:
        names: Names of the parts.

    Returns:
        For each part a name of lower-case ASCII letters, digits, `.` and `-`, which no other has.
    """
    given: list[str] = []
    for name in names:
        plain = slug(name.replace("/", "-"))
        number = next(number for number in count(1) if _numbered(plain, number) not in given)
        given.append(_numbered(plain, number))
    return given


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number}" if number > 1 else name


def _quoted(content: ReportContent) -> list[tuple[EvaluationFacts, Score]]:
    return [(one, score) for one in content.evaluations for score in one.scores if is_quoted(score)]


def _funnel(build: BuildFacts, axes: "Axes") -> None:
    stages = [stage for stage in build.stages if stage.kept is not None or stage.dropped][::-1]
    names = [_plain(stage.stage, 20) for stage in stages]
    places = range(len(names))
    kept = [stage.kept or 0 for stage in stages]
    dropped = [sum(stage.dropped.values()) for stage in stages]
    axes.barh(places, kept, color=_BLUE, label="kept")
    axes.barh(places, dropped, left=kept, color=_GREY, alpha=0.5, label="left out")
    for place, (one, other) in enumerate(zip(kept, dropped, strict=True)):
        axes.text(one + other, place, f" {one:,} kept, {other:,} left out", va="center", fontsize=8)
    axes.set_yticks(places, names)
    axes.set(title=f"Rows by stage: {_plain(build.name)}", xlabel="rows")
    axes.set_xlim(right=1.35 * max(1, *(one + other for one, other in zip(kept, dropped, strict=True))))
    axes.legend(frameon=False, loc="lower right")


def _ratios(build: BuildFacts, axes: "Axes") -> None:
    step = 1 / len(build.pass_ratios)
    places = [(number + 0.5) * step for number in range(len(build.pass_ratios))]
    bars = axes.bar(places, build.pass_ratios, width=0.9 * step, color=_BLUE)
    axes.bar_label(bars, fontsize=8)
    axes.set(
        title=f"Suites by their pass ratio: {_plain(build.name)}",
        xlabel="share of a suite's samples that pass it",
        ylabel="suites",
    )


def _results(content: ReportContent, axes: "Axes") -> None:
    scores = _quoted(content)[::-1]
    for place, (_, score) in enumerate(scores):
        low, high = interval(score)
        axes.plot([low, high], [place, place], color=_BLUE, linewidth=2)
        axes.plot([100 * score.value], [place], "o", color=_BLUE)
    names = [f"{one.name}: {score.benchmark} {score.suite} {score.part}".strip() for one, score in scores]
    axes.set_yticks(range(len(names)), [_ending(name, 36) for name in names], fontsize=8)
    axes.set(title="pass@1 with 95 % intervals", xlabel="per cent")
    axes.grid(alpha=0.3, axis="x")


def _bars(table: PaperTable, rows: Sequence[PaperRow], axes: "Axes") -> None:
    colours: Sequence[str] = (_GREY, _RED, _GREEN)
    width = 0.8 / _COMPARED
    for number, row in enumerate(rows):
        places = [place + (number - 1) * width for place in range(len(table.columns))]
        bars = axes.bar(places, [value or 0 for value in row.values], width, color=colours[number], label=row.item)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(table.columns)), table.columns)
    axes.set(title=_plain(f"{table.title}: {rows[0].model}"), ylabel="pass@1, per cent")
    axes.legend(frameon=False)


def _plain(text: str, longest: int = 50) -> str:
    """Return text of others in one short line, such that matplotlib finds no mathematics in it."""
    line = " ".join(text.encode(errors="replace").decode().split())  # half a character, which JSON may have, becomes ?
    return (line if len(line) <= longest else f"{line[: longest - 1]}…").replace("$", r"\$")


def _ending(text: str, longest: int) -> str:
    """Return the end of a text likewise, where its beginning is that of its neighbours."""
    line = " ".join(text.split())
    return _plain(line if len(line) <= longest else f"…{line[1 - longest :]}", longest)
