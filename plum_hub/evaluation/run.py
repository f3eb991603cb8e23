"""`evaluate` as a library.

Asks a model the problems of benchmarks, or reads programs from a file, judges them while they arrive, and scores them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from plum_hub.engines import EngineConfig
from plum_hub.errors import RunError, UsageError
from plum_hub.evaluation.cards import eval_results, model_index, table
from plum_hub.evaluation.config import EvaluationConfig, SelectedBenchmark, select_benchmarks, with_limits
from plum_hub.evaluation.estimate import expected_tokens, notes_before, resolve_requests
from plum_hub.evaluation.exports import write_results
from plum_hub.evaluation.folder import EVAL_RESULTS, EvaluationFolder, EvaluationRecord
from plum_hub.evaluation.generations import (
    MAX_CHARACTERS,
    Generation,
    benchmark_of,
    generations_sha256,
    match_generations,
    note_on_answers,
    read_generations,
    refuse_unknown,
    with_whole_ids,
)
from plum_hub.evaluation.judge import EvaluationVerdicts, in_batches, judging_in_background
from plum_hub.evaluation.protocol import GIVEN, Protocol, extraction, protocol_label
from plum_hub.evaluation.sampling import (
    ProblemProgram,
    SampleRequest,
    engine_requests,
    prompt_facts,
)
from plum_hub.evaluation.scoring import BenchmarkOutcomes, EvaluationResults, JudgedSample, scores_of
from plum_hub.execution import Judge
from plum_hub.pipeline.base import BATCHES, EnginePool, completions
from plum_hub.pipeline.precision import dtype_note
from plum_hub.progress import Progress
from plum_hub.records import Sample, Score, digest
from plum_hub.statistics import sampling_error


def evaluate(config: EvaluationConfig, progress: Progress) -> EvaluationResults:
    """Carry out an evaluation. The same call again only does what remains.

    Args:
        config: What is evaluated and how.
        progress: Is told about samples and verdicts.

    Returns:
        The scores and the verdicts they rest on.

    Raises:
        UsageError: The generations cannot be read or do not match, no problem is selected, or the protocol has no
            prompt for a benchmark.
        MissingExtraError: The package of the protocol is not installed.
        BenchmarkError: A benchmark is unknown or cannot be loaded.
        EngineError: The model cannot be opened or failed. Answers that arrived before are kept, and judged by the next
            call.
        SandboxError: Programs cannot be run on this machine, or the sandbox failed. This makes no verdict.
        StaticCheckError: The syntax check failed. This makes no verdict.
        RunError: The folder holds something else, is damaged or cannot be written.
    """
    with Judge(config.workers, numpy=True) as judge:
        run = _EvaluationRun(config, EvaluationFolder(config.folder), judge, progress)
        return run.of_generations() if config.generations else run.of_model()


@dataclass
class _EvaluationRun:
    config: EvaluationConfig
    folder: EvaluationFolder
    judge: Judge
    progress: Progress

    def of_generations(self) -> EvaluationResults:
        """Judge the programs of a file."""
        file = self.config.generations
        assert file is not None
        programs = read_generations(file)
        names = self.config.benchmarks or (benchmark_of(programs),)
        chosen = select_benchmarks(names, self.config.selection, self.config.data)
        known = {name for one in chosen.values() for name in one.ids}
        programs = with_whole_ids(programs, known)
        refuse_unknown(programs, known)
        entries = [
            entry
            for one in chosen.values()
            for generations in match_generations(programs, one, partial=self.config.partial).values()
            for entry in _entries(generations, one)
        ]
        chosen = with_limits(chosen, ((entry.benchmark, entry.problem) for entry in entries), self.judge)
        sha256 = generations_sha256(file)
        judging = EvaluationVerdicts(self.folder, chosen, GIVEN, self.judge, self.progress)
        with self.folder.lock():
            head = self._head(chosen, GIVEN, samples=file.name, samples_sha256=sha256)
            began = time.monotonic()
            verdicts_before = judging.begin(entries, _suites(chosen, entries))
            judging.carry_out(in_batches(entries))
            results = self._finish(judging, entries, head, partial(_record, model=file.name, revision="", engine=""))
            return replace(
                results,
                notes=(*results.notes, *note_on_answers(programs)),
                fresh_verdicts=len(judging.done) - verdicts_before,
                seconds=time.monotonic() - began,
            )

    def of_model(self) -> EvaluationResults:
        """Ask a model, and judge its answers."""
        assert self.config.model is not None
        model, protocol, chosen, samples = resolve_requests(self.config, self.folder)
        for note in notes_before(self.config, protocol, chosen):
            self.progress.say(note)
        slots = [entry for one in samples.values() for entry in one.slots()]
        chosen = with_limits(chosen, ((entry.benchmark, entry.problem) for entry in slots), self.judge)
        judging = EvaluationVerdicts(self.folder, chosen, protocol, self.judge, self.progress.beside())
        with self.folder.lock():
            head = self._head(chosen, protocol, model=model.model_dump(mode="json"))
            began = time.monotonic()
            answered = {row.id: row for row in self.folder.samples() if row.id in samples}
            samples_before = len(answered)
            entries = [entry for row in answered.values() for entry in samples[row.id].entries(row)]
            self.progress.begin("samples", len(samples), samples_before)
            verdicts_before = judging.begin(entries, _suites(chosen, slots))
            with judging_in_background(judging) as put:
                for entry in entries:
                    put(entry)
                self._ask(
                    model, {name: one for name, one in samples.items() if name not in answered}, answered, put, judging
                )
            entries = [entry for name, one in samples.items() for entry in one.entries(answered[name])]
            engine = ", ".join(sorted({row.engine for row in answered.values()}))
            if dtype := model.fixed_dtype:
                engine += f", {dtype}"
            about = partial(_record, model=model.public().model, revision=model.revision or "", engine=engine)
            results = self._finish(judging, entries, head, about)
            return replace(
                results,
                notes=(*results.notes, *_incomplete(answered)),
                fresh_samples=len(answered) - samples_before,
                fresh_verdicts=len(judging.done) - verdicts_before,
                seconds=time.monotonic() - began,
            )

    def _ask(
        self,
        model: EngineConfig,
        pending: Mapping[str, SampleRequest],
        answered: dict[str, Sample],
        put: Callable[[ProblemProgram], None],
        judging: EvaluationVerdicts,
    ) -> None:
        engines = EnginePool()
        if pending:
            self.progress.expect(expected_tokens(pending.values(), answered.values()))
        if pending and (note := dtype_note(model, "--run DIR", resumed=bool(answered))):
            self.progress.say(note)
        try:
            with self.folder.appending_samples() as append:
                requests = engine_requests(model, pending)
                folder, halt = self.folder.path / BATCHES, judging.halt
                answers = completions(engines, model, requests, self.progress, folder, halt) if pending else ()
                for completion, engine in answers:
                    one = pending[completion.id]
                    answered[one.id] = sample = one.sample(completion, engine)
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
        """Write `evaluation.json`. The date is kept while everything else in it stays the same.

        Raises:
            UsageError: The folder holds the evaluation of another model, whose scores would be lost.
        """
        head = EvaluationRecord(
            **source,
            benchmarks={name: benchmark.revision for name, benchmark in chosen.items()},
            selection=self.config.selection,
            protocol=protocol,
            harness=self.judge.harness_version,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        before = self.folder.head()
        if before is not None:
            _refuse_another(before, head, self.folder)
            if before == head.model_copy(update={"date": before.date}):
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
        """Compute the scores, and write the files that hold them."""
        outcomes = {
            name: BenchmarkOutcomes(
                chosen, tuple(_judged(judging, entry) for entry in entries if entry.benchmark == name)
            )
            for name, chosen in judging.chosen.items()
        }
        scores: list[Score] = []
        for benchmark in outcomes.values():
            record = partial(about, chosen=benchmark.chosen, protocol=judging.protocol, head=head)
            scores += scores_of(benchmark, record)
        results = EvaluationResults(outcomes, tuple(scores), head, tuple(_notes(outcomes)))
        files = [self.folder.write_scores(results.record())]
        for benchmark in outcomes.values():
            files += write_results(self.folder, benchmark, head.date)
        model = scores[0].model
        cards = {f"{EVAL_RESULTS}/{name}": text for name, text in eval_results(scores).items()}
        self.folder.keep_only(EVAL_RESULTS, cards)
        for file, text in {**cards, "model-index.yaml": model_index(scores, model), "table.md": table(scores)}.items():
            self.folder.write(file, text)
            files.append(file)
        return replace(results, files=tuple(files))


def _entries(generations: list[Generation], chosen: SelectedBenchmark) -> list[ProblemProgram]:
    """Return the programs of one problem, each named by its content and its position among them."""
    entries = []
    for index, one in enumerate(generations):
        problem = chosen.problems[one.problem]
        # A task in words has no code that a completion could continue.
        code = one.program(problem.text if problem.kind == "completion" else "")
        # The text is part of the ids of verdicts, so its wording stays.
        invalid = (
            f"{len(code):,} characters are more than the {MAX_CHARACTERS:,} that are run"
            if len(code) > MAX_CHARACTERS
            else ""
        )
        name = digest(one.problem, index, code)
        entries.append(ProblemProgram(name, chosen.name, one.problem, None if invalid else code, one.answer, invalid))
    return entries


def _suites(chosen: Mapping[str, SelectedBenchmark], entries: list[ProblemProgram]) -> int:
    return sum(len(chosen[entry.benchmark].problems[entry.problem].suites) for entry in entries)


def _refuse_another(before: EvaluationRecord, head: EvaluationRecord, folder: EvaluationFolder) -> None:
    """Refuse to write over the scores of another model or file of programs.

    Weights that changed at the same place are the same model, and so is a file that has the same name.
    """
    one, other = ((record.model or {}).get("model") or record.samples for record in (before, head))
    revisions = {(record.model or {}).get("revision") for record in (before, head)}
    if one != other and (len(revisions) > 1 or None in revisions):
        raise UsageError(f"{folder.path} holds the evaluation of {one}: name another folder with --run")


def _judged(judging: EvaluationVerdicts, entry: ProblemProgram) -> JudgedSample:
    prepared = judging.prepare(entry)
    missing = [suite for suite in judging.needed_suites(entry) if prepared.names[suite] not in judging.done]
    if missing:
        raise RunError(f"sample {entry.sample_id}: no verdict of {', '.join(missing)}; run the same command again")
    verdicts = {suite: judging.done[prepared.names[suite]] for suite in judging.needed_suites(entry)}
    return JudgedSample(entry.sample_id, entry.problem, prepared.code, entry.answer, verdicts)


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
    style, prompt, tokens = ("given", "", None) if given else prompt_facts(chosen, protocol)
    return Score(
        benchmark=chosen.name,
        revision=chosen.revision,
        model=model,
        model_revision=revision,
        engine=engine,
        protocol=protocol_label(chosen.name, protocol),
        prompt=style,
        prompt_digest=prompt,
        extraction=extraction(chosen.name, protocol),
        temperature=None if given else protocol.temperature,
        top_p=None if given else protocol.top_p,
        max_tokens=tokens,
        harness=head.harness,
        date=head.date,
        of_problems=len(chosen.ids),
        caveat=chosen.caveat,
        **score,
    )


def _notes(outcomes: Mapping[str, BenchmarkOutcomes]) -> list[str]:
    """Return remarks that a reader of the scores needs."""
    notes = []
    for name, benchmark in outcomes.items():
        counts = benchmark.counts(benchmark.measures[0], "official")
        numbers = {samples for samples, _ in counts.values()}
        if len(numbers) > 1:
            notes.append(f"{name}: problems have from {min(numbers)} to {max(numbers)} samples")
        if error := sampling_error(list(counts.values())):
            notes.append(f"{name}: another draw of the samples would move pass@1 by {error:.1%} (one standard error)")
        if missing := len(benchmark.chosen.problems) - len(counts):
            notes.append(f"{name}: {missing} problems without a sample are left out of the score")
        if benchmark.chosen.caveat:
            notes.append(f"{name}: {benchmark.chosen.caveat}")
        if left_out := len(benchmark.chosen.ids) - len(benchmark.chosen.problems):
            notes.append(f"{name}: {left_out} of its {len(benchmark.chosen.ids)} problems were not selected")
    return notes


def _incomplete(samples: Mapping[str, Sample]) -> list[str]:
    """Return remarks on answers that are incomplete."""
    refused = sum(row.finish_reason == "refused" for row in samples.values())
    cut = sum(row.finish_reason == "length" for row in samples.values())
    notes = [f"{refused} prompts were refused by the model, and count as not solved"] if refused else []
    return [*notes, f"{cut} of {len(samples)} answers were cut off at the token limit"] if cut else notes
