"""What `evaluate` does with its options, and how it and `compare` show what came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError
from rich.table import Table

from plum_hub.cli import screen
from plum_hub.engines import parse_engine
from plum_hub.errors import UsageError
from plum_hub.evaluation.cards import shown
from plum_hub.evaluation.comparison import PairedComparison, ScoreGain
from plum_hub.evaluation.config import EvaluationConfig, ProblemSelection
from plum_hub.evaluation.estimate import EvaluationEstimate, plan
from plum_hub.evaluation.protocol import Protocol
from plum_hub.evaluation.run import evaluate
from plum_hub.evaluation.scoring import EvaluationResults
from plum_hub.records import Score
from plum_hub.run import slug

_DEFAULT = "humaneval+,mbpp+"
_LISTED = 20
"""Disagreements on the screen; scores.json has all."""


def carry_out(given: Mapping[str, Any]) -> None:
    """Evaluate, or plan, and show what came of it.

    Raises:
        PlumError: with its exit code.
    """
    wanted = order(given)
    if given["dry_run"]:
        _show_plan(plan(wanted), as_json=given["as_json"])
        return
    progress = screen.progress(given["quiet"])
    try:
        results = evaluate(wanted, progress)
    finally:
        progress.close()
    _show_results(wanted, results, as_json=given["as_json"])


def order(given: Mapping[str, Any]) -> EvaluationConfig:
    """The options as an order.

    Raises:
        UsageError: they do not fit together.
        EngineError: there is no such engine.
    """
    model, file = given["model"], given["samples"]
    if (model is None) == (file is None):
        raise UsageError("what is evaluated? Name a model with --model, or a file of programs with --samples")
    if model is None and given["dry_run"]:
        raise UsageError("--dry-run shows what a model would be asked; a file of programs is judged as it is")
    config = parse_engine(model) if model is not None else None
    names = given["benchmarks"] or ("" if model is None else _DEFAULT)
    name = slug(config.public().model if config else str(file))
    return EvaluationConfig(
        benchmarks=tuple(dict.fromkeys(part for part in names.replace(" ", "").split(",") if part)),
        folder=given["folder"] or Path("runs") / f"evaluate-{name}",
        model=config,
        generations=file,
        protocol=_protocol(given),
        auto_prompt=given["prompt"] == "auto",
        selection=_selection(given),
        data=given["data"],
        partial=given["partial"],
        workers=given["workers"],
    )


def _protocol(given: Mapping[str, Any]) -> Protocol:
    several = given["n"] > 1
    temperature = given["temperature"] if given["temperature"] is not None else (0.8 if several else 0.0)
    if several and temperature == 0:
        raise UsageError("--n with --temperature 0: samples of a greedy model are all alike; leave either out")
    top_p = given["top_p"] if given["top_p"] is not None else (0.95 if temperature else 1.0)
    chosen: dict[str, Any] = {"prompt": given["prompt"]} if given["prompt"] != "auto" else {}
    try:
        return Protocol(
            samples=given["n"],
            temperature=temperature,
            top_p=top_p,
            max_tokens=given["max_tokens"],
            seed=given["seed"],
            examples=given["examples"],
            **chosen,
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        option = str(wrong["loc"][0]).replace("_", "-")
        raise UsageError(f"--{option} {wrong['input']}: {wrong['msg'].lower()}") from error


def _selection(given: Mapping[str, Any]) -> ProblemSelection:
    for option, value in (("--from", given["since"]), ("--to", given["until"])):
        try:
            if value and date.fromisoformat(value).isoformat() != value:
                raise ValueError
        except ValueError:
            raise UsageError(f"{option} {value}: write a day as 2024-08-01") from None
    return ProblemSelection(
        since=given["since"],
        until=given["until"],
        difficulties=given["difficulties"],
        platforms=given["platforms"],
        first=given["limit"],
    )


def _show_plan(found: EvaluationEstimate, *, as_json: bool) -> None:
    if as_json:
        screen.echo_json(asdict(found))
        return
    for name, problems in found.problems.items():
        click.echo(f"{name}: {problems:,} problems")
    time = "not measured here yet" if found.seconds is None else screen.clock(found.seconds)
    screen.facts(
        [
            ("prompt", found.prompt),
            ("requests", f"{found.requests:,} owed of {found.samples:,}"),
            ("new tokens", f"about {found.completion_tokens:,}"),
            ("time", time),
        ]
    )


def _show_results(wanted: EvaluationConfig, results: EvaluationResults, *, as_json: bool) -> None:
    if as_json:
        made = {"samples_now": results.fresh_samples, "judged_now": results.fresh_verdicts}
        said = {"run": str(wanted.folder), **results.record().as_json(), **made, "seconds": round(results.seconds, 3)}
        screen.echo_json({**said, "files": list(results.files)})
        return
    table = Table("benchmark", "tests", "problems", "metric", "official", "strict", box=None, pad_edge=False)
    strict = {_key(score): score for score in results.scores if score.reading == "strict"}
    for score in results.scores:
        if score.reading == "official":
            name = f"{score.benchmark} {score.part}".rstrip()
            other = strict.get(_key(score))
            cells = [name, score.suite, f"{score.problems:,}", score.metric, shown(score)]
            table.add_row(*cells, shown(other) if other else "the same")
    screen.console().print(table)
    parted = results.disagreements()
    for one in parted[:_LISTED]:
        count = f"{len(one.only_official)} only official, {len(one.only_strict)} only strict"
        click.echo(f"the rules part: {one.problem} ({one.measure}): {count}")
    if len(parted) > _LISTED:
        click.echo(f"the rules part on {len(parted) - _LISTED} more problems; scores.json lists them")
    for note in results.notes:
        click.echo(f"note: {note}")
    score = results.scores[0]
    asked = f"prompt {score.prompt}" + (f" {score.prompt_digest}" if score.prompt_digest else "")
    fresh = f"{results.fresh_samples:,} samples, {results.fresh_verdicts:,} verdicts now in {results.seconds:.1f} s"
    screen.facts(
        [("terms", f"{asked}; {score.extraction}; {score.harness}"), ("made", fresh), ("run", str(wanted.folder))]
    )


def _key(score: Score) -> tuple[str, str, str, str]:
    return score.benchmark, score.suite, score.part, score.metric


def show_comparison(found: PairedComparison, *, as_json: bool) -> None:
    """Every gain as a row."""
    if as_json:
        screen.echo_json({"gains": [asdict(gain) for gain in found.gains], "notes": list(found.notes)})
        return
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
    screen.console().print(table)
    for note in found.notes:
        click.echo(f"note: {note}")


def _cells(gain: ScoreGain) -> list[str]:
    relative = "" if gain.relative is None else f"{gain.relative:+.1%}"
    tested = "" if gain.p_value is None else f"{gain.p_value:.3g} ({gain.only_second} : {gain.only_first})"
    smallest = "none" if gain.smallest is None else f"{100 * gain.smallest:.1f}"
    return [
        f"{gain.benchmark} {gain.part}".rstrip(), gain.suite, gain.reading, f"{gain.problems:,}",
        f"{100 * gain.first:.1f}", f"{100 * gain.second:.1f}", f"{100 * gain.gain:+.1f}",
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}", relative, tested, smallest,
    ]  # fmt: skip
