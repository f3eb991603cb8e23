"""Tables 1 to 6 and Figure 3 in the paper's own form: rows of the report first, then the published ones."""

from collections.abc import Iterator, Mapping, Sequence
from os.path import commonpath

from plum_hub.recipes.published import Arm, PublishedFigure, PublishedRow, PublishedTable, published
from plum_hub.reports.arms import BENCHMARKS, TrainedArm, common_places, paired_rows, read_arm, scored_row
from plum_hub.reports.content import BuildFacts, PaperRow, PaperTable, ReportedGain
from plum_hub.reports.results import TrainedResult

_LABELS = {
    "mbpp": "MBPP", "mbpp+": "MBPP+", "humaneval": "HE", "humaneval+": "HE+", "easy": "Easy", "medium": "Medium",
    "hard": "Hard", "overall": "Overall", "mean_base": "Avg. (Base)", "mean_plus": "Avg. (+)", "mean": "Avg. (All)",
    "self_consistency": "Self-consistency pass rate",
}  # fmt: skip


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
    arms = [read_arm(result, builds, gains) for result in results]
    tables = {table.id: table for table in paper.tables}
    plain = [arm for arm in arms if arm.negatives != "non_executable"]
    return (
        _consistency(tables["table1"], builds),
        *(_benchmarks(tables[name], plain, _fits(name)) for name in ("table2", "table3", "table4")),
        _objectives(tables["table5"], plain, ("sft", "kto")),
        _objectives(tables["table6"], plain, ("dpo", "kto")),
        _negatives(next(figure for figure in paper.figures if figure.id == "figure3"), arms),
    )


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


def _benchmarks(table: PublishedTable, arms: Sequence[TrainedArm], data: tuple[str, ...]) -> PaperTable:
    """Fill a table of the form Baseline / PLUM / Rel. +. Instructions of the user's own come into Table 2."""
    others = {row.data for name in ("table2", "table3") for row in published().table(name).rows}
    mine = [
        arm
        for arm in arms
        if arm.method == "kto" and (not data or arm.data in data or (table.id == "table2" and arm.data not in others))
    ]
    here = [row for arm in mine for row in paired_rows(arm, table.columns)]
    what = "livecodebench" if table.id == "table4" else "humaneval+,mbpp+"
    source = f" on {' or '.join(data)}" if data else ""
    missing = f"a KTO training{source}, evaluated with its base: plum-hub evaluate --benchmarks {what}"
    return _table(
        table, here, list(_published(table, {"baseline": "Baseline", "kto": "PLUM"})), None if here else missing
    )


def _published(table: PublishedTable, items: Mapping[Arm, str]) -> Iterator[PaperRow]:
    for row in table.rows:
        for arm, item in items.items():
            if arm in row.results:
                yield _theirs(row, item, row.results[arm])
            if arm in row.relative:
                yield _theirs(row, "Rel. +", row.relative[arm])


def _theirs(row: PublishedRow, item: str, values: tuple[float, ...]) -> PaperRow:
    return PaperRow(origin="paper", model=row.policy or "", data=row.data, item=item, values=values)


def _objectives(table: PublishedTable, arms: Sequence[TrainedArm], methods: tuple[Arm, ...]) -> PaperTable:
    """Fill a table that compares methods on one model and the same rows, evaluated alike; it needs both."""
    here: list[PaperRow] = []
    groups: dict[object, list[TrainedArm]] = {}
    for arm in arms:
        groups.setdefault((arm.model_revision, arm.rows_revision, arm.after.record.protocol), []).append(arm)
    for group in groups.values():
        found = [(arm.method.upper(), arm) for method in methods for arm in group if arm.method == method]
        if {*methods} <= {arm.method for _, arm in found}:
            here += _side_by_side(found, table.columns)
    items: dict[Arm, str] = {"baseline": "Baseline", **{method: method.upper() for method in methods}}
    names = " and ".join(method.upper() for method in methods)
    missing = f"trainings by {names} of one model on the same rows, all evaluated alike: plum-hub train --method"
    return _table(table, here, list(_published(table, items)), None if here else missing)


def _negatives(figure: PublishedFigure, arms: Sequence[TrainedArm]) -> PaperTable:
    """Fill Figure 3: PLUM beside a training whose rejected samples are only those that do not execute."""
    here: list[PaperRow] = []
    for other in (arm for arm in arms if arm.negatives == "non_executable"):
        alike = [arm for arm in arms if arm.negatives == "failing" and _only_rows_differ(arm, other)]
        if alike:  # of several, the one whose folder is beside the other's
            plum = max(alike, key=lambda arm: len(commonpath([arm.name, other.name])))
            here += _side_by_side([("Non-executable only", other), ("PLUM", plum)], BENCHMARKS)
    missing = "a training on the view non-executable beside PLUM's: plum-hub views --rule non-executable"
    return PaperTable(
        id=figure.id,
        title=figure.title,
        columns=tuple(_LABELS[name] for name in BENCHMARKS),
        rows=tuple(here),
        missing=None if here else missing,
        notes=(f"Published: {figure.finding}.",),
    )


def _only_rows_differ(one: TrainedArm, other: TrainedArm) -> bool:
    """Tell whether two trainings are of one model by one method on the same instructions, evaluated alike."""
    first, second = (
        (arm.model_revision, arm.method, arm.instructions, arm.after.record.protocol) for arm in (one, other)
    )
    return first == second


def _side_by_side(arms: Sequence[tuple[str, TrainedArm]], columns: Sequence[str]) -> list[PaperRow]:
    """Return the rows of trainings of one model below that of their base; nothing if no column was measured."""
    based = next((arm for _, arm in arms if arm.before), arms[0][1])
    places = common_places(columns, [arm.after for _, arm in arms], based.before)
    rows = [scored_row(arm, item, arm.after, places) for item, arm in arms]
    if all(value is None for row in rows for value in row.values):
        return []
    return [scored_row(based, "Baseline", based.before, places, like=[arm.after for _, arm in arms]), *rows]


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
