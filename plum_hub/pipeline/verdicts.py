"""Stage `verdicts`: what happened when each sample met its suite: first the static check, then the sandbox.

It goes on in a thread of its own while the samples are made. The file of samples is the queue between the two: a sample
is judged as soon as it is kept, however far behind the judge is, and memory does not grow with the run.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.pool import ThreadPool
from threading import Event

from plum_hub.answers.code import EXTRACTION
from plum_hub.errors import RunError
from plum_hub.execution import Judge
from plum_hub.judging.cases import limits_of
from plum_hub.judging.stream import Judgement, Submission, judged
from plum_hub.pipeline.base import Context, carried_over
from plum_hub.progress import Progress
from plum_hub.recipe import Recipe
from plum_hub.records import Sample, TestSuite, Verdict, digest, from_json
from plum_hub.run import Run
from plum_hub.static import checker_version

STAGE = "verdicts"
_LOOK_SECONDS = 0.1
"""How often the file of samples is looked at for new ones."""
_PARTING_SECONDS = 1.0
"""How long a failure of the other side waits for judging to end, which waits for the programs that run in this moment.
After that it is left alone, and makes no more rows."""

_MIXED = (
    "{run}: its verdicts were made by another version of the sandbox, Python, mypy or the extraction of programs than "
    "is here ({sandbox}, {static_check}, extraction {extraction}), and verdicts of two are never mixed; judge anew: "
    "plum-hub build-dataset --recipe {run}/recipe.yaml --run {run}-2 --carry-over {run}"
)


@contextmanager
def judging(context: Context, samples: int) -> Iterator[Event]:
    """Give a verdict to every sample, those too that are appended while the block goes on; the block's end waits for
    the last. An error inside the block ends the judging soon, and what it has not decided is owed.

    Args:
        samples: how many there will be at most.

    Yields:
        An event that is set when judging broke, for the block to end early; the error comes at its end.

    Raises:
        RunError: the run holds verdicts of another version of the sandbox or the static check (before the block).
        SandboxError: programs cannot be run here, or the sandbox broke; no verdict is made of that (law 1).
        StaticCheckError: the same for mypy.
    """
    settings = context.run.recipe.verdicts
    work = _VerdictsStage(context.run, Judge(sandbox=settings.sandbox, numpy=settings.numpy), context.progress.beside())
    work.begin(context.donor, samples)
    pool = ThreadPool(1)  # of a daemon, which no exit waits for
    task = pool.apply_async(work.carry_out)
    pool.close()
    try:
        yield work.halt
        work.sampled.set()
        task.get()
    finally:
        work.halt.set()
        work.sampled.set()
        task.wait(_PARTING_SECONDS)


def harness_of(recipe: Recipe, sandbox: str, static_check: str, extraction: str) -> dict[str, object]:
    """Everything beside sample and suite that decides about a verdict: part of its id, and of the manifest.

    Args:
        recipe: gives the limits.
        sandbox: version of the sandbox.
        static_check: version of the static check.
        extraction: version of the extraction of programs; "" for rows of before it was part of the id.
    """
    versions = {"sandbox": sandbox, "static_check": static_check} | ({"extraction": extraction} if extraction else {})
    return {**versions, "limits": asdict(limits_of(recipe.verdicts))}


@dataclass
class _VerdictsStage:
    run: Run
    judge: Judge
    progress: Progress
    sampled: Event = field(default_factory=Event)
    """Set when no more samples come."""
    halt: Event = field(default_factory=Event)
    """Set when either side has come to its end: the other may stop."""
    done: set[str] = field(default_factory=set)
    waiting: dict[str, Sample] = field(default_factory=dict)
    """Samples that are being judged, by the id of their verdict."""

    def begin(self, donor: Run | None, samples: int) -> None:
        """Find what is done, and take over what the donor has."""
        recipe = self.run.recipe
        self.static_check = checker_version(frozenset(recipe.verdicts.mypy_codes))
        self.harness = harness_of(recipe, self.judge.harness_version, self.static_check, EXTRACTION)
        for name, sample, suite in self.run.columns(Verdict, "id", "sample_id", "suite_id"):
            if name != digest(sample, suite, self.harness):
                raise RunError(_MIXED.format(run=self.run.folder, **self.harness))
            self.done.add(name)
        if any(extraction != EXTRACTION for (extraction,) in self.run.columns(Sample, "extraction")):
            raise RunError(_MIXED.format(run=self.run.folder, **self.harness))
        self.progress.begin(STAGE, samples, len(self.done))
        if donor is None:
            return
        owed = {self._name(sample) for sample in self.run.rows(Sample)} - self.done
        with self.run.appending(Verdict) as append:
            for verdict in carried_over(donor, Verdict, owed):
                if verdict.id not in self.done:
                    self.done.add(verdict.id)
                    append(verdict)
                    self.progress.advance()

    def carry_out(self) -> None:
        """Judge what is owed, until no more samples come or `halt` is set."""
        settings = self.run.recipe.verdicts
        stream = judged(self._submissions(), self.judge, limits_of(settings), frozenset(settings.mypy_codes))
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
                    f"sample {sample.id}: its suite {sample.suite_id} is not in the run; bring suites.jsonl back"
                )
            self.waiting[name] = sample
            yield Submission(
                id=name, code=sample.code, suite_id=suite.id, entry_point=suite.entry_point, cases=suite.cases
            )

    def _samples(self) -> Iterator[Sample]:
        """The file's samples, and those that are appended to it, until `sampled` is set."""
        position, ended = 0, False
        while not ended:
            ended = self.sampled.wait(_LOOK_SECONDS)  # first, so that what was kept before it is seen
            with self.run.path(Sample).open("rb") as file:
                file.seek(position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # being written, or torn and about to be cut off
                    position += len(line)
                    yield from_json(Sample, json.loads(line))

    def _verdict(self, sample: Sample, judgement: Judgement) -> Verdict:
        return Verdict(
            id=judgement.id,
            sample_id=sample.id,
            suite_id=sample.suite_id,
            instruction_id=sample.instruction_id,
            status=judgement.status,
            cases=judgement.cases,
            detail=judgement.detail,
            cpu_seconds=judgement.cpu_seconds,
            peak_memory_mb=judgement.peak_memory_mb,
            output=judgement.output,
            sandbox=self.judge.harness_version,
            static_check=self.static_check,
        )
