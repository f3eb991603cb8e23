"""Judge submitted programs as one stream.

Duplicates are detected, and sources are checked in batches in the background while the judge runs those that were
checked before.

    submissions -> [reading] -> inbox -> [checking] -> outbox -> judge -> judgements

Both queues are bounded, so that a few thousand submissions are in memory, however many there are.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from threading import Condition
from typing import Generic, Literal, TypeVar

from plum_hub.execution import Execution, Judge, Limits, Program
from plum_hub.execution.base import Case
from plum_hub.judging.cases import evidence, judged_at, sandbox_cases
from plum_hub.records import CaseOutcome, Outcome, Status, TestCase, digest
from plum_hub.static import Checker, CheckResult

_FIRST, _GROWTH, _BATCH = 64, 4, 2000
"""Submissions in one static check: few at first, so that the judge soon has work, then more, because each check has a
fixed cost."""
_MOMENT = 0.05
"""Seconds to wait for more submissions: negligible beside a slow engine, and enough to read a file."""
_CHECK_SHARE = 0.1
_LONGEST_WAIT = 30.0
"""Submissions that arrive slowly are collected, so that checks take no more than `_CHECK_SHARE` of the time, but for no
longer than this (seconds)."""
_REMEMBERED = 200_000
"""Test cases of the latest results that are kept for later duplicates: about 70 MB if every case has its own detail. A
duplicate of an older program is run again."""

_SUITES = 64
"""Suites whose converted cases are kept."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A program and the suite that judges it. Equal programs with equal `suite_id` share one run."""

    id: str
    code: str | None
    """None if the answer held no program."""
    suite_id: str
    """Stands for `entry_point`, `cases`, `limits` and `decisive`."""
    entry_point: str
    """Name of the function or class under test; "" for a script."""
    cases: tuple[TestCase | Case, ...]
    limits: Limits | None = None
    """Limits of this suite; None for those of the stream."""
    decisive: bool = False
    """Whether the run may end at the case that decides the result: see `Program`."""
    equality_key: str | None = None
    """Key that programs share if they count as equal; None to compare their text."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The result of the submission `id`. The fields are those of a `Verdict`."""

    id: str
    status: Status
    cases: tuple[CaseOutcome, ...]
    detail: str
    cpu_seconds: float | None
    peak_memory_mb: float | None
    output: str


def judge_submissions(
    submissions: Iterable[Submission], judge: Judge, limits: Limits, codes: frozenset[str]
) -> Generator[Judgement, None, None]:
    """Judge submissions.

    They are taken in their own thread, no faster than they are judged, and may arrive slowly. A caller that stops early
    waits for nothing: the threads end with the check that is running.

    Args:
        submissions: Submissions with unique ids.
        judge: Runs the programs, and nothing else meanwhile.
        limits: Limits of programs whose suite has none of its own.
        codes: The mypy error codes that make a `static_error`; if empty, only the syntax is checked.

    Yields:
        Each judgement as soon as it is known, in any order.

    Raises:
        SandboxError: The sandbox failed. Nothing was decided about submissions without a judgement (law 1).
        StaticCheckError: mypy failed, with the same consequence.
        ValueError: An expected value is not a literal.
        Exception: Whatever `submissions` raises, after those before it have been judged.
    """
    inbox: _Queue[Submission] = _Queue(_BATCH)
    outbox: _Queue[_Checked] = _Queue(_BATCH)
    pool = ThreadPool(2)
    reading = pool.apply_async(_read, (submissions, inbox))
    checking = pool.apply_async(_check, (inbox, outbox, codes))
    pool.close()
    try:
        yield from _JudgeStage(outbox, judge, limits).run()
        checking.get()
        reading.get()
    finally:
        inbox.end()
        outbox.end()


class _Queue(Generic[_T]):
    """A bounded queue between two threads, which either may end."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[_T] = deque()
        self._ended = False
        self._changed = Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: _T) -> bool:
        """Wait for room and add an item; False if the queue has ended and the item is lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._items) < self._size)
            if not self._ended:
                self._items.append(item)
                self._changed.notify_all()
            return not self._ended

    def take(self, most: int, wait: float = 0.0) -> list[_T]:
        """Wait for an item, then up to `wait` seconds for `most` of them; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._items)
            self._changed.wait_for(lambda: self._ended or len(self._items) >= most, wait)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """Accept no more items; those in the queue may still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@dataclass(frozen=True)
class _Checked:
    """A submission with the digest of its code and the result of the static check, None if there is no code."""

    submission: Submission
    digest: str
    finding: CheckResult | None


def _read(submissions: Iterable[Submission], inbox: _Queue[Submission]) -> None:
    try:
        for submission in submissions:
            if not inbox.put(submission):
                return
    finally:
        inbox.end()


def _check(inbox: _Queue[Submission], outbox: _Queue[_Checked], codes: frozenset[str]) -> None:
    size, wait = _FIRST, _MOMENT
    try:
        if not (batch := inbox.take(size, wait)):
            return
        with Checker(codes) as checker:
            while batch:
                began = time.monotonic()
                checked = _checked(batch, checker)
                wait = min(_MOMENT + (time.monotonic() - began) * (1 / _CHECK_SHARE - 1), _LONGEST_WAIT)
                size = min(size * _GROWTH, _BATCH)
                if not all(map(outbox.put, checked)):
                    return
                batch = inbox.take(size, wait)
    finally:
        inbox.end()
        outbox.end()


def _checked(batch: Sequence[Submission], checker: Checker) -> Iterator[_Checked]:
    digests = [one.equality_key or digest(one.code) for one in batch]
    findings = checker.check({key: one.code for key, one in zip(digests, batch, strict=True) if one.code is not None})
    return (_Checked(one, key, findings.get(key)) for key, one in zip(digests, batch, strict=True))


@dataclass
class _JudgeStage:
    """The end of the stream: runs the checked programs, and gives equal programs one result."""

    checked: _Queue[_Checked]
    judge: Judge
    limits: Limits
    suites: OrderedDict[str, tuple[Case, ...]] = field(default_factory=OrderedDict)
    running: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the submissions that wait for a run, by the key of equal programs."""
    recent: OrderedDict[str, Judgement] = field(default_factory=OrderedDict)
    remembered: int = 0
    """Test cases in `recent`."""
    known: list[Judgement] = field(default_factory=list)
    """Judgements that need no run and were not yielded yet."""
    sharing: int = 0
    """Submissions in `known` and `running` that made no program of their own, since results were last yielded."""

    def run(self) -> Iterator[Judgement]:
        """Judge until the stream ends.

        A run of the judge ends when nothing more is ready, so that its results never wait for submissions that arrive
        slowly.
        """
        while first := self.checked.take(1):
            for execution in self.judge.run(self._programs(first[0])):
                judgement = _executed(execution)
                self._remember(execution.id, judgement)
                for name in self.running.pop(execution.id):
                    yield replace(judgement, id=name)
                yield from self._known()
            yield from self._known()

    def _remember(self, key: str, done: Judgement) -> None:
        self.recent[key] = done
        self.remembered += 1 + len(done.cases)
        while self.remembered > _REMEMBERED:
            _, oldest = self.recent.popitem(last=False)
            self.remembered -= 1 + len(oldest.cases)

    def _known(self) -> Iterator[Judgement]:
        known, self.known, self.sharing = self.known, [], 0
        yield from known

    def _programs(self, first: _Checked) -> Iterator[Program]:
        """Yield the programs to run of the submissions that are ready."""
        program = self._program(first)
        while True:
            if program is not None:
                yield program
            if not self.checked or self.sharing > _BATCH:
                return
            program = self._program(self.checked.take(1)[0])

    def _program(self, one: _Checked) -> Program | None:
        """Return the program to run for a submission; None if its judgement is known, or is that of an equal one."""
        submission, key = one.submission, digest(one.digest, one.submission.suite_id)
        if key in self.running:
            self.running[key].append(submission.id)
        elif (judged := self._without_run(one, key)) is not None:
            self.known.append(judged)
        else:
            self.running[key] = [submission.id]
            return Program(
                id=key,
                code=submission.code or "",
                entry_point=submission.entry_point or None,
                cases=self._cases(submission),
                limits=submission.limits or self.limits,
                decisive=submission.decisive,
            )
        self.sharing += 1
        return None

    def _without_run(self, one: _Checked, key: str) -> Judgement | None:
        """Return the judgement of a submission that needs no run; None if it needs one."""
        submission, finding = one.submission, one.finding
        if key in self.recent:
            return replace(self.recent[key], id=submission.id)
        if submission.code is None or finding is None:
            return _not_run(submission, "no_code", "no code in the answer")
        return None if finding.status == "ok" else _not_run(submission, finding.status, _messages(finding))

    def _cases(self, submission: Submission) -> tuple[Case, ...]:
        """Return the converted cases: one object for all samples of a suite, by which the sandbox recognises them."""
        if submission.suite_id not in self.suites:
            self.suites[submission.suite_id] = sandbox_cases(submission.cases)
            if len(self.suites) > _SUITES:
                self.suites.popitem(last=False)
        return self.suites[submission.suite_id]


def _messages(finding: CheckResult) -> str:
    return "; ".join(f"line {error.line}: {error.message} [{error.code}]" for error in finding.errors)


def _not_run(submission: Submission, status: Status, detail: str) -> Judgement:
    return Judgement(
        id=submission.id,
        status=status,
        cases=tuple(_outcome("not_run", judged=judged_at(case)) for case in submission.cases),
        detail=detail,
        cpu_seconds=None,
        peak_memory_mb=None,
        output="",
    )


def _executed(execution: Execution) -> Judgement:
    return Judgement(
        id=execution.id,
        status=execution.status,
        cases=tuple(_outcome(case.outcome, case.detail, case.judged) for case in execution.cases),
        detail="" if execution.status == "passed" else evidence(execution),
        cpu_seconds=execution.cpu_seconds,
        peak_memory_mb=execution.peak_memory_mb,
        output=execution.output,
    )


@lru_cache(maxsize=1024)
def _outcome(outcome: Outcome, detail: str = "", judged: Literal["outside", "inside"] = "outside") -> CaseOutcome:
    """Return one object for equal outcomes, since most are equal."""
    return CaseOutcome(outcome=outcome, detail=detail, judged=judged)
