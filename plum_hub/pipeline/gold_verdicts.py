"""Judge the samples of a run by better tests, each once: verdicts are kept in a file and read by the next call."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from plum_hub.errors import RunError
from plum_hub.execution import Judge
from plum_hub.files import locked, writing
from plum_hub.judging.cases import limits_of
from plum_hub.judging.stream import Submission, judge_submissions
from plum_hub.lines import Row, appending, object_of, whole_lines
from plum_hub.pipeline.decontamination.stage import removed_ids
from plum_hub.pipeline.gold_tests import GoldSuite, GoldTests
from plum_hub.pipeline.own_tests import RowSuite
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.progress import Progress
from plum_hub.records import Sample, TestSuite, Verdict, digest
from plum_hub.run import Run

STAGE = "gold"
"""Name of the judging, for progress."""
_PROVED = "proved"
_OTHER_INTERFACE = "other_interface"
"""Why tests do not judge: they call a class where the run's suite asks for a function, and the like."""
_SYNTAX_ONLY: frozenset[str] = frozenset()
"""The mypy codes of the static check: better tests decide by what a program does."""


@dataclass(frozen=True, kw_only=True)
class GoldReport:
    """What better tests say of the samples of a run."""

    verdicts: Mapping[str, bool] = field(repr=False)
    """Whether each sample passes, by its id."""
    file: Path
    """Where the verdicts are kept."""
    instructions: int
    """Instructions whose samples were judged by the run."""
    unknown: int
    """Those of them that the source of the tests does not have."""
    unknown_samples: int
    """Samples of these."""
    left_out: Mapping[str, int]
    """Instructions whose tests decide nothing, by reason: they cannot be read, their own solution fails them, a stub
    passes them, or they call another kind of program."""
    judged_now: int
    """Programs that this call judged, solutions of the source not counted."""

    def as_json(self) -> dict[str, object]:
        """Return the counts as JSON values."""
        values = {name: getattr(self, name) for name in ("instructions", "unknown", "unknown_samples", "judged_now")}
        return {**values, "left_out": dict(self.left_out), "samples": len(self.verdicts), "file": str(self.file)}


def judge_gold(run: Run, tests: GoldTests, file: Path, progress: Progress) -> GoldReport:
    """Judge every sample that has a verdict of the run and no gold verdict yet.

    Args:
        run: The run.
        tests: The tests.
        file: Keeps the verdicts; made where it is missing.
        progress: Is told about each verdict.

    Returns:
        The verdicts.

    Raises:
        RunError: The file is damaged, cannot be written, or another process writes to it; or the run is damaged.
        SandboxError: Programs cannot be run on this machine. Verdicts made before are kept.
        StaticCheckError: The syntax check failed, with the same consequence.
    """
    settings = run.recipe.verdicts
    busy = RunError(f"{file}: another plum-hub process is writing to it; wait for it")
    with ExitStack() as held:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(file, lambda: busy))
        known = _known(file)
        judge = held.enter_context(Judge(sandbox=settings.sandbox, numpy=settings.numpy, pandas=settings.pandas))
        append = held.enter_context(appending(file))
        return _GoldJudging(run, tests, file, judge, append, progress, known).report()


@dataclass
class _GoldJudging:
    run: Run
    tests: GoldTests
    file: Path
    judge: Judge
    append: Callable[[Row], None]
    progress: Progress
    statuses: dict[str, str]
    """Results that are known, by id."""
    verdicts: dict[str, bool] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Reasons by instruction."""
    fresh: int = 0

    def report(self) -> GoldReport:
        chosen = self._proved()
        instructions: set[str] = set()
        unknown: Counter[str] = Counter()
        self.progress.begin(STAGE, _count(self.run), 0)
        for suites, samples in _judged_samples(self.run):
            instructions |= {sample.instruction_id for sample in samples}
            fitting: dict[str, GoldSuite] = {}
            for suite in suites.values():
                gold = chosen.get(suite.instruction_id)
                if gold is not None and gold.fits(suite):
                    fitting[suite.id] = gold
                elif gold is not None:
                    self.left_out[suite.instruction_id] = _OTHER_INTERFACE
            pending = [(one, suites[one.suite_id], fitting[one.suite_id]) for one in samples if one.suite_id in fitting]
            for sample in samples:
                if sample.suite_id not in fitting:
                    self.progress.advance()
                    unknown[sample.instruction_id] += sample.instruction_id not in self.left_out
            self._judge(pending)
        self.progress.end()
        unknown = +unknown
        reasons = Counter(reason for name, reason in self.left_out.items() if name in instructions)
        return GoldReport(
            verdicts=self.verdicts,
            file=self.file,
            instructions=len(instructions),
            unknown=len(unknown),
            unknown_samples=unknown.total(),
            left_out=dict(reasons.most_common()),
            judged_now=self.fresh,
        )

    def _proved(self) -> dict[str, GoldSuite]:
        """Return the tests of each instruction that their own solution passes, if there is one."""
        self.left_out = dict(self.tests.unusable)
        suites = {suite.id: suite for readings in self.tests.suites.values() for suite in readings}
        keys = {name: self._key(STAGE, "proof", suite) for name, suite in suites.items()}
        fresh = {name: suite for name, suite in suites.items() if keys[name] not in self.statuses}
        for name, result in self._proofs(fresh):
            self._keep({"id": keys[name], "suite": name, "status": result})
        found = {}
        for instruction, readings in self.tests.suites.items():
            results = {suite.id: self.statuses[keys[suite.id]] for suite in readings}
            first = next((suite for suite in readings if results[suite.id] == _PROVED), None)
            if first is None:
                self.left_out[instruction] = results[readings[0].id]
            else:
                found[instruction] = first
        return found

    def _proofs(self, suites: Mapping[str, GoldSuite]) -> Iterator[tuple[str, str]]:
        """Prove suites of rows as a build does, and let a benchmark's solutions pass their own tests."""
        rows: dict[str, RowSuite] = {name: suite.row for name, suite in suites.items() if suite.row is not None}
        if rows:
            executions = run_proofs(rows, self.judge, limits_of(self.run.recipe.verdicts))
            for name, row in rows.items():
                yield name, unproved(name, executions, row)[0] or _PROVED
        others = {name: suite for name, suite in suites.items() if suite.row is None}
        solutions = {name: (suite, suite.reference) for name, suite in others.items() if suite.reference}
        passed = {name: status == "passed" for name, status in self._run(solutions)}
        for name in others:
            yield name, _PROVED if passed.get(name, True) else "reference_failed"

    def _judge(self, pending: Sequence[tuple[Sample, TestSuite, GoldSuite]]) -> None:
        """Judge samples, those of one suite next to one another."""
        programs: dict[str, tuple[GoldSuite, str | None]] = {}
        waiting: dict[str, list[Sample]] = defaultdict(list)
        for sample, suite, gold in sorted(pending, key=lambda one: one[2].id):
            code = gold.program(sample.code, suite.entry_point)
            key = self._key(digest(code), "verdict", gold)
            waiting[key].append(sample)
            if key not in self.statuses:
                programs[key] = (gold, code)
        for key, status in self._run(programs):
            self._keep({"id": key, "suite": programs[key][0].id, "status": status})
            self.fresh += 1
        for key, samples in waiting.items():
            for sample in samples:
                self.verdicts[sample.id] = self.statuses[key] == "passed"
                self.progress.advance()

    def _run(self, programs: Mapping[str, tuple[GoldSuite, str | None]]) -> Iterator[tuple[str, str]]:
        """Yield the status of each program: of the first part that it does not pass, else `passed`."""
        left, place = dict(programs), 0
        limits = limits_of(self.run.recipe.verdicts)
        while left:
            submissions = [_submission(key, suite, code, place) for key, (suite, code) in left.items()]
            with closing(judge_submissions(submissions, self.judge, limits, _SYNTAX_ONLY)) as stream:
                for one in stream:
                    if one.status != "passed" or place + 1 == len(left[one.id][0].parts):
                        del left[one.id]
                        yield one.id, one.status
            place += 1

    def _key(self, code: str, kind: str, suite: GoldSuite) -> str:
        limits = asdict(limits_of(self.run.recipe.verdicts))
        return digest(STAGE, kind, code, suite.id, self.judge.harness_version, limits)

    def _keep(self, row: Row) -> None:
        self.append(row)
        self.statuses[row["id"]] = row["status"]


def _submission(key: str, suite: GoldSuite, code: str | None, place: int) -> Submission:
    part = suite.parts[place]
    return Submission(
        id=key,
        code=code,
        suite_id=f"{suite.id} {place}",
        entry_point=suite.entry_point,
        cases=part.cases,
        limits=part.limits,
        decisive=True,
    )


def _count(run: Run) -> int:
    """Count the samples that views label."""
    removed = removed_ids(run)
    return sum(name not in removed for shard in run.shards for (name,) in shard.columns(Verdict, "sample_id"))


def _judged_samples(run: Run) -> Iterator[tuple[dict[str, TestSuite], list[Sample]]]:
    """Yield the suites of each shard, and those of its samples that views label."""
    removed = removed_ids(run)
    for shard in run.shards:
        judged = {name for (name,) in shard.columns(Verdict, "sample_id")} - removed
        suites = {suite.id: suite for suite in shard.rows(TestSuite)}
        yield suites, [sample for sample in shard.rows(Sample) if sample.id in judged]


def _known(file: Path) -> dict[str, str]:
    """Read the results in the file."""
    found: dict[str, str] = {}
    for number, line in whole_lines(file):
        try:
            row = object_of(line)
            name, status = row["id"], row["status"]
        except (ValueError, KeyError) as error:
            raise RunError(
                f"{file}:{number}: is damaged; delete this line, and the same command judges its program again"
            ) from error
        found[str(name)] = str(status)
    return found
