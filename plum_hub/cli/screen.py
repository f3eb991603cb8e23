"""What the terminal shows: progress on stderr, results on stdout. Bars only where there is a terminal."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.syntax import Syntax
from rich.table import Table

from plum_hub.records import TestCase
from plum_hub.stages.base import Progress
from plum_hub.stages.plan import Plan
from plum_hub.stages.show import Story
from plum_hub.stages.summary import Summary

_LOG = logging.getLogger("plum_hub")
_EVERY_SECONDS = 30.0
"""How often a stage tells where it is when there is no terminal to draw a bar on."""


def progress(quiet: bool) -> Progress:
    """Bars on a terminal, a line now and then elsewhere, only the log file when `quiet`."""
    if quiet:
        return Logged()
    return Bars() if sys.stderr.isatty() else Lines()


class Logged(Progress):
    """Counts, and writes stage begins and ends to the run's log."""

    def __init__(self) -> None:
        self.stage, self.total, self.done, self.tokens, self.fresh = "", 0, 0, 0, 0
        self.started = time.monotonic()

    def begin(self, stage: str, total: int, done: int) -> None:
        self.stage, self.total, self.done, self.tokens, self.fresh = stage, total, done, 0, 0
        self.started = time.monotonic()
        _LOG.info("%s: %d of %d there already", stage, done, total)

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self.done += rows
        self.fresh += rows
        self.tokens += tokens

    def end(self) -> None:
        _LOG.info("%s", self.line())

    def say(self, text: str) -> None:
        _LOG.info("%s", text)

    def line(self) -> str:
        """Where the stage is, in one line."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        parts = [f"{self.stage}: {self.done}" + (f"/{self.total}" if self.total else "")]
        if self.fresh:
            parts.append(f"{self.fresh / seconds:.1f}/s")
        if self.tokens:
            parts.append(f"{self.tokens / seconds:.0f} tokens/s")
        if self.fresh and self.total > self.done:
            parts.append(f"{_clock((self.total - self.done) * seconds / self.fresh)} left")
        elif self.fresh:
            parts.append(f"in {_clock(seconds)}")
        return "  ".join(parts)


class Lines(Logged):
    """For pipes and log files: a line when a stage ends, and one every half minute before."""

    def __init__(self) -> None:
        super().__init__()
        self._told = time.monotonic()

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        super().advance(rows, tokens)
        if time.monotonic() - self._told > _EVERY_SECONDS:
            self._told = time.monotonic()
            click.echo(self.line(), err=True)

    def end(self) -> None:
        super().end()
        self._told = time.monotonic()
        click.echo(self.line(), err=True)

    def say(self, text: str) -> None:
        super().say(text)
        click.echo(text, err=True)


class Bars(Logged):
    """A bar a stage, with rows, rate and time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bars = RichProgress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int, done: int) -> None:
        super().begin(stage, total, done)
        self._bars.start()
        self._task = self._bars.add_task(stage, total=total or None, completed=done, rate="")

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        super().advance(rows, tokens)
        assert self._task is not None
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = f"{self.tokens / seconds:.0f} tokens/s" if self.tokens else f"{self.fresh / seconds:.1f}/s"
        self._bars.update(self._task, advance=rows, rate=rate)

    def end(self) -> None:
        super().end()
        assert self._task is not None
        self._bars.update(self._task, total=self.done, completed=self.done)
        self._bars.stop()

    def say(self, text: str) -> None:
        super().say(text)
        self._bars.console.print(escape(text), highlight=False)


def echo_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


def summary_tables(summary: Summary) -> None:
    """The rows of each stage, what was left out and why, and the rates."""
    table = Table("stage", "rows", "left out", box=None, header_style="bold", pad_edge=False)
    for stage, rows in summary.rows.items():
        reasons = summary.dropped.get(stage, {})
        table.add_row(stage, f"{rows:,}", ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()))
    _out().print(table)
    facts = [("verdicts", ", ".join(f"{count:,} {status}" for status, count in summary.statuses.items()))]
    if summary.chosen or summary.rejected:
        labelled = f"{summary.chosen:,} chosen, {summary.rejected:,} rejected"
        facts.append(("labels", f"{labelled}, of {summary.labelled_instructions:,} instructions"))
    if summary.self_consistency is not None:
        facts.append(("self-consistency", f"{summary.self_consistency:.2%} of responses pass their own tests"))
    _facts(facts)


def plan_tables(plan: Plan) -> None:
    """What a build will ask for, how long it takes and what it costs."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("stage", "engine", "requests", "prompt tokens", "new tokens", "time", "cost"):
        table.add_column(name, justify="left" if name in ("stage", "engine") else "right")
    for step in plan.steps:
        time_ = "not measured here yet" if step.seconds is None else _clock(step.seconds)
        cost = "price unknown" if step.usd is None else f"${step.usd:,.2f}"
        counts = [f"{count:,}" for count in (step.requests, step.prompt_tokens, step.completion_tokens)]
        table.add_row(step.stage, step.engine, *counts, time_, cost)
    _out().print(
        f"{plan.instructions:,} instructions, about {plan.suites_expected:,} of them with a suite", highlight=False
    )
    _out().print(table)


def story_screen(story: Story) -> None:
    """One instruction, its suite, its samples, verdicts and labels."""
    out = _out()
    out.rule(f"instruction {story.instruction.id}  ({story.instruction.source})", align="left")
    out.print(escape(story.instruction.text), highlight=False)
    if story.suite is None:
        out.rule("no suite", align="left")
    else:
        out.rule(f"suite {story.suite.id}", align="left")
        out.print(Syntax(story.suite.starter_code, "python", background_color="default"))
        for case in story.suite.cases:
            out.print("  " + escape(_case_line(case)), highlight=False)
    if story.samples:
        table = Table("sample", "verdict", "label", "tokens", "detail", box=None, header_style="bold", pad_edge=False)
        for sample, verdict, label in story.samples:
            shown = "" if label is None else ("chosen" if label else "rejected")
            status = verdict.status if verdict else "owed"
            detail = " ".join(verdict.detail.split())[:80] if verdict else ""
            table.add_row(sample.id, status, shown, str(sample.completion_tokens), escape(detail))
        out.print(table)
    for drop in story.drops:
        if drop.stage != "preferences":  # a sample without a label shows its verdict above
            out.print(escape(f"left out in {drop.stage}: {drop.id} {drop.reason} {drop.detail[:100]}"), highlight=False)


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Named values under one another, on stdout."""
    _facts([(name, value) for name, value in rows])


def _facts(rows: list[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    _out().print(table)


def _case_line(case: TestCase) -> str:
    if case.kind == "call":
        about = f"  (within {case.tolerance})" if case.tolerance is not None else ""
        return f"{case.call} == {case.expected}{about}"
    if case.kind == "statement":
        return str(case.statement).replace("\n", "\n  ")
    return f"stdin {case.stdin!r} -> stdout {case.stdout!r}"


def _out() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=160)  # a pipe has no width, and a table needs one


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else (f"{minutes}m{rest:02}s" if minutes else f"{rest}s")
