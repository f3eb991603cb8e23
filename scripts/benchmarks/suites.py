"""The strength of suites beside the judging of samples: what `suites.strength` adds to a build; and votes.

The suites are those of MBPP and HumanEval with their own solutions as references. Each side has a judge of its own,
which is warm before the clock runs, and they take turns; figures are medians over the rounds. Keys:

- mutants_per_second: mutants by the seconds that measuring the suites takes, with all that belongs to it: references,
  endless mutants, coverage, comparisons of survivors;
- mutants_per_cpu_second: mutants by the CPU seconds of all processes meanwhile, which a busy machine changes less;
- strength_overhead: these seconds, by those in which a build judges 20 samples a suite, mypy included. Half of the
  samples are right, the others return a constant, and 3 of 1,860 are endless, as in docs/results/label-truth;
- without_endless: the same, with samples of which none is endless;
- cpu_overhead: as strength_overhead, by CPU seconds of all processes, less those that a judge takes to start;
- vote_seconds: seconds for an instruction with six responses to be merged by a vote, the proof of the result included.

    scripts/bench suites [--data FOLDER] [--suites 200] [--workers 2] [--rounds 3]
    scripts/bench suites --strengthen 5 [--suites 40]

The second form takes suites of MBPP that let a mutant pass, and adds cases as `suites.strengthen` does; the scores
afterwards are those of the same mutants (`same`), and of the draw that another id gives (`new`).

It needs `mbpp/mbpp.jsonl.gz` or `humaneval/HumanEval.jsonl.gz` in the folder of `--data`.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from statistics import fmean, median
from typing import Any

from plum_hub.answers.suite import ParsedSuite
from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.humaneval import HumanEval
from plum_hub.benchmarks.mbpp import FULL, Mbpp
from plum_hub.execution import Call, Judge, Limits, Statement
from plum_hub.execution.base import Case, Steps
from plum_hub.judging.stream import Submission, judge_submissions
from plum_hub.pipeline.proof import run_proofs, unproved
from plum_hub.pipeline.vote import vote_all
from plum_hub.records import SuiteStrength, TestCase, TestSuite
from plum_hub.static import DROP_CODES
from plum_hub.strength import WeakSuite, measure, strengthen

_SAMPLES = 20
_ENDLESS = 620
"""One sample of so many is endless: 3 of the 1,860 in docs/results/label-truth."""
_RESPONSES = 6


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
    assert isinstance(case, Statement | Steps)
    return TestCase(kind="statement", statement=case.source)


def samples(suites: list[TestSuite], turn: int, *, endless: bool) -> Iterator[Submission]:
    """Yield 20 samples a suite, all different: the reference, and functions that return a constant, in turn."""
    for place, suite in enumerate(suites):
        head = f"\n\ndef {suite.entry_point}(*given, **named):  # type: ignore\n"
        for number in range(_SAMPLES):
            code = f"{suite.reference}{head}    return 'wrong'\n" if number % 2 else suite.reference
            if endless and (place * _SAMPLES + number) % _ENDLESS == _ENDLESS - 1:
                code = f"{suite.reference}{head}    while True:\n        pass\n"
            yield Submission(
                id=f"{suite.id} {number}",
                code=f"{code}\n# sample {turn} {number}\n",
                suite_id=suite.id,
                entry_point=suite.entry_point,
                cases=suite.cases,
            )


def judge_samples(suites: list[TestSuite], judge: Judge, turn: int, *, endless: bool = True) -> int:
    """Judge 20 samples a suite as a build does; return how many there are."""
    given = samples(suites, turn, endless=endless)
    return sum(1 for _ in judge_submissions(given, judge, Limits(), frozenset(DROP_CODES)))


def vote(suites: list[TestSuite], judge: Judge) -> int:
    """Merge six responses to each instruction by a vote, and prove the result; return how many were proved.

    Each response has all cases but one; of the sixth, the last expected value is wrong.
    """
    groups = [[_response(suite, number) for number in range(_RESPONSES)] for suite in suites]
    limits, most = Limits(), 20 * _RESPONSES
    merged = [one.suite for one in vote_all(groups, judge, limits, min_cases=1, max_cases=most)]
    proved = {str(number): suite for number, suite in enumerate(merged) if suite is not None}
    executions = run_proofs(proved, judge, limits)
    return sum(unproved(name, executions, suite)[0] is None for name, suite in proved.items())


def _response(suite: TestSuite, number: int) -> ParsedSuite:
    cases = tuple(case for place, case in enumerate(suite.cases) if place % _RESPONSES != number)
    if number == _RESPONSES - 1 and cases[-1].kind == "call":
        cases = (*cases[:-1], replace(cases[-1], expected="'wrong'"))
    reference = f"{suite.reference}\n# response {number}\n"
    return ParsedSuite(entry_point=suite.entry_point, starter_code="", reference=reference, cases=cases)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long some work takes, and its result."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    both = (resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def measured(suites: list[TestSuite], workers: int, rounds: int) -> dict[str, Any]:
    """Measure every side `rounds` times, in turn."""
    times: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    results: dict[str, Any] = {}
    work: dict[str, Callable[[Judge, int], Any]] = {
        "strength": lambda judge, _: list(measure(suites, judge, Limits())),
        "samples": lambda judge, turn: judge_samples(suites, judge, turn),
        "samples, none endless": lambda judge, turn: judge_samples(suites, judge, turn, endless=False),
        "votes": lambda judge, _: vote(suites, judge),
        "start": lambda *_: None,
    }
    for turn in range(rounds):
        for name, one in work.items():
            before = cpu_seconds()
            with Judge(workers) as judge:
                judge_samples(suites[:8], judge, -1, endless=False)
                taken, results[name] = seconds(lambda one=one, judge=judge, turn=turn: one(judge, turn))
            times.setdefault(name, []).append(taken)
            cpu.setdefault(name, []).append(cpu_seconds() - before)
    spent = {name: median(taken) for name, taken in times.items()}
    used = {name: median(taken) - median(cpu["start"]) for name, taken in cpu.items()}
    return {"seconds": spent, "cpu_seconds": used, **results}


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
    taken, cpu, details = found["seconds"], found["cpu_seconds"], report(found["strength"])
    sizes = {"strength": details["suites"], "samples": found["samples"], "votes": details["suites"]}
    for name, of in ({"mutants": details["mutants"]} | sizes).items():
        spent = taken["strength" if name == "mutants" else name]
        print(f"{name:10}{of:8} in {spent:8.2f} s: {of / spent:8.1f}/s")
    print(", ".join(f"{name} {value:.3f}" for name, value in details.items() if isinstance(value, float)))
    result = {
        "bench": "suites",
        "mutants_per_second": details["mutants"] / taken["strength"],
        "mutants_per_cpu_second": details["mutants"] / cpu["strength"],
        "strength_overhead": taken["strength"] / taken["samples"],
        "without_endless": taken["strength"] / taken["samples, none endless"],
        "cpu_overhead": cpu["strength"] / cpu["samples"],
        "vote_seconds": taken["votes"] / details["suites"],
        "votes_proved": found["votes"],
        "load": os.getloadavg()[0],
        "details": {**details, "seconds": taken, "cpu_seconds": cpu, "workers": options.workers},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
