"""`evaluate` as a library: ask a model every problem of every benchmark, or take somebody else's programs, judge them
while they come, and score."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from plum_hub.engines import EngineConfig
from plum_hub.errors import RunError
from plum_hub.evaluation.cards import eval_results, model_index, table
from plum_hub.evaluation.config import EvaluationConfig, SelectedBenchmark, choose, with_limits
from plum_hub.evaluation.estimate import what_is_asked
from plum_hub.evaluation.exports import write_results
from plum_hub.evaluation.folder import EvaluationFolder, EvaluationRecord
from plum_hub.evaluation.generations import (
    LONGEST,
    Generation,
    benchmark_of,
    matched,
    read_generations,
    refuse_strangers,
)
from plum_hub.evaluation.judge import EvaluationVerdicts, beside, together
from plum_hub.evaluation.protocol import GIVEN, Protocol, extraction
from plum_hub.evaluation.sampling import (
    ProblemProgram,
    SampleRequest,
    requests,
    shape_of,
)
from plum_hub.evaluation.scoring import BenchmarkOutcomes, EvaluationResults, JudgedSample, scores_of
from plum_hub.execution import Judge
from plum_hub.pipeline.base import EnginePool, completions
from plum_hub.pipeline.precision import dtype_note
from plum_hub.progress import Progress
from plum_hub.records import Sample, Score, digest
from plum_hub.statistics import sampling_error


def evaluate(order: EvaluationConfig, progress: Progress) -> EvaluationResults:
    """Carry out an evaluation. The same order again does only what is owed.

    Raises:
        UsageError: the generations cannot be read or do not fit, or no problem is chosen.
        BenchmarkError: a benchmark cannot be had.
        EngineError: the model cannot be had or broke; answers that came before are kept and judged by the next call.
        SandboxError, StaticCheckError: programs could not be judged; no verdict is made of that.
        RunError: the folder holds something else, is damaged or cannot be written.
    """
    with Judge(order.workers, numpy=True) as judge:
        work = _EvaluationRun(order, EvaluationFolder(order.folder), judge, progress)
        return work.of_generations() if order.generations else work.of_model()


@dataclass
class _EvaluationRun:
    order: EvaluationConfig
    folder: EvaluationFolder
    judge: Judge
    progress: Progress

    def of_generations(self) -> EvaluationResults:
        """Judge a file."""
        file = self.order.generations
        assert file is not None
        found = read_generations(file)
        names = self.order.benchmarks or (benchmark_of(found),)
        chosen = choose(names, self.order.selection, self.order.data)
        refuse_strangers(found, {name for one in chosen.values() for name in one.ids})
        entries = [
            entry
            for one in chosen.values()
            for generations in matched(found, one, partial=self.order.partial).values()
            for entry in _entries(generations, one)
        ]
        chosen = with_limits(chosen, ((entry.benchmark, entry.problem) for entry in entries), self.judge)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        judging = EvaluationVerdicts(self.folder, chosen, GIVEN, self.judge, self.progress)
        with self.folder.lock():
            head = self._head(chosen, GIVEN, samples=file.name, samples_sha256=sha256)
            began = time.monotonic()
            there = judging.begin(entries, _suites(chosen, entries))
            judging.carry_out(together(entries))
            results = self._finish(judging, entries, head, partial(_record, model=file.name, revision="", engine=""))
            return replace(results, fresh_verdicts=len(judging.done) - there, seconds=time.monotonic() - began)

    def of_model(self) -> EvaluationResults:
        """Ask a model, and judge what it answers."""
        assert self.order.model is not None
        config, protocol, chosen, wanted = what_is_asked(self.order, self.folder)
        slots = [entry for one in wanted.values() for entry in one.slots()]
        chosen = with_limits(chosen, ((entry.benchmark, entry.problem) for entry in slots), self.judge)
        judging = EvaluationVerdicts(self.folder, chosen, protocol, self.judge, self.progress.beside())
        with self.folder.lock():
            head = self._head(chosen, protocol, model=config.model_dump(mode="json"))
            began = time.monotonic()
            there = {row.id: row for row in self.folder.samples() if row.id in wanted}
            asked_before = len(there)
            entries = [entry for row in there.values() for entry in wanted[row.id].entries(row)]
            self.progress.begin("samples", len(wanted), asked_before)
            judged_before = judging.begin(entries, _suites(chosen, slots))
            with beside(judging) as put:
                for entry in entries:
                    put(entry)
                self._ask(config, {name: one for name, one in wanted.items() if name not in there}, there, put, judging)
            entries = [entry for name, one in wanted.items() for entry in one.entries(there[name])]
            engine = ", ".join(sorted({row.engine for row in there.values()}))
            if dtype := config.fixed_dtype:
                engine += f", {dtype}"
            about = partial(_record, model=config.public().model, revision=config.revision or "", engine=engine)
            results = self._finish(judging, entries, head, about)
            return replace(
                results,
                notes=(*results.notes, *_troubles(there)),
                fresh_samples=len(there) - asked_before,
                fresh_verdicts=len(judging.done) - judged_before,
                seconds=time.monotonic() - began,
            )

    def _ask(
        self,
        config: EngineConfig,
        owed: Mapping[str, SampleRequest],
        there: dict[str, Sample],
        put: Callable[[ProblemProgram], None],
        judging: EvaluationVerdicts,
    ) -> None:
        engines = EnginePool()
        if owed and (note := dtype_note(config, "--run DIR", resumed=bool(there))):
            self.progress.say(note)
        try:
            with self.folder.appending_samples() as append:
                asked = requests(config, owed)
                for completion, engine in completions(engines, config, asked, self.progress) if owed else ():
                    one = owed[completion.id]
                    there[one.id] = sample = one.sample(completion, engine)
                    append(sample)
                    self.progress.advance(tokens=completion.completion_tokens)
                    for entry in one.entries(sample):
                        put(entry)
                    if judging.halt.is_set():
                        return
        finally:
            engines.close()
        self.progress.end()

    def _head(self, chosen: Mapping[str, SelectedBenchmark], protocol: Protocol, **source: Any) -> EvaluationRecord:
        """Write `evaluation.json`. The date is kept while everything else in it stays the same."""
        head = EvaluationRecord(
            **source,
            benchmarks={name: benchmark.revision for name, benchmark in chosen.items()},
            selection=self.order.selection,
            protocol=protocol,
            harness=self.judge.harness_version,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        before = self.folder.head()
        if before is not None and before == head.model_copy(update={"date": before.date}):
            head = before
        self.folder.write_head(head)
        return head

    def _finish(
        self,
        judging: EvaluationVerdicts,
        entries: list[ProblemProgram],
        head: EvaluationRecord,
        about: Callable[..., Score],
    ) -> EvaluationResults:
        """Score, and write the files that hold the scores."""
        outcomes = {
            name: BenchmarkOutcomes(
                chosen, tuple(_judged(judging, entry) for entry in entries if entry.benchmark == name)
            )
            for name, chosen in judging.chosen.items()
        }
        scores: list[Score] = []
        for found in outcomes.values():
            record = partial(about, chosen=found.chosen, protocol=judging.protocol, head=head)
            scores += scores_of(found, record)
        results = EvaluationResults(outcomes, tuple(scores), head, tuple(_notes(outcomes)))
        files = [self.folder.write_scores(results.record())]
        for found in outcomes.values():
            files += write_results(self.folder, found, head.date)
        model = scores[0].model
        cards = {f".eval_results/{name}": text for name, text in eval_results(scores).items()}
        for file, text in {**cards, "model-index.yaml": model_index(scores, model), "table.md": table(scores)}.items():
            self.folder.write(file, text)
            files.append(file)
        return replace(results, files=tuple(files))


def _entries(generations: list[Generation], chosen: SelectedBenchmark) -> list[ProblemProgram]:
    """The programs of one problem, each named by its content and place among them."""
    entries = []
    for index, one in enumerate(generations):
        code = one.program(chosen.problems[one.problem].text)
        unfit = f"{len(code):,} characters are more than the {LONGEST:,} that are run" if len(code) > LONGEST else ""
        name = digest(one.problem, index, code)
        entries.append(ProblemProgram(name, chosen.name, one.problem, None if unfit else code, one.answer, unfit))
    return entries


def _suites(chosen: Mapping[str, SelectedBenchmark], entries: list[ProblemProgram]) -> int:
    return sum(len(chosen[entry.benchmark].problems[entry.problem].suites) for entry in entries)


def _judged(judging: EvaluationVerdicts, entry: ProblemProgram) -> JudgedSample:
    ready = judging.ready(entry)
    missing = [suite for suite in judging.needed(entry) if ready.names[suite] not in judging.done]
    if missing:
        raise RunError(f"sample {entry.sample_id}: no verdict of {', '.join(missing)}; run the same command again")
    verdicts = {suite: judging.done[ready.names[suite]] for suite in judging.needed(entry)}
    return JudgedSample(entry.sample_id, entry.problem, ready.code, entry.answer, verdicts)


def _record(
    *,
    chosen: SelectedBenchmark,
    protocol: Protocol,
    head: EvaluationRecord,
    model: str,
    revision: str,
    engine: str,
    **score: Any,
) -> Score:
    given = protocol.prompt == "given"
    form, prompt, tokens = ("given", "", None) if given else shape_of(chosen, protocol)
    return Score(
        benchmark=chosen.name,
        revision=chosen.revision,
        model=model,
        model_revision=revision,
        engine=engine,
        prompt=form,
        prompt_digest=prompt,
        extraction=extraction(chosen.name, protocol),
        temperature=None if given else protocol.temperature,
        top_p=None if given else protocol.top_p,
        max_tokens=tokens,
        harness=head.harness,
        date=head.date,
        **score,
    )


def _notes(outcomes: Mapping[str, BenchmarkOutcomes]) -> list[str]:
    """What a reader of the scores should know."""
    notes = []
    for name, found in outcomes.items():
        counts = found.counts(found.measures[0], "official")
        numbers = {samples for samples, _ in counts.values()}
        if len(numbers) > 1:
            notes.append(f"{name}: problems have from {min(numbers)} to {max(numbers)} samples")
        if error := sampling_error(list(counts.values())):
            notes.append(f"{name}: another draw of the samples would move pass@1 by {error:.1%} (one standard error)")
        if missing := len(found.chosen.problems) - len(counts):
            notes.append(f"{name}: {missing} problems without a sample are left out of the score")
        if found.chosen.caveat:
            notes.append(f"{name}: {found.chosen.caveat}")
        if left_out := len(found.chosen.ids) - len(found.chosen.problems):
            notes.append(f"{name}: {left_out} of its {len(found.chosen.ids)} problems were not chosen")
    return notes


def _troubles(samples: Mapping[str, Sample]) -> list[str]:
    """Answers that did not come to their end."""
    refused = sum(row.finish_reason == "refused" for row in samples.values())
    cut = sum(row.finish_reason == "length" for row in samples.values())
    notes = [f"{refused} prompts were refused by the model, and count as not solved"] if refused else []
    return [*notes, f"{cut} of {len(samples)} answers were cut off at the token limit"] if cut else notes
