"""Tables 1 to 6 and Figure 3 in the paper's own form: rows of the report first, then the published ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plum_hub.recipes.published import Arm, PublishedFigure, PublishedRow, PublishedTable, published
from plum_hub.records import Score
from plum_hub.reports.content import BuildFacts, PaperRow, PaperTable, ReportedGain
from plum_hub.reports.results import TrainedResult

_LABELS = {
    "mbpp": "MBPP", "mbpp+": "MBPP+", "humaneval": "HE", "humaneval+": "HE+", "easy": "Easy", "medium": "Medium",
    "hard": "Hard", "overall": "Overall", "mean_base": "Avg. (Base)", "mean_plus": "Avg. (+)", "mean": "Avg. (All)",
    "self_consistency": "Self-consistency pass rate",
}  # fmt: skip
_MEANS = {
    "mean_base": ("mbpp", "humaneval"),
    "mean_plus": ("mbpp+", "humaneval+"),
    "mean": ("mbpp", "mbpp+", "humaneval", "humaneval+"),
}
_SUITES = {
    "mbpp": (("mbpp+", "base"), ("mbpp", "base")),
    "mbpp+": (("mbpp+", "plus"),),
    "humaneval": (("humaneval+", "base"), ("humaneval", "base")),
    "humaneval+": (("humaneval+", "plus"),),
}
"""Where a column's score is: EvalPlus' base tests, on its problems, before those of the original benchmark."""
_BENCHMARKS = ("mbpp", "mbpp+", "humaneval", "humaneval+")
_NORMAL = 1.96
"""Standard errors of a 95 % interval."""


@dataclass(frozen=True)
class _Arm:
    """One trained model with its base."""

    model: str
    data: str
    method: str
    negatives: str
    scores: Sequence[Score]
    base: Sequence[Score]
    gains: Mapping[tuple[str, str, str], ReportedGain]


def paper_tables(
    builds: Sequence[BuildFacts], results: Sequence[TrainedResult], gains: Sequence[ReportedGain]
) -> tuple[PaperTable, ...]:
    """Fill the paper's tables as far as the runs have what they need.

    Args:
        builds: The builds of the report.
        results: Trainings with their evaluations.
        gains: Comparisons of trained models with their bases.

    Returns:
        Tables 1 to 6 and Figure 3; those without a row of the report say which run would fill them.
    """
    paper = published()
    arms = [_arm(result, builds, gains) for result in results]
    tables = {table.id: table for table in paper.tables}
    plain = [arm for arm in arms if arm.negatives != "non_executable"]
    return (
        _consistency(tables["table1"], builds),
        *(_benchmarks(tables[name], plain, _fits(name)) for name in ("table2", "table3", "table4")),
        _objectives(tables["table5"], plain, ("sft", "kto")),
        _objectives(tables["table6"], plain, ("dpo", "kto")),
        _negatives(next(figure for figure in paper.figures if figure.id == "figure3"), arms),
    )


def value_of(scores: Sequence[Score], column: str) -> Score | None:
    """Find the score of a column.

    Args:
        scores: The scores of one evaluation.
        column: `mbpp`, `mbpp+`, `humaneval`, `humaneval+`, or for LiveCodeBench `easy`, `medium`, `hard`, `overall`.

    Returns:
        pass@1 under the benchmark's own rules; None if it was not measured.
    """
    wanted = [
        (benchmark, suite, part)
        for benchmark, suite, part in (
            [(*place, "") for place in _SUITES[column]]
            if column in _SUITES
            else [("livecodebench", "base", "" if column == "overall" else column)]
        )
    ]
    for place in wanted:
        for score in scores:
            here = (score.benchmark, score.suite, score.part)
            if here == place and score.metric == "pass@1" and score.reading == "official":
                return score
    return None


def _arm(result: TrainedResult, builds: Sequence[BuildFacts], gains: Sequence[ReportedGain]) -> _Arm:
    training = result.training
    build = _build_of(result, builds)
    sign = f"{training.name} {training.data}".replace("-", "_")
    negatives = "non_executable" if "non_executable" in sign else build.negatives if build else "failing"
    own = [gain for gain in gains if gain.after == result.after.facts.name and gain.training == training.name]
    return _Arm(
        model=training.model,
        data=build.data if build else training.data,
        method=training.method,
        negatives=negatives,
        scores=result.after.facts.scores,
        base=result.before.facts.scores if result.before else (),
        gains={(one.gain.benchmark, one.gain.suite, one.gain.part): one for one in own},
    )


def _build_of(result: TrainedResult, builds: Sequence[BuildFacts]) -> BuildFacts | None:
    """Find the build that a training read: by its revision, else the only one in the same folder."""
    root = result.training.name.partition("/")[0]
    exact = [build for build in builds if build.revision == result.training.data_revision]
    beside = [build for build in builds if build.name.partition("/")[0] == root]
    return exact[0] if exact else beside[0] if len(beside) == 1 else None


def _consistency(table: PublishedTable, builds: Sequence[BuildFacts]) -> PaperTable:
    here = [
        PaperRow(
            origin="here", model=next(model.name for model in build.models if model.role == "generator"),
            data=build.data, item=build.name, values=(build.self_consistency.percent,), intervals=(None,),
        )
        for build in builds
        if build.self_consistency is not None and build.self_consistency.responses
    ]  # fmt: skip
    theirs = [
        PaperRow(origin="paper", model="GPT-4-1106", data=row.data, item="published", values=row.results["generator"])
        for row in table.rows
    ]
    missing = None if here else "a build whose generator writes the suites: plum-hub build-dataset"
    return _table(table, here, theirs, missing)


def _fits(table: str) -> tuple[str, ...]:
    """Return the instructions of a table; empty for any."""
    return {"table2": ("oss-instruct",), "table3": ("evol-instruct-code", "sharegpt")}.get(table, ())


def _benchmarks(table: PublishedTable, arms: Sequence[_Arm], data: tuple[str, ...]) -> PaperTable:
    """Fill a table of the form Baseline / PLUM / Rel. +. Instructions of the user's own come into Table 2."""
    others = {row.data for name in ("table2", "table3") for row in published().table(name).rows}
    mine = [
        arm
        for arm in arms
        if arm.method == "kto" and (not data or arm.data in data or (table.id == "table2" and arm.data not in others))
    ]
    here = [row for arm in mine for row in _three(arm, table.columns)]
    what = "livecodebench" if table.id == "table4" else "humaneval+,mbpp+"
    source = f" on {' or '.join(data)}" if data else ""
    missing = f"a KTO training{source}, evaluated with its base: plum-hub evaluate --benchmarks {what}"
    return _table(
        table, here, list(_published(table, {"baseline": "Baseline", "kto": "PLUM"})), None if here else missing
    )


def _three(arm: _Arm, columns: Sequence[str]) -> list[PaperRow]:
    """Return Baseline, PLUM and Rel. + of a trained model; nothing if no column was measured."""
    before, after = _row(arm, "Baseline", arm.base, columns), _row(arm, "PLUM", arm.scores, columns)
    if all(value is None for value in after.values):
        return []
    relative = [
        100 * (new - old) / old if old and new is not None else None
        for old, new in zip(before.values, after.values, strict=True)
    ]
    intervals = tuple(_relative_interval(arm, column) for column in columns)
    gain = PaperRow(
        origin="here", model=arm.model, data=arm.data, item="Rel. +", values=tuple(relative), intervals=intervals
    )
    return [before, after, gain]


def _relative_interval(arm: _Arm, column: str) -> tuple[float, float] | None:
    """Return the interval of the gain, in per cent of the base's score, which is taken as known."""
    score = value_of(arm.scores, column)
    found = arm.gains.get((score.benchmark, score.suite, score.part)) if score else None
    if found is None or not found.gain.first:
        return None
    return 100 * found.gain.low / found.gain.first, 100 * found.gain.high / found.gain.first


def _row(arm: _Arm, item: str, scores: Sequence[Score], columns: Sequence[str]) -> PaperRow:
    values: list[float | None] = []
    intervals: list[tuple[float, float] | None] = []
    for column in columns:
        if column in _MEANS:
            parts = [value_of(scores, one) for one in _MEANS[column]]
            known = [part.value for part in parts if part is not None]
            values.append(100 * sum(known) / len(parts) if len(known) == len(parts) else None)
            intervals.append(None)
            continue
        score = value_of(scores, column)
        values.append(100 * score.value if score else None)
        intervals.append(interval(score) if score else None)
    return PaperRow(
        origin="here", model=arm.model, data=arm.data, item=item, values=tuple(values), intervals=tuple(intervals)
    )


def interval(score: Score) -> tuple[float, float]:
    """Return the 95 % interval of a score, in per cent.

    Args:
        score: The score.

    Returns:
        1.96 standard errors to both sides, within 0 and 100.
    """
    low, high = score.value - _NORMAL * score.stderr, score.value + _NORMAL * score.stderr
    return 100 * max(0.0, low), 100 * min(1.0, high)


def _published(table: PublishedTable, items: Mapping[Arm, str]) -> Iterator[PaperRow]:
    for row in table.rows:
        for arm, item in items.items():
            if arm in row.results:
                yield _theirs(row, item, row.results[arm])
            if arm in row.relative:
                yield _theirs(row, "Rel. +", row.relative[arm])


def _theirs(row: PublishedRow, item: str, values: tuple[float, ...]) -> PaperRow:
    return PaperRow(origin="paper", model=row.policy or "", data=row.data, item=item, values=values)


def _objectives(table: PublishedTable, arms: Sequence[_Arm], methods: tuple[Arm, ...]) -> PaperTable:
    """Fill a table that compares methods on one model and the same instructions; it needs both."""
    here: list[PaperRow] = []
    for model, data in dict.fromkeys((arm.model, arm.data) for arm in arms):
        group = [arm for arm in arms if (arm.model, arm.data) == (model, data)]
        if {*methods} <= {arm.method for arm in group}:
            rows = [_row(group[0], "Baseline", next((arm.base for arm in group if arm.base), ()), table.columns)]
            rows += [
                _row(arm, arm.method.upper(), arm.scores, table.columns)
                for method in methods
                for arm in group
                if arm.method == method
            ]
            here += rows if any(value is not None for row in rows[1:] for value in row.values) else []
    items: dict[Arm, str] = {"baseline": "Baseline", **{method: method.upper() for method in methods}}
    names = " and ".join(method.upper() for method in methods)
    missing = f"trainings by {names} of one model on the same rows, all evaluated: plum-hub train --method"
    return _table(table, here, list(_published(table, items)), None if here else missing)


def _negatives(figure: PublishedFigure, arms: Sequence[_Arm]) -> PaperTable:
    """Fill Figure 3: PLUM beside a training whose rejected samples are only those that do not execute."""
    here: list[PaperRow] = []
    for other in (arm for arm in arms if arm.negatives == "non_executable"):
        alike = [arm for arm in arms if (arm.model, arm.method) == (other.model, other.method)]
        plum = next((arm for arm in alike if arm.negatives == "failing"), None)
        if plum is not None:
            here += [
                _row(plum, "Baseline", plum.base or other.base, _BENCHMARKS),
                _row(other, "Non-executable only", other.scores, _BENCHMARKS),
                _row(plum, "PLUM", plum.scores, _BENCHMARKS),
            ]
    missing = "a training on the view non-executable beside PLUM's: plum-hub views --rule non-executable"
    return PaperTable(
        id=figure.id,
        title=figure.title,
        columns=tuple(_LABELS[name] for name in _BENCHMARKS),
        rows=tuple(here),
        missing=None if here else missing,
        notes=(f"Published: {figure.finding}.",),
    )


def _table(
    table: PublishedTable, here: Sequence[PaperRow], theirs: Sequence[PaperRow], missing: str | None
) -> PaperTable:
    return PaperTable(
        id=table.id,
        title=table.title,
        columns=tuple(_LABELS[name] for name in table.columns),
        rows=(*here, *theirs),
        missing=missing,
        notes=table.notes,
    )
