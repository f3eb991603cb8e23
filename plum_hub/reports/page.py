"""The page of a report: one HTML file that loads nothing, and in which nothing from a model or dataset can run.

Texts of others are escaped in the template, and inserted as text by the script; the policy of the page allows its own
script and style by their hashes, and nothing else.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import cast

from markupsafe import Markup

from plum_hub.evaluation.comparison import ScoreGain
from plum_hub.records import Status
from plum_hub.release.preferences import PreferencesConfig
from plum_hub.reports import charts
from plum_hub.reports.content import BuildFacts, EvaluationFacts, ReportContent
from plum_hub.reports.explorer import ExplorerData
from plum_hub.reports.results import interval, is_quoted
from plum_hub.reports.templates import render, template_text
from plum_hub.rounds.gain import RoundGain


def page(content: ReportContent, explorer: ExplorerData) -> str:
    """Render the page.

    Args:
        content: The figures.
        explorer: The rows.

    Returns:
        The HTML.
    """
    script, style = template_text("report.js"), template_text("report.css")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return render(
        "report.html.jinja",
        content=content,
        explorer=explorer,
        policy=policy,
        script=Markup(script),
        style=Markup(style),
        charts=_charts(content),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _charts(content: ReportContent) -> Mapping[str, object]:
    """Draw every figure of the page."""
    scored = [row for one in content.evaluations for row in _scores(one)]
    gained = [
        (f"{one.after}: {one.gain.benchmark} {one.gain.suite}", *_points(one.gain))
        for one in content.gains
        if not one.gain.part
    ]
    return {
        "funnels": [charts.funnel(build.stages) for build in content.builds],
        "ratios": [charts.histogram(build.pass_ratios) if sum(build.pass_ratios) else None for build in content.builds],
        "verdicts": [_verdicts(build) for build in content.builds],
        "curves": [[charts.curve(curve) for curve in training.curves] for training in content.trainings],
        "scores": charts.intervals(scored, "pass@1, per cent, with 95 % intervals") if scored else None,
        "rounds": _rounds(content),
        "gains": charts.intervals(gained, "gain over the base in points, with 95 % intervals") if gained else None,
    }


def _rounds(content: ReportContent) -> Markup | None:
    several = len({one.name for one in content.rounds}) > 1
    rows = [
        (f"{one.name}: round {one.number}" if several else f"round {one.number}", *_points(one.gain))
        for one in content.rounds
    ]
    return charts.intervals(rows, "gain of each round in points, with 95 % intervals") if rows else None


def _verdicts(build: BuildFacts) -> Markup | None:
    rule = PreferencesConfig.model_validate({"rejected": build.negatives})
    counts = sorted(build.statuses.items(), key=lambda item: -item[1])
    known = [(status, count, rule.label(cast(Status, status))) for status, count in counts]
    return charts.verdicts(known) if known else None


def _scores(one: EvaluationFacts) -> list[tuple[str, float, float, float]]:
    return [
        (f"{one.name}: {score.benchmark} {score.suite}", interval(score)[0], 100 * score.value, interval(score)[1])
        for score in one.scores
        if is_quoted(score) and not score.part
    ]


def _points(gain: ScoreGain | RoundGain) -> tuple[float, float, float]:
    return 100 * gain.low, 100 * gain.gain, 100 * gain.high
