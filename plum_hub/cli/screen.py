"""What the terminal shows: progress on stderr, results on stdout. Bars only where there is a terminal."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from plum_hub.pipeline.estimate import BuildEstimate
from plum_hub.pipeline.show import InstructionReport
from plum_hub.pipeline.status import RunStatus
from plum_hub.progress import Progress
from plum_hub.records import Drop, Sample, TestCase, TestSuite, Verdict

_LOG = logging.getLogger("plum_hub")
_EVERY_SECONDS = 15.0
"""How often a stage tells where it is when there is no terminal to draw a bar on."""
_WEIGHT = 8
"""How many finished answers the expected length of an answer counts for: the first ones to finish are the short
ones."""


def progress(quiet: bool) -> Progress:
    """Bars on a terminal, a line now and then elsewhere, only the log file when `quiet`."""
    if quiet:
        return LoggedProgress()
    return Bars() if _is_terminal(sys.stderr) else Lines()


class LoggedProgress(Progress):
    """Counts, and writes stage begins and ends to the run's log.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.follows = False
        """Whether its rows come from another stage that is still going on, so that its own speed says nothing."""
        self._reset("", 0, 0)

    def _reset(self, stage: str, total: int, done: int) -> None:
        self.stage, self.total, self.done = stage, total, done
        self.fresh, self.tokens, self.written = 0, 0, 0
        self.expected: float | None = None
        self.pending = ""
        self.started = self.now()

    def begin(self, stage: str, total: int, done: int) -> None:
        self._reset(stage, total, done)
        _LOG.info("%s: %d of %d there already", stage, done, total)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.pending, self.started = what, self.now()
        try:
            yield
        finally:
            self.pending, self.started = "", self.now()

    def expect(self, tokens: float) -> None:
        self.expected = tokens

    def wrote(self, tokens: int) -> None:
        self.written += tokens

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        self.done += rows
        self.fresh += rows
        self.tokens += tokens

    def end(self) -> None:
        _LOG.info("%s", self.line())

    def say(self, text: str) -> None:
        _LOG.info("%s", text)

    def beside(self) -> Progress:
        one = type(self)(self.now)
        one.follows = True
        return one

    def line(self) -> str:
        """Where the stage is, in one line."""
        count = f"{self.done}" + (f"/{self.total}" if self.total else "")
        head = f"{self.stage}: " if self.stage else ""
        return head + "  ".join([*([] if self.pending and not self.total else [count]), *self.details()])

    def details(self) -> list[str]:
        """Tokens so far, speed, and time left or passed."""
        seconds = max(self.now() - self.started, 1e-9)
        tokens = max(self.tokens, self.written)
        if self.pending:
            return [f"{self.pending} ... {clock(seconds)}"]
        parts = []
        if tokens:
            parts += [f"{tokens:,} tokens", f"{tokens / seconds:.0f} tokens/s"]
        elif self.fresh:
            parts.append(f"{self.fresh / seconds:.1f}/s")
        elif self.expected is not None and (not self.total or self.total > self.done):
            parts.append("reading the prompts")
        left = self.seconds_left(seconds)
        if left is not None:
            parts.append(f"{clock(left)} left")
        else:
            parts.append(f"in {clock(seconds)}" if self.fresh or tokens else clock(seconds))
        return parts

    def seconds_left(self, seconds: float) -> float | None:
        """How long the stage's other rows take at the speed so far; None when it has none, or no speed is known yet.

        Args:
            seconds: since the stage began to work.
        """
        rows, tokens = self.total - self.done, max(self.tokens, self.written)
        if rows <= 0 or self.follows:
            return None
        if self.expected is not None and tokens:
            each = (self.expected * _WEIGHT + self.tokens) / (_WEIGHT + self.fresh)
            # Even when answers turn out longer than was expected, those under way have something before them.
            owed = max(rows * each - (tokens - self.tokens), 0.1 * rows * each)
            return owed * seconds / tokens
        return rows * seconds / self.fresh if self.fresh else None


class Lines(LoggedProgress):
    """For pipes and log files: a line when a stage ends, and one every quarter minute before, also while nothing is
    finished: a thread of its own looks once a second whether one is due."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._told = now()
        self._stop: threading.Event | None = None
        self._beside: list[Lines] = []

    def begin(self, stage: str, total: int, done: int) -> None:
        super().begin(stage, total, done)
        self._told = self.now()
        self._start()

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self._start()
        with super().waiting(what):
            yield

    def end(self) -> None:
        super().end()
        self._halt()
        click.echo(self.line(), err=True)

    def say(self, text: str) -> None:
        super().say(text)
        click.echo(text, err=True)

    def beside(self) -> Progress:
        self._beside.append(Lines(self.now))
        self._beside[-1].follows = True
        return self._beside[-1]

    def close(self) -> None:
        self._halt()
        for one in self._beside:
            one.close()

    def tick(self) -> None:
        """Tell where the stage is if nothing was told for a quarter minute."""
        if self.now() - self._told >= _EVERY_SECONDS:
            self._told = self.now()
            click.echo(self.line(), err=True)

    def _start(self) -> None:
        if self._stop is None:
            self._stop = threading.Event()
            threading.Thread(target=self._watch, args=(self._stop,), daemon=True).start()

    def _halt(self) -> None:
        if self._stop is not None:
            self._stop.set()
        self._stop = None

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(1.0):
            self.tick()


class Bars(LoggedProgress):
    """A bar a stage, with rows, tokens, rate, and time left. The terminal is without its cursor until `close`."""

    def __init__(self, now: Callable[[], float] = time.monotonic, bars: RichProgress | None = None) -> None:
        super().__init__(now)
        self._bars = bars or RichProgress(
            TextColumn("{task.description:>12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),  # rich draws it anew by itself, so that a display never stands still
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def begin(self, stage: str, total: int, done: int) -> None:
        super().begin(stage, total, done)
        self._bars.start()  # once: rich takes a second call for none
        self._task = self._bars.add_task(stage, total=total or None, completed=done, rate="")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        first = self._task is None  # no stage has begun: a bar for the time of the block only
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("", total=None, rate="")
        task = self._task
        with super().waiting(what):
            self._show(rate=what)
            yield
        if first:
            self._bars.remove_task(task)
            self._task = None
        else:
            self._show(rate="")

    def wrote(self, tokens: int) -> None:
        super().wrote(tokens)
        self._show()

    def advance(self, rows: int = 1, tokens: int = 0) -> None:
        super().advance(rows, tokens)
        self._show()

    def end(self) -> None:
        super().end()
        assert self._task is not None
        self._bars.update(self._task, total=self.done, completed=self.done)

    def beside(self) -> Progress:
        one = Bars(self.now, self._bars)
        one.follows = True
        return one

    def close(self) -> None:
        if self._bars.live.is_started:
            self._bars.stop()

    def say(self, text: str) -> None:
        super().say(text)
        self._bars.console.print(escape(text), highlight=False)

    def _show(self, rate: str | None = None) -> None:
        assert self._task is not None
        self._bars.update(self._task, completed=self.done, rate="  ".join(self.details()) if rate is None else rate)


def echo_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


def summary_tables(summary: RunStatus) -> None:
    """The rows of each stage, what was left out and why, and the rates."""
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
    if summary.self_consistency is not None:
        known.append(("self-consistency", f"{summary.self_consistency:.2%} of responses pass their own tests"))
    facts(known)


def plan_tables(plan: BuildEstimate) -> None:
    """What a build will ask for, how long it takes and what it costs."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("stage", "engine", "requests", "prompt tokens", "new tokens", "time", "cost"):
        table.add_column(name, justify="left" if name in ("stage", "engine") else "right")
    for step in plan.steps:
        time_ = "not measured here yet" if step.seconds is None else clock(step.seconds)
        cost = "price unknown" if step.usd is None else f"${step.usd:,.2f}"
        counts = [f"{count:,}" for count in (step.requests, step.prompt_tokens, step.completion_tokens)]
        table.add_row(step.stage, step.engine, *counts, time_, cost)
    console().print(
        f"{plan.instructions:,} instructions, about {plan.suites_expected:,} of them with a suite", highlight=False
    )
    console().print(table)


def story_screen(story: InstructionReport) -> None:
    """One instruction, its suite, its samples, verdicts and labels; the sample or drop that was asked for, in full."""
    out = console()
    if story.instruction is None:
        out.rule(f"instruction {story.drops[0].instruction_id}: left out", align="left")
    else:
        out.rule(f"instruction {story.instruction.id}  ({story.instruction.source})", align="left")
        out.print(Text(story.instruction.text))
        _print_suite(out, story.suite)
    if story.samples:
        table = Table("sample", "verdict", "label", "tokens", "detail", box=None, header_style="bold", pad_edge=False)
        for sample, verdict, label in story.samples:
            shown = "" if label is None else ("chosen" if label else "rejected")
            status = verdict.status if verdict else "owed"
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


def _print_suite(out: Console, suite: TestSuite | None) -> None:
    if suite is None:
        out.rule("no suite", align="left")
        return
    out.rule(f"suite {suite.id}", align="left")
    out.print(Syntax(suite.starter_code, "python", background_color="default"))
    for case in suite.cases:
        out.print(Text(f"  {_case_line(case)}"))
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


def facts(rows: Iterable[tuple[str, str]]) -> None:
    """Named values under one another, on stdout."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(value))
    console().print(table)


def show_markdown(text: str) -> None:
    """A text as it is meant to look, as far as a terminal can."""
    from rich.markdown import Markdown

    console().print(Markdown(text))


def _case_line(case: TestCase) -> str:
    if case.kind == "call":
        about = f"  (within {case.tolerance})" if case.tolerance is not None else ""
        return f"{case.call} == {case.expected}{about}"
    if case.kind == "statement":
        return str(case.statement).replace("\n", "\n  ")
    return f"stdin {case.stdin!r} -> stdout {case.stdout!r}"


def console() -> Console:
    """Where results are printed."""
    return Console() if _is_terminal(sys.stdout) else Console(width=160)  # a pipe has no width, and a table needs one


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # Python has None for a descriptor that was closed, as by `>&-`


def clock(seconds: float) -> str:
    """A time as 1h02m, 3m04s or 5s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else (f"{minutes}m{rest:02}s" if minutes else f"{rest}s")
