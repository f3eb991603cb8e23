"""Stage `verdicts`: judge each sample by its suite, first with the static check, then in the sandbox.

It runs in its own thread while the samples are generated. The file of samples is the queue between the two: a sample is
judged as soon as it is kept, however far behind the judge is, and memory does not grow with the run.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from shlex import quote
from threading import Event

from plum_hub.errors import RunError
from plum_hub.execution import Judge
from plum_hub.judging.cases import judge_of, limits_of
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.lines import object_of
from plum_hub.pipeline.base import Context, carried_over
from plum_hub.pipeline.extraction import extraction_of
from plum_hub.progress import Progress
from plum_hub.recipe import Recipe
from plum_hub.records import Sample, TestSuite, Verdict, digest, from_json
from plum_hub.remedies import made_anew
from plum_hub.run import Run
from plum_hub.static import checker_version

STAGE = "verdicts"
"""Name of the stage."""
_POLL_SECONDS = 0.1
"""How often the file of samples is read for new ones."""
_SHUTDOWN_SECONDS = 1.0
"""How long a failure elsewhere waits for judging to stop, which first waits for the programs that are running. After
that the thread is abandoned, and makes no more rows."""

_MIXED = (
    "{run}: its verdicts were made by another version of the sandbox, Python, mypy or the extraction of programs than "
    "the present one ({sandbox}, {static_check}, extraction {extraction}), and verdicts of two versions are never "
    "mixed; judge again:  {command}"
)


@contextmanager
def judging(context: Context, samples: int) -> Iterator[Event]:
    """Judge the samples of a run in another thread while the block runs.

    Samples that are appended meanwhile are judged too, and the end of the block waits for the last one. An error inside
    the block stops the judging soon; samples without a verdict are judged by the next call.

    Args:
        context: The run.
        samples: Most samples that there will be.

    Yields:
        An event that is set if judging failed, so that the block can end early. The error is raised at its end.

    Raises:
        RunError: The run holds verdicts of another version of the sandbox or the static check (raised before the
            block).
        SandboxError: Programs cannot be run on this machine, or the sandbox failed. This makes no verdict (law 1).
        StaticCheckError: mypy cannot be run, or failed.
    """
    settings = context.run.recipe.verdicts
    verdicts = _VerdictsStage(
        context.run,
        judge_of(settings),
        context.progress.beside(),
        context.benchmark_data,
    )
    verdicts.begin(context.donor, samples)
    pool = ThreadPool(1)  # its thread is a daemon, so that the process can exit
    task = pool.apply_async(verdicts.carry_out)
    pool.close()
    try:
        yield verdicts.halt
        verdicts.sampled.set()
        task.get()
    finally:
        verdicts.halt.set()
        verdicts.sampled.set()
        task.wait(_SHUTDOWN_SECONDS)


def harness_of(recipe: Recipe, sandbox: str, static_check: str, extraction: str) -> dict[str, object]:
    """Gather everything besides sample and suite that decides a verdict.

    It is part of the verdict's id, and of the manifest.

    Args:
        recipe: Gives the limits.
        sandbox: Version of the sandbox.
        static_check: Version of the static check.
        extraction: Version of the extraction of programs; "" for rows made before it was part of the id.

    Returns:
        JSON values for `digest`.
    """
    versions = {"sandbox": sandbox, "static_check": static_check} | ({"extraction": extraction} if extraction else {})
    return {**versions, "limits": asdict(limits_of(recipe.verdicts))}


@dataclass
class _VerdictsStage:
    run: Run
    judge: Judge
    progress: Progress
    benchmark_data: Path | None = None
    sampled: Event = field(default_factory=Event)
    """Set when no more samples will come."""
    halt: Event = field(default_factory=Event)
    """Set when either side has ended, so that the other may stop."""
    done: set[str] = field(default_factory=set)
    waiting: dict[str, Sample] = field(default_factory=dict)
    """Samples that are being judged, by the id of their verdict."""

    def _mixed(self) -> RunError:
        data = "" if self.benchmark_data is None else f" --benchmark-data {quote(str(self.benchmark_data))}"
        command = f"{made_anew(self.run.folder)}{data}"
        return RunError(_MIXED.format(run=self.run.folder, command=command, **self.harness))

    def begin(self, donor: Run | None, samples: int) -> None:
        """Find the verdicts that exist, and take over those of the donor."""
        recipe = self.run.recipe
        self.static_check = checker_version(frozenset(recipe.verdicts.mypy_codes))
        extraction = extraction_of(recipe)
        self.harness = harness_of(recipe, self.judge.harness_version, self.static_check, extraction)
        for name, sample, suite in self.run.columns(Verdict, "id", "sample_id", "suite_id"):
            if name != digest(sample, suite, self.harness):
                raise self._mixed()
            self.done.add(name)
        if any(found != extraction for (found,) in self.run.columns(Sample, "extraction")):
            raise self._mixed()
        self.progress.begin(STAGE, samples, len(self.done))
        if donor is None:
            return
        texts, pending = dict[str, str](), set[str]()
        for one in self.run.rows(Sample):
            if (verdict_id := self._name(one)) not in self.done:
                texts[one.id] = digest(one.text)
                pending.add(verdict_id)
        # The donor may have lost a sample, whose text here is another one; its verdict is of the text that it had.
        same = {one.id for one in donor.rows(Sample) if texts.get(one.id) == digest(one.text)} if pending else set()
        with self.run.appending(Verdict) as append:
            for verdict in carried_over(self.run, donor, Verdict, pending):
                if verdict.sample_id in same and verdict.id not in self.done:
                    self.done.add(verdict.id)
                    append(verdict)
                    self.progress.advance()

    def carry_out(self) -> None:
        """Judge the pending samples, until no more come or `halt` is set."""
        settings = self.run.recipe.verdicts
        stream = judge_submissions(self._submissions(), self.judge, limits_of(settings), frozenset(settings.mypy_codes))
        try:
            with self.judge, self.run.appending(Verdict) as append, closing(stream):
                for judgement in stream:
                    if self.halt.is_set():
                        return
                    sample = self.waiting.pop(judgement.id)
                    append(self._verdict(sample, judgement))
                    self.progress.advance()
            self.progress.end()
        finally:
            self.halt.set()

    def _name(self, sample: Sample) -> str:
        return digest(sample.id, sample.suite_id, self.harness)

    def _submissions(self) -> Iterator[Submission]:
        suites = {suite.id: suite for suite in self.run.rows(TestSuite)}
        for sample in self._samples():
            name = self._name(sample)
            if name in self.done:
                continue
            suite = suites.get(sample.suite_id)
            if suite is None:
                raise RunError(
                    f"sample {sample.id}: its suite {sample.suite_id} is not in the run; restore suites.jsonl"
                )
            self.waiting[name] = sample
            yield Submission(
                id=name, code=sample.code, suite_id=suite.id, entry_point=suite.entry_point, cases=suite.cases
            )

    def _samples(self) -> Iterator[Sample]:
        """Yield the samples in the file, and those that are appended to it until `sampled` is set."""
        position, ended = 0, False
        while not ended:
            ended = self.sampled.wait(_POLL_SECONDS)  # before reading, so that the last samples are seen
            with self.run.path(Sample).open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # being written, or incomplete and about to be removed
                    position += len(line)
                    yield from_json(Sample, object_of(line))

    def _verdict(self, sample: Sample, judgement: Judgement) -> Verdict:
        return Verdict(
            **vars(judgement),  # its fields mean the same
            sample_id=sample.id,
            suite_id=sample.suite_id,
            instruction_id=sample.instruction_id,
            sandbox=self.judge.harness_version,
            static_check=self.static_check,
        )
