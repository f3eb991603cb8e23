"""Measure how true labels are: build a dataset of benchmark problems, and compare its labels with the gold tests.

    scripts/label-truth build DIR    instructions from HumanEval+ and MBPP+; suites, samples and verdicts by plum-hub
    scripts/label-truth gold DIR     the same samples by EvalPlus' own tests; writes docs/results/label-truth
    scripts/label-truth table        the analysis, from docs/results/label-truth and label-truth-unseen alone

`build` needs models (Qwen2.5-Coder 1.5B writes the suites, the 0.5B is the policy) and EvalPlus' files, takes an hour
per hundred problems on two cores, and continues where it was interrupted. `gold` takes minutes, `table` seconds.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from label_truth_tables import STRENGTHENED, Strengthening, Suite, table

from plum_hub.answers.entry import with_alias
from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import limits_of, program
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.stronger import sampled_programs
from plum_hub.pipeline.vote import vote_all
from plum_hub.recipe import Recipe
from plum_hub.records import Instruction, Response, Sample, TestSuite, Verdict, digest
from plum_hub.release.program_form import program_form
from plum_hub.run import Run
from plum_hub.strength import WeakSuite, measure, strengthen
from plum_hub.strength.choice import SampledProgram

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "docs" / "results" / "label-truth"
UNSEEN = REPOSITORY / "docs" / "results" / "label-truth-unseen"
BENCHMARKS = {"humaneval+": "HumanEvalPlus.jsonl.gz", "mbpp+": "MbppPlus.jsonl.gz"}
PLUM_HUB = (sys.executable, "-m", "plum_hub")
GENERATOR, POLICY = "1.5b", "0.5b"
"""Names as `scripts/fetch-model` takes them."""
PART = 200
"""Problems of one run. They are drawn in a fixed order, so that a larger number continues a smaller one."""


# The build


def problems(data: Path) -> Iterator[dict[str, Any]]:
    """Read the problems of both benchmarks.

    Args:
        data: The folder with EvalPlus' files.

    Yields:
        Rows as EvalPlus publishes them.
    """
    for file in BENCHMARKS.values():
        with gzip.open(data / file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def instruction(problem: Mapping[str, Any]) -> str:
    """Word a problem as an instruction, without its solution.

    Args:
        problem: A row of EvalPlus.

    Returns:
        For HumanEval+ the signature with its docstring; for MBPP+ the sentence and its one example.
    """
    prompt: str = problem["prompt"]
    if problem["task_id"].startswith("HumanEval/"):
        return f"Write this Python function as its docstring says:\n\n```python\n{prompt.strip()}\n```"
    return prompt.strip().strip('"').strip()


def build(folder: Path, data: Path, drawn: range, responses: int, samples: int) -> None:
    """Build the dataset: suites by the generator, samples by the policy, verdicts.

    Args:
        folder: Where instructions and runs go, `PART` problems each. An interrupted build continues.
        data: The folder with EvalPlus' files.
        drawn: Which problems, of both benchmarks together in an order that a fixed seed draws.
        responses: Answers of the generator for each problem.
        samples: Samples of the policy for each suite.
    """
    rows = list(problems(data))
    random.Random(0).shuffle(rows)
    problems_left = iter(rows[drawn.start : drawn.stop])
    for number, part in enumerate(iter(lambda: list(islice(problems_left, PART)), []), 1):
        place = folder / f"part-{number}"
        if (place / "run" / "release").is_dir():
            continue
        _write(place / "instructions.jsonl", ({"instruction": instruction(one), "id": one["task_id"]} for one in part))
        settings = {
            "suites.responses": responses, "suites.temperature": 0.6, "suites.max_tokens": 768,
            "samples.per_instruction": samples, "samples.max_tokens": 512,
            "decontamination.benchmarks": "[]",  # the instructions are the benchmark
        }  # fmt: skip
        subprocess.run(
            [
                *PLUM_HUB, "build-dataset", "--instructions", place / "instructions.jsonl",
                "--generator", _model(GENERATOR), "--model", _model(POLICY), "--run", place / "run", "--hub", "none",
                *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
            ],
            check=True,
        )  # fmt: skip


def _model(name: str) -> str:
    done = subprocess.run([REPOSITORY / "scripts/fetch-model", name], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


# The gold tests


def gold(folder: Path, data: Path, results: Path) -> None:
    """Judge the samples by EvalPlus' own tests, measure the suites, and write the raw verdicts.

    Args:
        folder: The folder of `build`.
        data: The folder with EvalPlus' files.
        results: Where `suites.jsonl` (a row for each suite) and `samples.jsonl` (a row for each sample) go.
    """
    by_text = {instruction(row): row for row in problems(data)}
    suites: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for place in sorted(folder.glob("part-*")):
        run = Run.open(place / "run")
        tasks = {row.id: by_text[row.text] for row in run.rows(Instruction)}
        best = {suite.instruction_id: suite for suite in run.rows(TestSuite)}
        limits = limits_of(run.recipe.verdicts)
        with Judge() as judge:
            consistent = _self_consistent(run, judge)
            voters, voted = _voted(consistent, judge, limits)
            made = {"best": best, "vote": voted}
            programs = {name: found for shard in run.shards for name, found in sampled_programs(shard).items()}
            for by, how in STRENGTHENED.items():
                made[by] = _strengthened(made[how.suites], consistent, judge, limits, how, programs)
            suites += _suite_rows(made, consistent, voters, tasks, judge, limits)
        samples += _sample_rows(place, data, run, made, tasks)
    _write(results / "suites.jsonl", suites)
    _write(results / "samples.jsonl", samples)


def _self_consistent(run: Run, judge: Judge) -> dict[str, list[tuple[Response, ParsedSuite]]]:
    """Return the self-consistent responses to each instruction, as the build proves them."""
    config, limits = run.recipe.suites, limits_of(run.recipe.verdicts)
    read = {
        response.id: (response, suite)
        for response in sorted(run.rows(Response), key=lambda one: one.index)
        for suite in [parse_suite(response.text, min_cases=config.min_cases, max_cases=config.max_cases)]
        if isinstance(suite, ParsedSuite)
    }
    executions = run_proofs({name: suite for name, (_, suite) in read.items()}, judge, limits)
    found: dict[str, list[tuple[Response, ParsedSuite]]] = defaultdict(list)
    for name, (response, suite) in read.items():
        if unproved(name, executions, suite)[0] is None:
            found[response.instruction_id].append((response, suite))
    return found


def _voted(
    consistent: Mapping[str, Sequence[tuple[Response, ParsedSuite]]], judge: Judge, limits: Limits
) -> tuple[dict[str, int], dict[str, TestSuite]]:
    """Return the number of voters and the suite that a build with `suites.vote` would keep, by instruction."""
    votes = vote_all([[suite for _, suite in group] for group in consistent.values()], judge, limits)
    results = {name: vote for name, vote in zip(consistent, votes, strict=True) if vote.suite is not None}
    merged = {name: vote.suite for name, vote in results.items() if vote.suite is not None}
    executions = run_proofs(merged, judge, limits)
    suites = {}
    for name, suite in merged.items():
        if unproved(name, executions, suite)[0] is None:
            suites[name] = TestSuite.of(name, suite)
    return {name: len(result.voters) for name, result in results.items()}, suites


def _strengthened(
    suites: Mapping[str, TestSuite],
    consistent: Mapping[str, Sequence[tuple[Response, ParsedSuite]]],
    judge: Judge,
    limits: Limits,
    how: Strengthening,
    programs: Mapping[str, Sequence[SampledProgram]],
) -> dict[str, TestSuite]:
    """Return the suites with further cases, as a build or `plum-hub strengthen` adds them."""
    weak = []
    for name, suite in suites.items():
        rivals = [TestSuite.of(name, one, response_id=response.id) for response, one in consistent[name]]
        others = [one for one in rivals if one.reference != suite.reference]
        weak.append(WeakSuite(suite, others, programs.get(suite.id, ()) if how.by == "samples" else ()))
    added = strengthen(weak, judge, limits, how.most, all_inputs=how.by == "inputs")
    stronger = {
        name: replace(suite, id=digest(suite.id, [asdict(case) for case in cases]), cases=(*suite.cases, *cases))
        for (name, suite), cases in zip(suites.items(), added, strict=True)
        if cases
    }
    executions = run_proofs(stronger, judge, limits)
    proved = {name for name, suite in stronger.items() if unproved(name, executions, suite)[0] is None}
    return {name: stronger[name] if name in proved else suite for name, suite in suites.items()}


def _suite_rows(
    made: Mapping[str, Mapping[str, TestSuite]],
    consistent: Mapping[str, Sequence[object]],
    voters: Mapping[str, int],
    tasks: Mapping[str, Mapping[str, Any]],
    judge: Judge,
    limits: Limits,
) -> Iterator[dict[str, Any]]:
    """Yield the evidence on each suite, and whether the benchmark's own solution passes it."""
    suites = {suite.id: suite for by_instruction in made.values() for suite in by_instruction.values()}
    strengths = {strength.id: strength for strength in measure(suites.values(), judge, limits)}
    programs = [
        program(name, _gold_solution(tasks[suite.instruction_id], suite), suite.entry_point, suite.cases, limits)
        for name, suite in suites.items()
    ]
    accepted = {execution.id: execution.status == "passed" for execution in judge.run(programs)}
    for made_by, by_instruction in made.items():
        for name, suite in by_instruction.items():
            strength = strengths[suite.id]
            row = Suite(
                id=suite.id,
                problem=tasks[name]["task_id"],
                made_by=made_by,
                cases=len(suite.cases),
                self_consistent=len(consistent[name]),
                voters=voters.get(name, 0),
                mutation_score=strength.mutation_score,
                statement_coverage=strength.statement_coverage,
                branch_coverage=strength.branch_coverage,
                accepts_gold=accepted[suite.id],
            )
            yield asdict(row)


def _gold_solution(task: Mapping[str, Any], suite: TestSuite) -> str:
    """Return the benchmark's solution under the name that the suite calls."""
    solution = f"{task['prompt']}{task['canonical_solution']}"
    return with_alias(solution, task["entry_point"], suite.entry_point or task["entry_point"]) or ""


def _sample_rows(
    place: Path,
    data: Path,
    run: Run,
    made: Mapping[str, Mapping[str, TestSuite]],
    tasks: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Yield each sample's verdicts by all suites and by the gold tests."""
    samples, best = list(run.rows(Sample)), made["best"]
    verdicts = {sample.id: {} for sample in samples}  # type: dict[str, dict[str, tuple[str, str]]]
    for verdict in run.rows(Verdict):
        verdicts[verdict.sample_id]["best"] = _outcome(verdict)
    for by in ("vote", *STRENGTHENED):
        for judgement in _judged_by(made[by], best, samples, run.recipe):
            verdicts[judgement.id][by] = _outcome(judgement)
    programs = []
    for sample in samples:
        task = tasks[sample.instruction_id]
        code = with_alias(sample.code, best[sample.instruction_id].entry_point, task["entry_point"]) or ""
        programs.append((sample.id, str(task["task_id"]), code))
    passes = _gold_passes(place, data, programs)
    for sample in samples:
        yield {
            "id": sample.id,
            "problem": tasks[sample.instruction_id]["task_id"],
            "finish_reason": sample.finish_reason,
            "form": digest(program_form(sample.code or "")),
            "verdicts": verdicts[sample.id],
            "gold": passes[sample.id],
        }


def _judged_by(
    suites: Mapping[str, TestSuite], best: Mapping[str, TestSuite], samples: Sequence[Sample], recipe: Recipe
) -> Iterator[Judgement]:
    """Judge the samples by other suites of the same instructions, as a build does: mypy first, then the sandbox."""
    config = recipe.verdicts
    submissions = [
        Submission(
            id=sample.id,
            code=with_alias(sample.code, best[sample.instruction_id].entry_point, suite.entry_point),
            suite_id=suite.id,
            entry_point=suite.entry_point,
            cases=suite.cases,
        )
        for sample in samples
        if (suite := suites.get(sample.instruction_id)) is not None
    ]
    with Judge() as judge:
        yield from judge_submissions(submissions, judge, limits_of(config), frozenset(config.mypy_codes))


def _outcome(verdict: Verdict | Judgement) -> tuple[str, str]:
    return verdict.status, "".join("1" if case.outcome == "passed" else "0" for case in verdict.cases)


def _gold_passes(place: Path, data: Path, programs: Sequence[tuple[str, str, str]]) -> dict[str, bool]:
    """Judge programs (id, task, code) by base and plus tests; return whether each passes both."""
    passes: dict[str, bool] = {}
    for benchmark, file in BENCHMARKS.items():
        prefix = "HumanEval/" if benchmark.startswith("humaneval") else "Mbpp/"
        mine = [one for one in programs if one[1].startswith(prefix)]
        if not mine:
            continue
        source, judged = place / f"{benchmark}.jsonl", place / f"gold-{benchmark}"
        _write(source, ({"task_id": task, "solution": code} for _, task, code in mine))
        subprocess.run(
            [
                *PLUM_HUB, "evaluate", "--samples", source, "--benchmark", benchmark,
                "--partial", "--examples", "removed", "--data", data / file, "--run", judged, "-q",
            ],
            check=True,
        )  # fmt: skip
        results = json.loads((judged / f"{benchmark}_eval_results.json").read_text(encoding="utf-8"))["eval"]
        rows = {task: iter(found) for task, found in results.items()}
        for name, task, _ in mine:  # both are in the order of the file, problem by problem
            row = next(rows[task])
            passes[name] = row["base_status"] == row["plus_status"] == "pass"
    return passes


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/label-truth", description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    one, two, three = (steps.add_parser(name) for name in ("build", "gold", "table"))
    for step in (one, two):
        step.add_argument("folder", type=Path)
        step.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "evalplus")
    for step in (two, three):
        step.add_argument("--results", type=Path, default=RESULTS)
    one.add_argument("--problems", type=int, default=400)
    one.add_argument("--after", type=int, default=0, help="leave out so many of them, which were drawn first")
    one.add_argument("--responses", type=int, default=3)
    one.add_argument("--samples", type=int, default=10)
    three.add_argument("--unseen", type=Path, default=UNSEEN, help="results on problems by which no rule was chosen")
    three.add_argument("--goal", type=float, default=0.96)
    chosen = parser.parse_args()
    if chosen.step == "build":
        build(chosen.folder, chosen.data, range(chosen.after, chosen.problems), chosen.responses, chosen.samples)
    elif chosen.step == "gold":
        gold(chosen.folder, chosen.data, chosen.results)
    else:
        table(chosen.results, chosen.unseen, chosen.goal)


if __name__ == "__main__":
    main()
