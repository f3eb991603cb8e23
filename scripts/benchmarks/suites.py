"""The strength of suites beside the judging of samples: what `suites.strength` adds to a build.

The suites are those of MBPP and HumanEval with their own solutions as references. Both sides judge in the same jail,
which is warm before the clock runs, and take turns; figures are medians over the rounds. Keys:

- mutants_per_second: mutants that are judged in a second, endless ones among them;
- strength_overhead: seconds to measure the suites (references, mutants, probes, comparisons of survivors), by the
  seconds in which a build judges 20 samples a suite, mypy included; `without_mypy` is the same with the syntax check
  alone. Half of the samples are right, the others return a constant; none is endless, which would cost 6 s each.

    scripts/bench suites [--data FOLDER] [--suites 200] [--workers 2] [--rounds 3]
    scripts/bench suites --strengthen 5 [--suites 40]

The second form takes suites of MBPP that let a mutant pass, and adds cases as `suites.strengthen` does; the scores
afterwards are those of the same mutants (`same`), and of the draw that another id gives (`new`).

It needs `mbpp/mbpp.jsonl.gz` or `humaneval/HumanEval.jsonl.gz` in the folder of `--data`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from statistics import fmean, median
from typing import Any

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.humaneval import HumanEval
from plum_hub.benchmarks.mbpp import FULL, Mbpp
from plum_hub.execution import Call, Judge, Limits, Program, Statement
from plum_hub.execution.base import Case
from plum_hub.judging.cases import sandbox_cases
from plum_hub.judging.stream import Submission, judge_submissions
from plum_hub.records import SuiteStrength, TestCase, TestSuite
from plum_hub.static import DROP_CODES
from plum_hub.strength import WeakSuite, measure, mutants, strengthen

_SAMPLES = 20
_MUTANT_SECONDS = 0.2
"""CPU limit of a mutant whose reference takes at most 0.02 s, as nearly all of these do."""


def test_suites(data: Path, most: int) -> list[TestSuite]:
    """Return suites of MBPP and HumanEval in turn. Exit if neither is there."""
    files = {"mbpp/mbpp.jsonl.gz": lambda path: Mbpp("mbpp", FULL, path), "humaneval/HumanEval.jsonl.gz": HumanEval}
    found = [make(data / name).problems() for name, make in files.items() if (data / name).is_file()]
    if not found:
        sys.exit(f"scripts/bench suites: {data} has none of {', '.join(files)}; name their folder with --data FOLDER")
    problems = (one for one in chain.from_iterable(zip_longest(*found)) if one is not None)
    return [_suite(problem) for problem in islice(problems, most)]


def _suite(problem: Problem) -> TestSuite:
    return TestSuite(
        id=problem.id,
        instruction_id=problem.id,
        response_id="",
        entry_point=problem.entry_point or "",
        starter_code="",
        reference=problem.reference or "",
        cases=tuple(map(_case, problem.suites["base"])),
    )


def _case(case: Case) -> TestCase:
    if isinstance(case, Call):
        return TestCase(kind="call", call=case.expression, expected=case.expected, tolerance=case.tolerance)
    assert isinstance(case, Statement)
    return TestCase(kind="statement", statement=case.source)


def judge_mutants(suites: list[TestSuite], judge: Judge, _round: int) -> int:
    """Judge the mutants of all suites; return how many there are."""
    limits = Limits(cpu_seconds=_MUTANT_SECONDS)
    programs = (
        Program(
            id=f"{suite.id} {number}",
            code=mutant.code,
            entry_point=suite.entry_point,
            cases=cases,
            limits=limits,
            decisive=True,
        )
        for suite, cases in ((suite, sandbox_cases(suite.cases)) for suite in suites)
        for number, mutant in enumerate(mutants(suite.reference, suite.entry_point, seed=suite.id))
    )
    return sum(1 for _ in judge.run(programs))


def samples(suites: list[TestSuite], turn: int) -> Iterator[Submission]:
    """Yield 20 samples a suite, all different: the reference, and functions that return a constant, in turn."""
    for suite in suites:
        wrong = f"{suite.reference}\n\ndef {suite.entry_point}(*given, **named):  # type: ignore\n    return 'wrong'\n"
        for number in range(_SAMPLES):
            code = wrong if number % 2 else suite.reference
            yield Submission(
                id=f"{suite.id} {number}",
                code=f"{code}\n# sample {turn} {number}\n",
                suite_id=suite.id,
                entry_point=suite.entry_point,
                cases=suite.cases,
            )


def judge_samples(suites: list[TestSuite], judge: Judge, turn: int, codes: frozenset[str]) -> int:
    """Judge 20 samples a suite as a build does; return how many there are."""
    return sum(1 for _ in judge_submissions(samples(suites, turn), judge, Limits(), codes))


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long some work takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measured(suites: list[TestSuite], workers: int, rounds: int) -> dict[str, Any]:
    """Measure every side `rounds` times, in turn."""
    times: dict[str, list[float]] = {}
    results: dict[str, Any] = {}
    with Judge(workers) as judge:
        work: dict[str, Callable[[int], Any]] = {
            "mutants": lambda turn: judge_mutants(suites, judge, turn),
            "strength": lambda _: list(measure(suites, judge, Limits())),
            "samples": lambda turn: judge_samples(suites, judge, turn, frozenset(DROP_CODES)),
            "samples_without_mypy": lambda turn: judge_samples(suites, judge, turn, frozenset()),
        }
        judge_samples(suites[:8], judge, -1, frozenset(DROP_CODES))
        for turn in range(rounds):
            for name, one in work.items():
                taken, results[name] = seconds(lambda one=one, turn=turn: one(turn))
                times.setdefault(name, []).append(taken)
    return {"seconds": {name: median(taken) for name, taken in times.items()}, **results}


def strengthened(data: Path, most: int, suites: int, workers: int) -> dict[str, Any]:
    """Add cases to suites that let a mutant pass, and measure them again."""
    source = (_suite(problem) for problem in Mbpp("mbpp", FULL, data / "mbpp/mbpp.jsonl.gz").problems())
    weak: list[TestSuite] = []
    before: list[SuiteStrength] = []
    with Judge(workers) as judge:
        while len(weak) < suites and (batch := list(islice(source, suites))):
            for suite, strength in zip(batch, measure(batch, judge, Limits()), strict=True):
                if strength.mutation_score is not None and strength.killed < strength.mutants and len(weak) < suites:
                    weak.append(suite)
                    before.append(strength)
        taken, added = seconds(lambda: strengthen([WeakSuite(suite) for suite in weak], judge, Limits(), most))
        longer = [replace(suite, cases=suite.cases + cases) for suite, cases in zip(weak, added, strict=True)]
        same = list(measure(longer, judge, Limits()))
        renamed = [replace(suite, id=f"{suite.id} stronger") for suite in longer]
        new = list(measure(renamed, judge, Limits()))
    for suite, cases in zip(weak, added, strict=True):
        print(suite.id, *(f"{case.call} -> {case.expected}" for case in cases), sep="\n    ")
    return {
        "seconds_per_suite": taken / len(weak),
        "cases": sum(map(len, added)),
        "suites_with_cases": sum(map(bool, added)),
        **{name: report(found) for name, found in (("before", before), ("same", same), ("new", new))},
    }


def report(found: list[SuiteStrength]) -> dict[str, Any]:
    """Return means over the suites, where there is something to count."""
    columns = ("mutation_score", "statement_coverage", "branch_coverage")
    scores = {name: [value for one in found if (value := getattr(one, name)) is not None] for name in columns}
    counts = {name: sum(getattr(one, name) for one in found) for name in ("mutants", "killed", "equivalent")}
    return {"suites": len(found), **{name: fmean(values) for name, values in scores.items() if values}, **counts}


def main() -> None:
    """Measure; the last line is JSON."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(prog="scripts/bench suites", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default, help="folder with mbpp/ and humaneval/")
    parser.add_argument("--suites", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strengthen", type=int, default=0, metavar="N", help="add at most N cases to each suite")
    options = parser.parse_args()
    if options.strengthen:
        figures = strengthened(options.data, options.strengthen, options.suites, options.workers)
        print(json.dumps({"bench": "suites", "strengthen": options.strengthen, **figures}))
        return
    found = measured(test_suites(options.data, options.suites), options.workers, options.rounds)
    taken, details = found["seconds"], report(found["strength"])
    for name, of in (("mutants", found["mutants"]), ("samples", found["samples"]), ("strength", details["suites"])):
        print(f"{name:10}{of:8} in {taken[name]:8.2f} s: {of / taken[name]:8.1f}/s")
    print(", ".join(f"{name} {value:.3f}" for name, value in details.items() if isinstance(value, float)))
    result = {
        "bench": "suites",
        "mutants_per_second": found["mutants"] / taken["mutants"],
        "strength_overhead": taken["strength"] / taken["samples"],
        "without_mypy": taken["strength"] / taken["samples_without_mypy"],
        "details": {**details, "seconds": taken, "workers": options.workers},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
