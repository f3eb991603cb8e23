"""Tables of results, on stdout."""

from math import ceil
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from plum_hub.cli.screen import console, facts, figures
from plum_hub.progress import clock
from plum_hub.reasons import meaning_of
from plum_hub.records import Drop, Sample, Score, TestCase, TestSuite, Verdict

if TYPE_CHECKING:
    from plum_hub.api.dataset import BuildResult
    from plum_hub.api.judgement import JudgeResult
    from plum_hub.api.model import PreflightResult, TrainResult
    from plum_hub.api.rounds import RoundsResult
    from plum_hub.api.strengthening import StrengthenResult
    from plum_hub.evaluation.comparison import PairedComparison, ScoreGain
    from plum_hub.evaluation.estimate import EvaluationEstimate
    from plum_hub.evaluation.scoring import EvaluationResults
    from plum_hub.pipeline.estimate import BuildEstimate, EstimateStep
    from plum_hub.pipeline.show import InstructionReport
    from plum_hub.pipeline.status import RunStatus
    from plum_hub.publishing.repository import Released
    from plum_hub.rounds.record import RoundDataset, RoundModel
    from plum_hub.training.record import TrainingRecord

_LISTED = 20
"""Disagreements that are printed; scores.json has all."""
_DATASETS = "from datasets import load_dataset\n"
"""The import that a dataset's `load_line` needs."""


def build(result: "BuildResult") -> None:
    """Print a build: the run's counts, the release, and how to load it.

    Args:
        result: What `build_dataset` returned.
    """
    run_status(result.status)
    facts([("run", str(result.run)), *result.release.facts()])
    _loading(result.release, _DATASETS)


def dataset_release(released: "Released") -> None:
    """Print a dataset's release, and how to load it.

    Args:
        released: What `push_dataset` returned.
    """
    facts(released.facts())
    _loading(released, _DATASETS)


def strengthened(result: "StrengthenResult") -> None:
    """Print what was added to a release, and where it is now.

    Args:
        result: What `strengthen` returned.
    """
    added = result.added
    facts([("added", f"{added.cases} cases to {added.strengthened} of {added.suites} suites of {result.source}")])
    if result.release is not None:
        dataset_release(result.release)


def model_release(released: "Released") -> None:
    """Print a model's release, and how to load it.

    Args:
        released: What `push_model` returned.
    """
    facts(released.facts())
    _loading(released, "")


def _loading(released: "Released", imports: str) -> None:
    """Print the lines to paste that load a release, after `imports`, which its own line needs."""
    if released.load_line:
        if released.hub == "embedded":
            click.echo("\n# in another terminal:  plum-hub hub serve\nexport HF_ENDPOINT=http://127.0.0.1:8077")
        elif released.endpoint:
            click.echo(f"\nexport HF_ENDPOINT={released.endpoint}")
        click.echo(f"\n{imports}{released.load_line}")


def run_status(summary: "RunStatus") -> None:
    """Print the rows of each stage, what was left out and why, and the rates.

    Args:
        summary: The counts of a run.
    """
    table = Table("stage", "rows", "wanted", "left out", box=None, header_style="bold", pad_edge=False)
    for stage, rows in summary.rows.items():
        wanted = summary.wanted[stage]
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in summary.dropped.get(stage, {}).items())
        table.add_row(stage, f"{rows:,}", "not known yet" if wanted is None else f"{wanted:,}", left_out)
    for stage in summary.dropped.keys() - summary.rows.keys():  # it makes no rows: decontamination
        table.add_row(stage, "", "", ", ".join(f"{n:,} {reason}" for reason, n in summary.dropped[stage].items()))
    console().print(table)
    known = [("verdicts", ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items()))]
    if summary.chosen or summary.rejected:
        labelled = f"{summary.chosen:,} chosen, {summary.rejected:,} rejected"
        known.append(("labels", f"{labelled}, of {summary.labelled_instructions:,} instructions"))
    for spent in summary.spending:
        price = {None: "price not known", 0.0: "run locally"}.get(spent.usd, f"{spent.usd or 0.0:,.4f} US dollars")
        cached = f" ({spent.cached_tokens:,} of the prompts cached)" if spent.cached_tokens else ""
        tokens = f"{spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens{cached}, {price}"
        known.append((spent.stage, f"{spent.answers:,} answers, {tokens}"))
    if summary.self_consistency is not None:
        known.append(("self-consistency", f"{summary.self_consistency:.2%} of responses pass their own tests"))
    if summary.strength is not None:
        low, middle, high = summary.strength.quartiles
        scores = f"mutation score {summary.strength.mean:.2f} on average, quartiles {low:.2f}, {middle:.2f}, {high:.2f}"
        known.append(("strength", f"{scores}, of {summary.strength.count:,} suites"))
    if summary.roles is not None:
        known.append(("cases by role", ", ".join(f"{count:,} {role}" for role, count in summary.roles.items())))
    if summary.added_cases is not None:
        known.append(("added cases", f"{summary.added_cases:,}"))
    facts(known)


def build_estimate(plan: "BuildEstimate") -> None:
    """Print the requests, time and cost of a build.

    Args:
        plan: What `estimate_build` returned.
    """
    console().print(
        f"{plan.instructions:,} instructions, about {plan.suites_expected:,} of them with a suite", highlight=False
    )
    names = ("stage", "engine", "requests", "prompt tokens", "new tokens", "time", "cost")
    figures(names, map(_estimated, plan.steps), texts=2)
    for step in plan.steps:
        if step.usd is None and step.engine.startswith("openai:"):
            role = "generator" if step.stage == "responses" else "policy"
            console().print(
                f"the price of {step.engine} is not known: set {role}.usd_per_million_input and "
                f"{role}.usd_per_million_output",
                highlight=False,
            )


def _estimated(step: "EstimateStep") -> list[str]:
    unknown = "within 24 hours" if step.by_batch else "not measured here yet"
    counts = [f"{count:,}" for count in (step.requests, step.prompt_tokens, step.completion_tokens)]
    cost = "price unknown" if step.usd is None else f"${step.usd:,.2f}"
    return [step.stage, step.engine, *counts, unknown if step.seconds is None else clock(step.seconds), cost]


def instruction(story: "InstructionReport") -> None:
    """Print an instruction, its suite, samples, verdicts and labels; in full the sample or drop that was asked for.

    Args:
        story: The instruction with everything made from it.
    """
    out = console()
    if story.instruction is None:
        out.rule(f"instruction {story.drops[0].instruction_id}: left out", align="left")
    else:
        out.rule(f"instruction {story.instruction.id}  ({story.instruction.source})", align="left")
        out.print(Text(story.instruction.text))
        _print_suite(out, story.suite, story.roles)
    if story.samples:
        table = Table("sample", "verdict", "label", "tokens", "detail", box=None, header_style="bold", pad_edge=False)
        for sample, verdict, label in story.samples:
            shown = "" if label is None else ("chosen" if label else "rejected")
            status = verdict.status if verdict else "pending"
            detail = " ".join(verdict.detail.split())[:80] if verdict else ""
            table.add_row(sample.id, status, shown, str(sample.completion_tokens), escape(detail))
        out.print(table)
    for drop in story.drops:
        # A sample without a label shows its verdict above.
        if drop.stage != "preferences" or drop.id == story.asked:
            _print_drop(out, drop, whole=drop.id == story.asked)
    for sample, verdict, _ in story.samples:
        if sample.id == story.asked:
            _print_sample(out, sample, verdict, story.suite)


def _print_suite(out: Console, suite: TestSuite | None, roles: list[str] | None) -> None:
    if suite is None:
        out.rule("no suite", align="left")
        return
    out.rule(f"suite {suite.id}", align="left")
    out.print(Syntax(suite.starter_code, "python", background_color="default"))
    for case, role in zip(suite.cases, roles or [""] * len(suite.cases), strict=True):
        out.print(Text(f"  {_case_line(case)}{role and f'  # {role}'}"))
    out.rule("reference (never training data)", align="left", style="dim")
    out.print(Text(suite.reference, style="dim"), soft_wrap=True)
    out.rule(style="dim")


def _print_sample(out: Console, sample: Sample, verdict: Verdict | None, suite: TestSuite | None) -> None:
    out.rule(f"sample {sample.id}", align="left")
    out.print(Text(sample.text), soft_wrap=True)
    if verdict is None or suite is None:
        return
    out.rule(f"verdict {verdict.id}: {verdict.status}", align="left")
    for case, seen in zip(suite.cases, verdict.cases, strict=True):
        out.print(Text(f"  {seen.outcome:>9}  {_case_line(case)}  {seen.detail}".rstrip()), soft_wrap=True)
    if verdict.detail:
        out.print(Text(verdict.detail), soft_wrap=True)


def _print_drop(out: Console, drop: Drop, *, whole: bool) -> None:
    detail = drop.detail if whole else drop.detail[:100]
    out.print(Text(f"left out in {drop.stage}: {drop.id} {drop.reason} {detail}"), soft_wrap=whole)
    if whole and (meaning := meaning_of(drop.stage, drop.reason)):
        out.print(Text(f"  {meaning}"), soft_wrap=True)


def _case_line(case: TestCase) -> str:
    if case.kind == "call":
        about = f"  (within {case.tolerance})" if case.tolerance is not None else ""
        return f"{case.call} == {case.expected}{about}"
    if case.kind == "statement":
        return str(case.statement).replace("\n", "\n  ")
    return f"stdin {case.stdin!r} -> stdout {case.stdout!r}"


def judgement(result: "JudgeResult") -> None:
    """Print how many programs have which status, and how fast they were judged.

    Args:
        result: What `judge` returned.
    """
    total = result.samples
    rows = [(status, f"{number:>9,}  {number / total:7.2%}") for status, number in result.statuses.items()]
    rate = "all were judged before"
    if result.per_second is not None:
        rate = f"{result.judged_now:,} judged now, {result.per_second:,} per second"
    facts([*rows, ("samples", f"{total:>9,}  {rate}"), ("verdicts", str(result.out))])
    if (dropped := result.dropped).suites:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in dropped.reasons.most_common())
        where = f" ({reasons}; see {dropped.path})" if reasons else ""
        count = f"{dropped.reasons.total():,} samples of {dropped.suites:,} refused suites{where}"
        facts([("not judged", count), ("the first", dropped.first)])


def evaluation_estimate(found: "EvaluationEstimate") -> None:
    """Print the requests and time of an evaluation.

    Args:
        found: What `estimate_evaluation` returned.
    """
    for name, problems in found.problems.items():
        click.echo(f"{name}: {problems:,} problems")
    time = "not measured here yet" if found.seconds is None else clock(found.seconds)
    facts(
        [
            ("protocol", ", ".join(dict.fromkeys(found.protocols.values()))),
            ("prompt", found.prompt),
            ("requests", f"{found.requests:,} to do of {found.samples:,}"),
            ("new tokens", f"about {found.completion_tokens:,}"),
            ("time", time),
        ]
    )
    for note in found.notes:
        click.echo(f"note: {note}")


def evaluation(results: "EvaluationResults") -> None:
    """Print the scores, where the rules disagree, and what belongs beside the scores.

    Args:
        results: What `evaluate` returned.
    """
    from plum_hub.evaluation.cards import shown

    table = Table("benchmark", "tests", "problems", "metric", "official", "strict", box=None, pad_edge=False)
    strict = {_key(score): score for score in results.scores if score.reading == "strict"}
    for score in results.scores:
        if score.reading == "official":
            name = f"{score.benchmark} {score.part}".rstrip()
            other = strict.get(_key(score))
            cells = [name, score.suite, f"{score.problems:,}", score.metric, shown(score)]
            table.add_row(*cells, shown(other) if other else "the same")
    console().print(table)
    disagreements = results.disagreements()
    for one in disagreements[:_LISTED]:
        count = f"{len(one.only_official)} only official, {len(one.only_strict)} only strict"
        click.echo(f"official and strict disagree: {one.problem} ({one.measure}): {count}")
    if len(disagreements) > _LISTED:
        click.echo(
            f"official and strict disagree on {len(disagreements) - _LISTED} more problems; scores.json lists them"
        )
    for note in results.notes:
        click.echo(f"note: {note}")
    score = results.scores[0]
    prompt = f"prompt {score.prompt}" + (f" {score.prompt_digest}" if score.prompt_digest else "")
    named = ", ".join(dict.fromkeys(one.protocol for one in results.scores))
    fresh = f"{results.fresh_samples:,} samples, {results.fresh_verdicts:,} verdicts in {results.seconds:.1f} s"
    facts(
        [
            ("protocol", f"{named}; {prompt}; {score.extraction}; {score.harness}"),
            ("new", fresh),
            ("run", str(results.folder)),
        ]
    )
    if results.greedy is not None:
        click.echo("\na greedy sample of each problem:")
        evaluation(results.greedy)


def _key(score: Score) -> tuple[str, str, str, str]:
    return score.benchmark, score.suite, score.part, score.metric


def comparison(found: "PairedComparison") -> None:
    """Print every gain as a row.

    Args:
        found: The gains of the second evaluation over the first.
    """
    table = Table(box=None, pad_edge=False)
    for name in (
        "benchmark",
        "tests",
        "rules",
        "problems",
        "first",
        "second",
        "gain",
        "95 %",
        "relative",
        "p",
        "smallest",
    ):
        table.add_column(name, justify="left" if name in ("benchmark", "tests", "rules") else "right")
    for gain in found.gains:
        table.add_row(*_cells(gain))
    console().print(table)
    click.echo(f"protocol: {', '.join(dict.fromkeys(gain.protocol for gain in found.gains))}")
    for note in found.notes:
        click.echo(f"note: {note}")


def _cells(gain: "ScoreGain") -> list[str]:
    relative = "" if gain.relative is None else f"{gain.relative:+.1%}"
    test = "" if gain.p_value is None else f"{gain.p_value:.3g} ({gain.only_second} : {gain.only_first})"
    smallest = "too few problems" if gain.smallest is None else f"{100 * gain.smallest:.1f}"
    return [
        f"{gain.benchmark} {gain.part}".rstrip(), gain.suite, gain.reading, f"{gain.problems:,}",
        f"{100 * gain.first:.1f}", f"{100 * gain.second:.1f}", f"{100 * gain.gain:+.1f}",
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}", relative, test, smallest,
    ]  # fmt: skip


def preflight(result: "PreflightResult") -> None:
    """Print what a KTO training would pair and batch.

    Args:
        result: What `preflight` returned.
    """
    found = result.preflight
    pairs = f"{found.pairs:,}, {found.same_prompt_rate:.2%} of one prompt, {found.foreign:,} across batches"
    facts(_training_rows(result.record))
    facts(
        [
            ("KL pairs", pairs),
            ("batches", f"{found.batches:,}, {found.single_label_rate:.2%} of one label"),
            ("repeated", f"{found.repeated:,} rows"),
            ("memory", result.memory),
        ]
    )


def training(result: "TrainResult") -> None:
    """Print what a training did.

    Args:
        result: What `train` returned.
    """
    from plum_hub.training.checkpoint import REPORT

    report = result.checkpoint / REPORT
    curves = [("curves", str(report))] if report.is_dir() else []  # older versions drew none
    rows = _training_rows(result.record)
    facts([*rows, ("steps", f"{result.steps:,}"), ("checkpoint", str(result.checkpoint)), *curves])


def _training_rows(record: "TrainingRecord") -> list[tuple[str, str]]:
    from plum_hub.training.batch_order import SCARCE

    rows, weights = record.rows, record.class_weights
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in rows.left_out.items()) or "none"
    policy = {True: "yes", False: "no (--allow-off-policy)", None: "unknown: the source does not name the policy"}[
        record.on_policy
    ]
    found = [
        ("model", f"{record.model.name} at {record.model.revision}"),
        ("data", f"{record.data.name} at {record.data.revision}"),
        ("on-policy", policy),
        ("rows", f"{rows.kept:,} of {rows.instructions:,} instructions; left out: {left_out}"),
        ("labels", f"{rows.chosen:,} chosen, {rows.rejected:,} rejected"),
    ]
    if rows.merged:
        found.append(("merged", f"in {rows.merged:,} rows one token spans prompt and answer; a line break parts them"))
    if rows.columns_not_read:
        found.append(("not read", f"columns {', '.join(rows.columns_not_read)}"))
    for number, epoch in enumerate(rows.epochs, 1):
        rest = ", ".join(f"{count:,} {reason}" for reason, count in epoch.left_out.items()) or "none"
        found.append((f"epoch {number}", f"{epoch.rows:,} rows; left out: {rest}"))
        if SCARCE in epoch.left_out:
            enough = ceil(rows.kept / min(rows.chosen, rows.rejected))
            found.append(("", f"--set batch_size={enough} would fit nearly all of them"))
    found.append(("class weights", f"chosen {weights.desirable:.4g}, rejected {weights.undesirable:.4g}"))
    return found


def rounds(result: "RoundsResult") -> None:
    """Print the decision, the releases and the gain of each round.

    Args:
        result: What `run_rounds` returned.
    """
    for row in result.rounds:
        gain = row.gain
        passing = f"{gain.before:.1%} -> {gain.after:.1%} of {row.samples_each} samples each"
        points = "{:+.1f} points, 95 % interval {:+.1f} to {:+.1f}".format(
            *(100 * share for share in (gain.gain, gain.low, gain.high))
        )
        test = "" if gain.p_value is None else f", McNemar p = {gain.p_value:.3g}"
        facts(
            [
                (f"round {row.round}", row.decision),
                ("dataset", _where(row.dataset)),
                ("model", _where(row.model)),
                ("checkpoint", str(result.run / row.checkpoint)),
                ("passing", f"{passing}, {gain.instructions:,} held-out instructions"),
                ("gain", points + test),
            ]
        )
    facts([("run", str(result.run))])


def _where(release: "RoundDataset | RoundModel") -> str:
    if not release.repo:
        return "not published (--hub none)"
    return f"{release.repo} {release.tag}, commit {release.commit}"
