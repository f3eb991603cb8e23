"""What came of each program and suite of an evaluation: the folder's verdicts, made while samples still come.

Nothing is run that no score depends on. One run gives the verdicts of both rules, where only the comparing differs;
a run ends with the case by which it has failed by both, and what has failed `base` so is not tried on `plus`, and has
no verdict there. Samples that come together are judged
problem by problem, first all on `base`: a jail keeps the cases that it had last.
"""

import ast
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.pool import ThreadPool
from queue import Empty, SimpleQueue
from threading import Event

from plum_hub.answers.source import parse
from plum_hub.benchmarks.setup import prepend_setup
from plum_hub.evaluation.config import SelectedBenchmark
from plum_hub.evaluation.folder import EvaluationFolder, SuiteVerdict
from plum_hub.evaluation.protocol import Protocol, judged_code
from plum_hub.evaluation.sampling import ProblemProgram
from plum_hub.execution import Judge, Limits
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.progress import Progress
from plum_hub.records import CaseOutcome, digest

STAGE = "verdicts"
_TOGETHER, _PATIENCE = 4096, 5.0
"""Samples that are judged together, and the seconds for which the first waits for others."""
_MEMORY_MB = 4096
_PARTING_SECONDS = 1.0
"""How long a failure elsewhere waits for judging to end; after that it is left alone, and makes no more rows."""

_SEES_ITSELF = re.compile(
    "trace|frame|lineno|_code|inspect|linecache|profil|warn|logging|doctest|unittest|faulthandler|'dis'|pdb"
)
"""What a program has to name that can behave otherwise on other lines: tracebacks (`__traceback__`, `tracemalloc`),
frames (`sys._getframe`, `gi_frame`), code objects (`__code__`, `gi_code`), and the modules that read these or the
source. To see its own text by any other name, it has to make up the name; it is then judged by its like's text,
which is as much its own."""

_SYNTAX_ONLY: frozenset[str] = frozenset()
"""The benchmarks' judges run whatever compiles."""


def limits_of(cpu_seconds: float) -> Limits:
    """The sandbox's limits for a benchmark's problem; memory as EvalPlus allows."""
    return Limits(cpu_seconds=cpu_seconds, wall_seconds=max(60.0, 6 * cpu_seconds), memory_mb=_MEMORY_MB)


@dataclass(frozen=True)
class PreparedProgram:
    """What is run of an entry (None: nothing), and the ids of its verdicts, by suite."""

    code: str | None
    names: Mapping[str, str]

    @cached_property
    def equality_key(self) -> str | None:
        """Of programs that differ in comments and layout alone, as samples often do; they share a run."""
        return _equality_key(self.code)


@dataclass
class EvaluationVerdicts:
    """The verdicts of one evaluation. `done` holds those that are there, by id."""

    folder: EvaluationFolder
    chosen: Mapping[str, SelectedBenchmark]
    protocol: Protocol
    judge: Judge
    progress: Progress
    done: dict[str, SuiteVerdict] = field(default_factory=dict)
    halt: Event = field(default_factory=Event)
    """Set when either side has come to its end: the other may stop."""
    _waiting: dict[str, tuple[ProblemProgram, str]] = field(default_factory=dict)
    _ready: dict[tuple[str, str], PreparedProgram] = field(default_factory=dict)

    def begin(self, known: Iterable[ProblemProgram], programs: int) -> int:
        """Find what is done, and return how many verdicts the folder has.

        Args:
            known: the entries that are there already.
            programs: how many times a suite is tried in all.
        """
        self.done = {verdict.id: verdict for verdict in self.folder.verdicts()}
        there = sum(name in self.done for entry in known for name in self.ready(entry).names.values())
        self.progress.begin(STAGE, programs, there)
        return len(self.done)

    def ready(self, entry: ProblemProgram) -> PreparedProgram:
        """What is run of an entry, and the ids of its verdicts."""
        key = (entry.sample_id, entry.benchmark)
        if key not in self._ready:
            chosen = self.chosen[entry.benchmark]
            problem = chosen.problems[entry.problem]
            code = entry.code and judged_code(entry.code, entry.benchmark, problem, self.protocol)
            base = digest(*key, problem.id, code, entry.unfit, self.judge.harness_version)
            names = {suite: digest(base, chosen.suite_id(problem, suite)) for suite in problem.suites}
            self._ready[key] = PreparedProgram(code, names)
        return self._ready[key]

    def needed(self, entry: ProblemProgram) -> list[str]:
        """The suites whose verdicts decide something, as far as it is known: all up to a measure that was not passed
        by any rule."""
        names = self.ready(entry).names
        found: list[str] = []
        for measure in self.chosen[entry.benchmark].measures:
            readings = [suite for suite in (measure, f"{measure}:strict") if suite in names]
            found += readings
            verdicts = [self.done.get(names[suite]) for suite in readings]
            if verdicts and not any(verdict is not None and verdict.status == "passed" for verdict in verdicts):
                break
        return found

    def carry_out(self, batches: Iterable[Sequence[ProblemProgram]]) -> None:
        """Judge what is owed, until no more entries come or `halt` is set.

        Raises:
            SandboxError, StaticCheckError: nothing was decided about what has no verdict.
        """
        try:
            with self.folder.appending_verdicts() as append:
                for batch in batches:
                    self._judge(batch, append)
                    if self.halt.is_set():
                        return
            self.progress.end()
        finally:
            self.halt.set()

    def _judge(self, batch: Sequence[ProblemProgram], append: Callable[[SuiteVerdict], None]) -> None:
        grouped = sorted(batch, key=lambda entry: (entry.benchmark, self._places[entry.benchmark][entry.problem]))
        for measure in dict.fromkeys(name for one in self.chosen.values() for name in one.measures):
            owed = list(self._owed(grouped, measure))
            with closing(judge_submissions(self._submissions(owed), self.judge, Limits(), _SYNTAX_ONLY)) as stream:
                for judgement in stream if owed else ():
                    if self.halt.is_set():
                        return
                    for verdict in self._verdicts(judgement):
                        append(verdict)
                        self.done[verdict.id] = verdict
                        self.progress.advance()

    @cached_property
    def _places(self) -> dict[str, dict[str, int]]:
        """Of the problems, in the order of their benchmark."""
        return {name: {id_: place for place, id_ in enumerate(one.problems)} for name, one in self.chosen.items()}

    def _owed(self, entries: Sequence[ProblemProgram], measure: str) -> Iterator[tuple[ProblemProgram, str]]:
        """What is to be run for a measure: the runs of one suite in a row."""
        runs: dict[tuple[str, str, str], list[ProblemProgram]] = {}
        for entry in entries:
            needed, ran = self.needed(entry), set()
            for suite, name in self.ready(entry).names.items():
                if suite.partition(":")[0] != measure or name in self.done:
                    continue
                run = self._run_for(entry, suite)
                if suite not in needed:
                    self.progress.advance()
                elif run not in ran:
                    ran.add(run)
                    runs.setdefault((entry.benchmark, entry.problem, run), []).append(entry)
        for (_, _, run), those in runs.items():
            yield from ((entry, run) for entry in those)

    def _run_for(self, entry: ProblemProgram, suite: str) -> str:
        chosen = self.chosen[entry.benchmark]
        return chosen.run_for(chosen.problems[entry.problem], suite)

    def _submissions(self, owed: Iterable[tuple[ProblemProgram, str]]) -> Iterator[Submission]:
        for entry, suite in owed:
            chosen = self.chosen[entry.benchmark]
            problem = chosen.problems[entry.problem]
            ready = self.ready(entry)
            name = ready.names[suite]
            self._waiting[name] = (entry, suite)
            yield Submission(
                id=name,
                code=None if ready.code is None else prepend_setup(problem.setup, ready.code),
                suite_id=chosen.suite_id(problem, suite),
                entry_point=problem.entry_point or "",
                cases=problem.cases(suite),
                limits=limits_of(problem.limits.get(suite, problem.cpu_seconds)),
                decisive=True,
                equality_key=ready.equality_key,
            )

    def _verdicts(self, judgement: Judgement) -> Iterator[SuiteVerdict]:
        """Of the suite that was run, and of the stricter reading of it, which has as many cases."""
        entry, run = self._waiting.pop(judgement.id)
        names = self.ready(entry).names
        readings = [suite for suite in names if self._run_for(entry, suite) == run]
        size = len(judgement.cases) // len(readings)
        for place, suite in enumerate(readings):
            if names[suite] not in self.done:
                yield self._verdict(entry, suite, judgement, judgement.cases[place * size : (place + 1) * size])

    def _verdict(
        self, entry: ProblemProgram, suite: str, judgement: Judgement, cases: tuple[CaseOutcome, ...]
    ) -> SuiteVerdict:
        ran = [number for number, case in enumerate(cases) if case.outcome != "not_run"]
        failed = tuple(number for number in ran or range(len(cases)) if cases[number].outcome != "passed")
        status, detail = judgement.status, judgement.detail
        if status in ("passed", "failed"):
            status, detail = ("failed", _said(failed[0], cases[failed[0]])) if failed else ("passed", "")
        return SuiteVerdict(
            id=self.ready(entry).names[suite],
            sample_id=entry.sample_id,
            benchmark=entry.benchmark,
            problem=entry.problem,
            suite=suite,
            status="not_executable" if entry.unfit else status,
            cases=len(cases),
            failed=failed,
            not_run=len(cases) - len(ran),
            outcome=cases[failed[0]].outcome if failed else "passed",
            detail=entry.unfit or detail,
            cpu_seconds=judgement.cpu_seconds,
            peak_memory_mb=judgement.peak_memory_mb,
        )


def _said(number: int, case: CaseOutcome) -> str:
    return f"failed: case {number + 1} {case.outcome}: {case.detail}"


def together(entries: Sequence[ProblemProgram]) -> Iterator[Sequence[ProblemProgram]]:
    """The entries in batches."""
    return (entries[start : start + _TOGETHER] for start in range(0, len(entries), _TOGETHER))


def _equality_key(code: str | None) -> str | None:
    """The digest of a program's syntax tree, from which Python makes all that runs but the positions of things in the
    text. None where there is no tree, and where a name or a text in it leads to positions or to the text itself."""
    tree = None if code is None else parse(code)
    try:
        shown = "" if tree is None else ast.dump(tree)
    except (RecursionError, ValueError):  # an integer may be too long to be shown
        return None
    return digest(shown) if shown and not _SEES_ITSELF.search(shown) else None


@contextmanager
def beside(judging: EvaluationVerdicts) -> Iterator[Callable[[ProblemProgram], None]]:
    """Judge in a thread of its own what the block hands over; the block's end waits for the last. An error inside the
    block ends the judging soon, and what it has not decided is owed.

    Raises:
        PlumError: what `EvaluationVerdicts.carry_out` raises, at the block's end; `judging.halt` is set before.
    """
    inbox: SimpleQueue[ProblemProgram | None] = SimpleQueue()
    pool = ThreadPool(1)  # of a daemon, which no exit waits for
    task = pool.apply_async(judging.carry_out, (_batches(inbox),))
    pool.close()
    try:
        yield inbox.put
        inbox.put(None)
        task.get()
    finally:
        judging.halt.set()
        inbox.put(None)
        task.wait(_PARTING_SECONDS)


def _batches(inbox: SimpleQueue[ProblemProgram | None]) -> Iterator[Sequence[ProblemProgram]]:
    """What comes, until None does."""
    entry = inbox.get()
    while entry is not None:
        batch, until = [entry], time.monotonic() + _PATIENCE
        while len(batch) < _TOGETHER:
            try:
                entry = inbox.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            if entry is None:
                break
            batch.append(entry)
        yield batch
        entry = inbox.get() if entry is not None else None
