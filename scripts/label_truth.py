"""Measure how true labels are: build a dataset of benchmark problems, and compare its labels with the gold tests.

    scripts/label-truth build DIR    instructions from HumanEval+ and MBPP+; suites, samples and verdicts by plum-hub
    scripts/label-truth gold DIR     the same samples by EvalPlus' own tests; writes docs/results/label-truth
    scripts/label-truth table        the analysis, from docs/results/label-truth alone

`build` needs models (Qwen2.5-Coder 1.5B writes the suites, the 0.5B is the policy) and EvalPlus' files, takes an hour
per hundred problems on two cores, and continues where it was interrupted. `gold` takes minutes, `table` seconds.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

from plum_hub.answers.entry import with_alias
from plum_hub.answers.suite import ParsedSuite, parse_suite
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import limits_of, program
from plum_hub.judging.stream import Judgement, Submission, judge_submissions
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.rule_views import RULES
from plum_hub.pipeline.stronger import sampled_programs
from plum_hub.pipeline.vote import vote_all
from plum_hub.recipe import Recipe
from plum_hub.records import CaseOutcome, Instruction, Preference, Response, Sample, TestSuite, Verdict, digest
from plum_hub.release.preferences import PreferencesConfig, preferences
from plum_hub.release.program_form import program_form
from plum_hub.run import Run
from plum_hub.strength import WeakSuite, measure, strengthen
from plum_hub.strength.choice import SampledProgram

REPOSITORY = Path(__file__).resolve().parents[1]
BENCHMARKS = {"humaneval+": "HumanEvalPlus.jsonl.gz", "mbpp+": "MbppPlus.jsonl.gz"}
PLUM_HUB = (sys.executable, "-m", "plum_hub")
GENERATOR, POLICY = "1.5b", "0.5b"
"""Names as `scripts/fetch-model` takes them."""
PART = 200
"""Problems of one run. They are drawn in a fixed order, so that a larger number continues a smaller one."""


class Strengthening(NamedTuple):
    """How suites get further cases."""

    suites: str
    """Which suites: `best` or `vote`."""
    most: int
    """`suites.strengthen`."""
    by: str
    """`suites.strengthen_by`, or `samples` as of `plum-hub strengthen --by samples`."""


STRENGTHENED = {
    "best+5": Strengthening("best", 5, "mutants"),
    "best+60": Strengthening("best", 60, "inputs"),
    "vote+60": Strengthening("vote", 60, "inputs"),
    "best+5 by samples": Strengthening("best", 5, "samples"),
}
"""Suites with further cases. Not every folder of raw verdicts has all of them."""
REPEATED = RULES["repeated"]
"""Chosen are programs that the policy wrote more than once."""
REPEATED_IN = ("best", "best+60")
"""Suites for which the gain of `REPEATED` is stated."""
DRAWS = 2000
"""Resamples of an interval."""
LEAST_YIELD = 0.5
"""Share of the paper's chosen samples that a rule must keep: one that keeps few is tuned to those few."""


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


# The analysis


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite, and what is known of it without the gold tests."""

    id: str
    problem: str
    made_by: str
    """`best`: the self-consistent suite with the most cases (the paper's way); `vote`: as `suites.vote` merges all; or
    a key of `STRENGTHENED`."""
    cases: int
    self_consistent: int
    """Responses to this problem that were self-consistent."""
    voters: int
    """Responses whose references voted; 0 if no suite came of the vote."""
    mutation_score: float | None
    statement_coverage: float | None
    branch_coverage: float | None
    accepts_gold: bool
    """Whether the benchmark's own solution passes this suite."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One sample's verdicts by one suite and by the gold tests."""

    sample: Sample
    verdict: Verdict
    gold: bool


JudgedSamples = Mapping[tuple[str, str], Sequence[Judged]]
"""Samples by problem and `made_by`."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How true the labels of one rule are."""

    problems: int
    """Problems with a labelled sample."""
    chosen: int
    right_chosen: int
    """Chosen samples that pass the gold tests."""
    rejected: int
    right_rejected: int
    """Rejected samples that fail them."""
    gold: int
    """Samples that pass the gold tests, labelled or not."""
    wrong: int
    """Samples that fail them, labelled or not."""

    @property
    def precision(self) -> float:
        """Share of the chosen samples that pass the gold tests; 0 without any."""
        return self.right_chosen / self.chosen if self.chosen else 0.0

    def row(self) -> str:
        """Return the cells of the table."""
        cells = (
            self.problems,
            self.chosen,
            _percent(self.right_chosen, self.chosen),
            _percent(self.right_chosen, self.gold),
            self.rejected,
            _percent(self.right_rejected, self.rejected),
            _percent(self.right_rejected, self.wrong),
        )
        return " | ".join(map(str, cells))


_CELLS = ("problems", "chosen", "precision", "recall", "rejected", "precision", "recall")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A rule over verdicts, and the evidence that a suite must have."""

    made_by: str = "best"
    rule: PreferencesConfig = field(default_factory=PreferencesConfig)
    min_cases: int = 0
    min_mutation: float = 0.0
    min_voters: int = 0

    def keeps(self, suite: Suite) -> bool:
        """Tell whether a suite has enough evidence.

        Args:
            suite: The suite.

        Returns:
            Whether its samples are labelled.
        """
        return (
            suite.made_by == self.made_by
            and suite.cases >= self.min_cases
            and (suite.mutation_score or 0.0) >= self.min_mutation
            and suite.voters >= self.min_voters
        )

    def __str__(self) -> str:
        """Name what differs from the paper's rule."""
        parts = [] if self.made_by == "best" else [f"suites {self.made_by}"]
        for name, value in (
            ("cases", self.min_cases),
            ("mutation score", self.min_mutation),
            ("voters", self.min_voters),
        ):
            parts += [f"{name} >= {value:g}"] if value else []
        parts += [f"{name} {value}" for name, value in self.rule.model_dump(exclude_defaults=True).items()]
        return ", ".join(parts) or "plum (the paper's)"


def filters() -> dict[str, Filter]:
    """List what is compared.

    Returns:
        Filters by name: every view of `plum-hub views` over the paper's suites, and each kind of evidence alone.
    """
    rules = {name: Filter(rule=rule) for name, rule in RULES.items() if rule.pairs == "random"}
    paper = rules.pop("plum")
    evidence = [
        *(Filter(made_by=name) for name in ("vote", *STRENGTHENED)),
        *(Filter(made_by=name, rule=PreferencesConfig(max_passed=0.5)) for name in ("best+60", "vote+60")),
        *(Filter(made_by=name, rule=REPEATED) for name in ("best+60", "vote+60")),
        *(
            Filter(made_by="best+60", rule=REPEATED.model_copy(update=more))
            for more in ({"max_passed": 0.5}, {"deduplicate": True})
        ),
        Filter(made_by="vote", min_voters=2),
        Filter(made_by="vote", min_voters=3),
        Filter(min_cases=5),
        *(Filter(min_mutation=least) for least in (0.5, 0.8, 0.9)),
        *(Filter(rule=PreferencesConfig(min_pass_rate=least)) for least in (0.2, 0.3, 0.5)),
    ]
    return (
        {str(paper): paper}
        | {f"view {name}": rule for name, rule in rules.items()}
        | {str(one): one for one in evidence}
    )


def candidates() -> Iterator[Filter]:
    """Yield every combination of evidence that `tune` tries."""
    for made_by, cases, mutation, voters, rate in product(
        ("best", "vote", *STRENGTHENED),
        (0, 4, 5, 6, 8),
        (0.0, 0.5, 0.7, 0.8, 0.9),
        (0, 2, 3),
        tuple(rate / 10 for rate in range(9)),
    ):
        rule = PreferencesConfig(min_pass_rate=rate)
        yield Filter(made_by=made_by, min_cases=cases, min_mutation=mutation, min_voters=voters, rule=rule)


def half(problem: str) -> int:
    """Assign a problem to a half.

    Args:
        problem: Its id.

    Returns:
        0 to tune on, 1 to be run once.
    """
    return int(digest("label-truth", problem), 16) % 2


def truth_of(rule: Filter, suites: Iterable[Suite], judged: JudgedSamples) -> Truth:
    """Compare the labels of a rule with the gold tests.

    Args:
        rule: The rule.
        suites: All suites.
        judged: The samples.

    Returns:
        The counts.
    """
    counts: Counter[str] = Counter()
    labelled = set()
    for suite in suites:
        rows = judged.get((suite.problem, suite.made_by), ())
        if suite.made_by == "best":  # every problem with samples has one
            counts.update(gold=sum(row.gold for row in rows), wrong=sum(not row.gold for row in rows))
        if not rule.keeps(suite):
            continue
        verdicts = {row.sample.id: row.verdict for row in rows}
        passes = {row.sample.id: row.gold for row in rows}
        for label in preferences([row.sample for row in rows], verdicts, lambda _: "", rule.rule):
            if isinstance(label, Preference):
                labelled.add(suite.problem)
                name = "chosen" if label.label else "rejected"
                counts.update({name: 1, f"right_{name}": passes[label.sample_id] == label.label})
    keys = ("chosen", "right_chosen", "rejected", "right_rejected", "gold", "wrong")
    return Truth(problems=len(labelled), **{key: counts[key] for key in keys})


def tune(suites: Sequence[Suite], judged: JudgedSamples, goal: float) -> Filter:
    """Find the rule that keeps most chosen samples at a precision.

    Args:
        suites: The suites of the half to tune on.
        judged: The samples.
        goal: Least precision of `chosen`.

    Returns:
        Among the rules that keep `LEAST_YIELD` of the paper's chosen samples: the one that keeps most at the goal, or
        else the most precise.
    """
    found = [(truth_of(one, suites, judged), one) for one in candidates()]
    least = LEAST_YIELD * truth_of(Filter(), suites, judged).chosen
    enough = [(truth, one) for truth, one in found if truth.chosen >= least]
    reaching = [(truth, one) for truth, one in enough if truth.precision >= goal]
    if reaching:  # the first of equals, which has the fewest conditions
        return max(reaching, key=lambda pair: pair[0].chosen)[1]
    return max(enough, key=lambda pair: pair[0].precision)[1]


def read(results: Path) -> tuple[list[Suite], dict[tuple[str, str], list[Judged]]]:
    """Read the raw verdicts.

    Args:
        results: The folder of `suites.jsonl` and `samples.jsonl`.

    Returns:
        The suites, and the samples.
    """
    suites = [Suite(**row) for row in _rows(results / "suites.jsonl")]
    judged: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for row in _rows(results / "samples.jsonl"):
        name, problem = row["id"], row["problem"]
        sample = Sample(
            id=name, instruction_id=problem, suite_id="", index=0, seed=0, prompt_digest="", text="",
            code=f"form_{row['form']}", finish_reason=row["finish_reason"], prompt_tokens=0, completion_tokens=0,
            engine="",
        )  # fmt: skip
        for made_by, (status, passed) in row["verdicts"].items():
            cases = tuple(CaseOutcome(outcome="passed" if one == "1" else "wrong") for one in passed)
            verdict = Verdict(
                id=name, sample_id=name, suite_id="", instruction_id=problem, status=status, cases=cases, detail="",
                cpu_seconds=None, peak_memory_mb=None,
            )  # fmt: skip
            judged[problem, made_by].append(Judged(sample=sample, verdict=verdict, gold=row["gold"]))
    return suites, judged


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def table(results: Path, goal: float) -> None:
    """Print the truth of every view and filter on both halves, and intervals for some.

    Args:
        results: The folder of the raw verdicts.
        goal: Precision of `chosen` that the tuned rule must reach on the half to tune on.
    """
    suites, judged = read(results)
    halves = [[suite for suite in suites if half(suite.problem) == number] for number in (0, 1)]
    found = dict.fromkeys(suite.made_by for suite in suites)
    for made_by in found:
        mine = [suite for suite in suites if suite.made_by == made_by]
        right = sum(suite.accepts_gold for suite in mine)
        print(f"suites by {made_by}: {len(mine)}; the benchmark's own solution passes {right} of them")
    tuned = tune(halves[0], judged, goal)
    print(f"\n| rule | half | {' | '.join(_CELLS)} |\n|---|---|{'---:|' * len(_CELLS)}")
    compared = {name: one for name, one in filters().items() if one.made_by in found}
    for name, one in {**compared, f"tuned on A: {tuned}": tuned}.items():
        for number, letter in enumerate("AB"):
            print(f"| {name} | {letter} | {truth_of(one, halves[number], judged).row()} |")
    gaining = [Filter(made_by=name) for name in found] + [Filter(made_by=name, rule=REPEATED) for name in REPEATED_IN]
    rules = {str(one): one for one in gaining if one.made_by in found}
    print_gains({**rules, f"tuned on A: {tuned}": tuned}, halves, judged)


def print_gains(rules: Mapping[str, Filter], halves: Sequence[Sequence[Suite]], judged: JudgedSamples) -> None:
    """Print the precision of `chosen` and its gain over the paper's rule, with intervals of 95 %.

    Problems are drawn again with replacement, since the labels of one problem are not independent; both rules are
    compared on the same draw.

    Args:
        rules: The rules by name.
        halves: The suites of both halves.
        judged: The samples.
    """
    print("\n| rule | half | precision of chosen, 95 % | points over the paper's rule, 95 % |\n|---|---|---:|---:|")
    for name, rule in rules.items():
        for letter, suites in zip(("A", "B", "both"), (*halves, [*halves[0], *halves[1]]), strict=True):
            counts = [_chosen_by_problem(one, suites, judged) for one in (Filter(), rule)]
            problems = sorted({suite.problem for suite in suites})
            draw = random.Random(0)
            pairs = [_precisions(counts, draw.choices(problems, k=len(problems))) for _ in range(DRAWS)]
            paper, own = _precisions(counts, problems)
            low, high = _middle([pair[1] for pair in pairs])
            least, most = _middle([pair[1] - pair[0] for pair in pairs])
            print(
                f"| {name} | {letter} | {own:.1%} ({low:.1%} to {high:.1%}) | "
                f"{100 * (own - paper):+.1f} ({100 * least:+.1f} to {100 * most:+.1f}) |"
            )


def _chosen_by_problem(rule: Filter, suites: Sequence[Suite], judged: JudgedSamples) -> dict[str, tuple[int, int]]:
    """Return the chosen samples of each problem, and how many of them are right."""
    mine = [suite for suite in suites if suite.made_by == rule.made_by]
    truths = {suite.problem: truth_of(rule, [suite], judged) for suite in mine}
    return {problem: (truth.chosen, truth.right_chosen) for problem, truth in truths.items()}


def _precisions(counts: Sequence[Mapping[str, tuple[int, int]]], problems: Sequence[str]) -> list[float]:
    found = []
    for by_problem in counts:
        chosen, right = (sum(column) for column in zip(*(by_problem.get(one, (0, 0)) for one in problems), strict=True))
        found.append(right / chosen if chosen else 0.0)
    return found


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the middle 95 %."""
    ordered = sorted(values)
    cut = len(ordered) // 40
    return ordered[cut], ordered[-1 - cut]


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/label-truth", description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    one, two, three = (steps.add_parser(name) for name in ("build", "gold", "table"))
    for step in (one, two):
        step.add_argument("folder", type=Path)
        step.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "evalplus")
    for step in (two, three):
        step.add_argument("--results", type=Path, default=REPOSITORY / "docs" / "results" / "label-truth")
    one.add_argument("--problems", type=int, default=400)
    one.add_argument("--after", type=int, default=0, help="leave out so many of them, which were drawn first")
    one.add_argument("--responses", type=int, default=3)
    one.add_argument("--samples", type=int, default=10)
    three.add_argument("--goal", type=float, default=0.96)
    chosen = parser.parse_args()
    if chosen.step == "build":
        build(chosen.folder, chosen.data, range(chosen.after, chosen.problems), chosen.responses, chosen.samples)
    elif chosen.step == "gold":
        gold(chosen.folder, chosen.data, chosen.results)
    else:
        table(chosen.results, chosen.goal)


if __name__ == "__main__":
    main()
