"""Make the verdicts of an evaluation while samples still arrive.

Only what a score depends on is run. One run gives the verdicts under both readings if they differ only in how values
are compared. A run ends with the case that fails under both, and a program that fails `base` this way is not run on
`plus` and gets no verdict there. Samples that arrive together are judged problem by problem, all on `base` first,
because a jail keeps the cases that it had last.
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
"""Name of the stage."""
_BATCH, _BATCH_SECONDS = 4096, 5.0
"""Samples that are judged together, and the seconds for which the first one waits for others."""
_MEMORY_MB = 4096
"""Memory limit of a program in MiB, as in EvalPlus."""
_SHUTDOWN_SECONDS = 1.0
"""How long a failure elsewhere waits for judging to stop. After that the thread is abandoned, and makes no more rows.
"""

_SEES_ITSELF = re.compile(
    "trace|frame|lineno|_code|inspect|linecache|profil|warn|logging|doctest|unittest|faulthandler|'dis'|pdb"
)
"""Names in programs that may behave differently on other lines: tracebacks (`__traceback__`, `tracemalloc`), frames
(`sys._getframe`, `gi_frame`), code objects (`__code__`, `gi_code`), and modules that read these or the source. A
program can only see its own text in another way by making up such a name. It is then judged by the text of an equal
program, which is as much its own."""

_SYNTAX_ONLY: frozenset[str] = frozenset()
"""The mypy codes of the static check: the benchmarks' judges run whatever compiles."""


def limits_of(cpu_seconds: float) -> Limits:
    """Return the sandbox's limits for a benchmark's problem.

    Args:
        cpu_seconds: CPU time of a program.

    Returns:
        The limits, with the memory that EvalPlus allows.
    """
    return Limits(cpu_seconds=cpu_seconds, wall_seconds=max(60.0, 6 * cpu_seconds), memory_mb=_MEMORY_MB)


@dataclass(frozen=True)
class PreparedProgram:
    """What is run of a program (None: nothing), and the ids of its verdicts by suite."""

    code: str | None
    names: Mapping[str, str]

    @cached_property
    def equality_key(self) -> str | None:
        """Key shared by programs that differ only in comments and layout, as samples often do. They share a run."""
        return _equality_key(self.code)


@dataclass
class EvaluationVerdicts:
    """The verdicts of one evaluation."""

    folder: EvaluationFolder
    chosen: Mapping[str, SelectedBenchmark]
    protocol: Protocol
    judge: Judge
    progress: Progress
    done: dict[str, SuiteVerdict] = field(default_factory=dict)
    """Verdicts that exist, by id."""
    halt: Event = field(default_factory=Event)
    """Set when either side has ended, so that the other may stop."""
    _waiting: dict[str, tuple[ProblemProgram, str]] = field(default_factory=dict)
    _prepared: dict[tuple[str, str], PreparedProgram] = field(default_factory=dict)

    def begin(self, known: Iterable[ProblemProgram], programs: int) -> int:
        """Read the verdicts in the folder.

        Args:
            known: The programs that exist already.
            programs: How often a program meets a suite in all.

        Returns:
            Number of verdicts in the folder.

        Raises:
            RunError: The file of verdicts is damaged.
        """
        self.done = {verdict.id: verdict for verdict in self.folder.verdicts()}
        there = sum(name in self.done for entry in known for name in self.prepare(entry).names.values())
        self.progress.begin(STAGE, programs, there)
        return len(self.done)

    def prepare(self, entry: ProblemProgram) -> PreparedProgram:
        """Prepare a program.

        Args:
            entry: The program.

        Returns:
            What is run of it, and the ids of its verdicts.
        """
        key = (entry.sample_id, entry.benchmark)
        if key not in self._prepared:
            chosen = self.chosen[entry.benchmark]
            problem = chosen.problems[entry.problem]
            code = entry.code and judged_code(entry.code, entry.benchmark, problem, self.protocol)
            base = digest(*key, problem.id, code, entry.invalid, self.judge.harness_version)
            names = {suite: digest(base, chosen.suite_id(problem, suite)) for suite in problem.suites}
            self._prepared[key] = PreparedProgram(code, names)
        return self._prepared[key]

    def needed_suites(self, entry: ProblemProgram) -> list[str]:
        """List the suites whose verdicts matter for the score: all up to a measure that no reading passed, if one is
        known.

        Args:
            entry: The program.

        Returns:
            Names of the suites.
        """
        names = self.prepare(entry).names
        suites: list[str] = []
        for measure in self.chosen[entry.benchmark].measures:
            readings = [suite for suite in (measure, f"{measure}:strict") if suite in names]
            suites += readings
            verdicts = [self.done.get(names[suite]) for suite in readings]
            if verdicts and not any(verdict is not None and verdict.status == "passed" for verdict in verdicts):
                break
        return suites

    def carry_out(self, batches: Iterable[Sequence[ProblemProgram]]) -> None:
        """Judge programs until no more come or `halt` is set.

        Args:
            batches: The programs, in batches.

        Raises:
            SandboxError: The sandbox failed. Nothing was decided about programs without a verdict.
            StaticCheckError: The syntax check failed, with the same consequence.
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
        grouped = sorted(batch, key=lambda entry: (entry.benchmark, self._positions[entry.benchmark][entry.problem]))
        for measure in dict.fromkeys(name for one in self.chosen.values() for name in one.measures):
            pending = list(self._pending(grouped, measure))
            with closing(judge_submissions(self._submissions(pending), self.judge, Limits(), _SYNTAX_ONLY)) as stream:
                for judgement in stream if pending else ():
                    if self.halt.is_set():
                        return
                    for verdict in self._verdicts(judgement):
                        append(verdict)
                        self.done[verdict.id] = verdict
                        self.progress.advance()

    @cached_property
    def _positions(self) -> dict[str, dict[str, int]]:
        """Positions of the problems in the order of their benchmark."""
        return {name: {id_: place for place, id_ in enumerate(one.problems)} for name, one in self.chosen.items()}

    def _pending(self, entries: Sequence[ProblemProgram], measure: str) -> Iterator[tuple[ProblemProgram, str]]:
        """Yield the pending runs of a measure, those of one suite next to each other."""
        runs: dict[tuple[str, str, str], list[ProblemProgram]] = {}
        for entry in entries:
            needed, ran = self.needed_suites(entry), set()
            for suite, name in self.prepare(entry).names.items():
                if suite.partition(":")[0] != measure or name in self.done:
                    continue
                run = self._run_for(entry, suite)
                if suite not in needed:
                    self.progress.advance()
                elif run not in ran:
                    ran.add(run)
                    runs.setdefault((entry.benchmark, entry.problem, run), []).append(entry)
        for (_, _, run), group in runs.items():
            yield from ((entry, run) for entry in group)

    def _run_for(self, entry: ProblemProgram, suite: str) -> str:
        chosen = self.chosen[entry.benchmark]
        return chosen.run_for(chosen.problems[entry.problem], suite)

    def _submissions(self, pending: Iterable[tuple[ProblemProgram, str]]) -> Iterator[Submission]:
        for entry, suite in pending:
            chosen = self.chosen[entry.benchmark]
            problem = chosen.problems[entry.problem]
            prepared = self.prepare(entry)
            name = prepared.names[suite]
            self._waiting[name] = (entry, suite)
            yield Submission(
                id=name,
                code=None if prepared.code is None else prepend_setup(problem.setup, prepared.code),
                suite_id=chosen.suite_id(problem, suite),
                entry_point=problem.entry_point or "",
                cases=problem.cases(suite),
                limits=limits_of(problem.limits.get(suite, problem.cpu_seconds)),
                decisive=True,
                equality_key=prepared.equality_key,
            )

    def _verdicts(self, judgement: Judgement) -> Iterator[SuiteVerdict]:
        """Yield the verdicts on the suite that was run and on its stricter reading, which has as many cases."""
        entry, run = self._waiting.pop(judgement.id)
        names = self.prepare(entry).names
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
            status, detail = ("failed", _failure(failed[0], cases[failed[0]])) if failed else ("passed", "")
        return SuiteVerdict(
            id=self.prepare(entry).names[suite],
            sample_id=entry.sample_id,
            benchmark=entry.benchmark,
            problem=entry.problem,
            suite=suite,
            status="not_executable" if entry.invalid else status,
            cases=len(cases),
            failed=failed,
            not_run=len(cases) - len(ran),
            outcome=cases[failed[0]].outcome if failed else "passed",
            detail=entry.invalid or detail,
            cpu_seconds=judgement.cpu_seconds,
            peak_memory_mb=judgement.peak_memory_mb,
        )


def _failure(number: int, case: CaseOutcome) -> str:
    return f"failed: case {number + 1} {case.outcome}: {case.detail}"


def in_batches(entries: Sequence[ProblemProgram]) -> Iterator[Sequence[ProblemProgram]]:
    """Split programs into batches.

    Args:
        entries: The programs.

    Returns:
        The batches.
    """
    return (entries[start : start + _BATCH] for start in range(0, len(entries), _BATCH))


def _equality_key(code: str | None) -> str | None:
    """Return the digest of a program's syntax tree, from which Python makes all that runs, apart from text positions.

    None if the program does not parse, or names something that gives access to positions or the text.
    """
    tree = None if code is None else parse(code)
    try:
        tree_text = "" if tree is None else ast.dump(tree)
    except RecursionError:
        return None
    return digest(tree_text) if tree_text and not _SEES_ITSELF.search(tree_text) else None


@contextmanager
def judging_in_background(judging: EvaluationVerdicts) -> Iterator[Callable[[ProblemProgram], None]]:
    """Judge programs in another thread while the block runs. The end of the block waits for the last one.

    An error inside the block stops the judging soon; programs without a verdict are judged by the next call.

    Args:
        judging: The verdicts of the evaluation.

    Yields:
        A function that hands over a program.

    Raises:
        PlumError: What `EvaluationVerdicts.carry_out` raises, at the end of the block; `judging.halt` is set before.
    """
    inbox: SimpleQueue[ProblemProgram | None] = SimpleQueue()
    pool = ThreadPool(1)  # its thread is a daemon, so that the process can exit
    task = pool.apply_async(judging.carry_out, (_batches(inbox),))
    pool.close()
    try:
        yield inbox.put
        inbox.put(None)
        task.get()
    finally:
        judging.halt.set()
        inbox.put(None)
        task.wait(_SHUTDOWN_SECONDS)


def _batches(inbox: SimpleQueue[ProblemProgram | None]) -> Iterator[Sequence[ProblemProgram]]:
    """Yield batches of what arrives, until None does."""
    entry = inbox.get()
    while entry is not None:
        batch, until = [entry], time.monotonic() + _BATCH_SECONDS
        while len(batch) < _BATCH:
            try:
                entry = inbox.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            if entry is None:
                break
            batch.append(entry)
        yield batch
        entry = inbox.get() if entry is not None else None
