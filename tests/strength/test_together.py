"""Mutants that share a process, and the steps by which endless ones are stopped."""

import ast
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from plum_hub.execution import Call, Execution, Judge, Limits, Program
from plum_hub.execution.base import Value
from plum_hub.records import TestCase
from plum_hub.strength import measure, mutants, together
from plum_hub.strength.coverage import probes
from plum_hub.strength.measure import run_all
from plum_hub.strength.shared import can_share
from plum_hub.strength.steps import StepPlaces, counting
from tests.strength.measuring import CLAMP, RecordingJudge, strength, suite

FAULTY = {
    "plain": (CLAMP, ["clamp(5, 0, 10)", "clamp(-1, 0, 10)"]),
    "recursive": ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n", ["f(0)", "f(5)"]),
    "cached": (
        "from functools import cache\n@cache\ndef f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\n",
        ["f(1)", "f(30)"],
    ),
    "runs in C for ever": (
        "from itertools import repeat\ndef f(n):\n    return sum(repeat(1, n // 10**12)) + 1\n", ["f(1)", "f(10**12)"],
    ),
    "takes all memory": ("def f(n):\n    return len([0] * (n // 10**9)) + n\n", ["f(10**10)", "f(5)"]),
    "keeps a list": ("SEEN = []\ndef f(x):\n    SEEN.append(x)\n    return len(SEEN)\n", ["f(1)", "f(2)", "f(2)"]),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 0\ndef f(x):\n    return P(x).x * 2\n",
        ["f(1)", "f(4)"],
    ),
    "handles its errors": (
        "def f(x):\n  try:\n    while x > 2: x -= 1\n    return 10 // x\n  except BaseException:\n    return 'no'\n",
        ["f(0)", "f(3)"],
    ),
}  # fmt: skip
"""References with their calls: of each, a mutant does what the name says."""


@pytest.mark.parametrize("kind", FAULTY)
def test_mutants_that_share_a_process_are_judged_as_if_each_had_its_own(judge: Judge, kind: str) -> None:
    reference, calls = FAULTY[kind]
    scope: dict[str, Any] = {}
    exec(reference, scope)
    entry_point = "clamp" if kind == "plain" else "f"
    cases = [(call, repr(eval(call, scope))) for call in calls]
    shared = suite(reference, entry_point, *cases)
    alone = suite(f"import os\n{reference}", entry_point, *cases)
    assert can_share(shared)
    assert not can_share(alone)
    recording: Any = RecordingJudge(judge)
    (first,) = measure([shared], recording, Limits(cpu_seconds=1.0), most=100)
    (second,) = measure([alone], judge, Limits(cpu_seconds=1.0), most=100)
    assert {program.id for program in recording.programs} == {"0"}  # none had to be run alone
    assert first == second
    assert first.mutants > 2


def test_what_reaches_beyond_the_program_is_not_shared() -> None:
    for line in (
        "import time", "from os import path", "x = open('a')", "import numpy as np", "x = input()",
        "import sys as s", "import sys\nx = sys.argv", "import sys\nsys.maxsize = 1", "from sys import path",
    ):  # fmt: skip
        assert not can_share(suite(f"{line}\ndef f(x):\n    return x\n", "f", ("f(1)", "1"))), line
    assert not can_share(suite("print(input())\n", "", TestCase(kind="stdio", stdin="1", stdout="1")))
    statement = TestCase(kind="statement", statement="import time\ntime.tzset()\nassert f(1) == 1")
    assert not can_share(suite("def f(x):\n    return x\n", "f", statement))
    for line in ("import random", "import sys\nx = sys.maxsize", "from sys import setrecursionlimit as s"):
        assert can_share(suite(f"{line}\ndef f(input):\n    return input\n", "f", ("f(1)", "1"))), line


def test_each_variant_starts_with_the_same_random_numbers_and_recursion_limit(judge: Judge) -> None:
    reference = (
        "import random, sys\nsys.setrecursionlimit(sys.getrecursionlimit() + 500)\nrandom.random()\n"
        "def f(n):\n    return [n, sys.getrecursionlimit(), random.randint(0, 10**9)]\n"
    )
    calls = ("f(1)", "f(2)")
    given = Program(
        id="", code=reference, entry_point="f", cases=tuple(Value(expression=call) for call in calls), limits=Limits()
    )
    values = [case.value or "" for case in next(judge.run([given])).cases]
    recording: Any = RecordingJudge(judge)
    (found,) = measure([suite(reference, "f", *zip(calls, values, strict=True))], recording, Limits(), most=100)
    assert {program.id for program in recording.programs} == {"0"}
    (alone,) = measure(
        [suite(f"import os\n{reference}", "f", *zip(calls, values, strict=True))], judge, Limits(), most=100
    )
    assert found == alone
    assert found.mutation_score == 1.0


# Steps

AWKWARD = '''import functools
@functools.cache
@functools.wraps(print)
def f(n):
    """Text."""
    async def g(): pass
    def only_text():
        "No step."
    while n > 3: n -= 1; n += 0
    for x in [1]:
        @functools.cache
        def h(): return "ä"
        if n: n -= 1
        elif x: n = [y for y in (1, 2)]
    else:
        x = "äöü"; y = 1
    class C:
        def m(self):
            match n:
                case 1: return f"{n:{n}}"
    pairs = {k: [v for _, v in (({k: n}).items())if v] for k in(1, 2)if k if n}
    return tabs(sum(a for a, *_ in ["ä", *[b for b in lists(n)
        if b]] if a) + len({c for c in lambda_(lambda: [d for d in "ä"])})); n
async def later(n): return [x async for x in n if [y for y in x]]
def texts(n): return f"{[x for x in n]}" + str(sum(x for x in n))
def tabs(z):
\twhile z:
\t\tif z:
\t\t\tfor x in "ä":
\t\t\t\tif x: break
\t\tz -= 1
'''


def test_steps_are_counted_in_every_body_of_a_loop_or_function() -> None:
    tree = ast.parse(AWKWARD)
    with counting(StepPlaces.of(tree)):
        wanted = ast.unparse(tree)
    assert wanted.count("__step__()") == 11
    assert wanted.count("__items__(") == 9
    assert ast.unparse(tree) == ast.unparse(ast.parse(AWKWARD))  # the tree is as it was
    for mutant in mutants(AWKWARD, "f", most=500):
        tree = ast.parse(mutant.code)
        with counting(StepPlaces.of(tree)):
            assert ast.unparse(ast.parse(mutant.counting)) == ast.unparse(ast.parse(ast.unparse(tree)))


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "for _ in iter(int, 1): n += 1",
        "return f(n - 1) + f(n - 1) if n > -60 else 0",
        "[0 for _ in iter(int, 1)]",
        "any(x for x in iter(int, 1))",
    ],
)
def test_an_endless_variant_is_stopped_by_its_steps_alone(
    judge: Judge, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "LEAST", (1_000, 10_000.0))
    sources = [f"def f(n):\n    {one}\n    return n\n" for one in ("n = n", body, "n += 1", "n += 0")]
    counted = [probes(one, "f").marked for one in sources]
    cases = (Call(expression="f(1)", expected="1"),)
    shared = together.Together("0", counted[0], cases, counted[1:], Limits(cpu_seconds=10_000.0), again=True)
    run_all(judge, {"0": shared})
    assert shared.passed == {0: False, 1: False, 2: True}
    assert shared.used[0] == 1


def test_items_of_comprehensions_are_steps(judge: Judge) -> None:
    """A reference that spends its time in them, most of whose mutants take as long, measures no more of them than one
    with loops."""
    reference = (
        "def f(n):\n    if n < 0:\n        return -1\n"
        "    return sum(x for y in range(n) for x in [z for z in range(n) if z == y] if x >= 0)\n"
    )
    given = suite(reference, "f", ("f(1300)", str(sum(range(1300)))))
    (found,) = measure([given], judge, Limits(), most=100)
    drawn = mutants(reference, "f", most=100, seed=given.id)
    assert 0 < found.mutants < len(drawn)
    assert found.killed <= found.mutants


def test_mutants_of_a_slow_reference_cost_little_more_than_itself(judge: Judge) -> None:
    """A reference of 1.5 million steps, most of whose mutants pass, and take as many."""
    spare = "".join(f"    spare = n * {number}\n" for number in range(2, 12))
    reference = f"def f(n):\n{spare}    total = 0\n    for i in range(n):\n        total += i\n    return total\n"
    drawn = mutants(reference, "f", most=100, seed="suite of f")
    recording: Any = RecordingJudge(judge)
    expected = str(sum(range(1_500_000)))
    (found,) = measure([suite(reference, "f", ("f(1500000)", expected))], recording, Limits(), most=100)
    assert {program.id for program in recording.programs} == {"0"}
    assert 0 < found.mutants < len(drawn) / 2
    assert found.killed < found.mutants
    assert found.statement_coverage == 1.0
    (quick,) = strength(judge, suite(reference, "f", ("f(1500)", str(sum(range(1500))))))
    assert quick.mutants == len(drawn)
    # Each takes a step for each number, so the third is begun within the 2,500 and the fourth is not.
    counting, case = reference.replace("        total", "        __step__(); total"), ("f(1000)", "499500")
    cases = (Call(expression=case[0], expected=case[1]),)
    shared = together.Together("0", counting, cases, [one.counting for one in drawn], Limits(), together=2_500)
    run_all(judge, {"0": shared})
    assert [shared.passed[number] for number in range(4)] == [True, False, True, None]
    assert {*list(shared.passed.values())[3:]} == {None}


def test_a_mutant_meets_the_quick_cases_first(judge: Judge) -> None:
    reference = "def f(n):\n    for i in range(n):\n        __step__()\n    return n\n"
    cases = tuple(Call(expression=f"f({n})", expected=str(n)) for n in (90_000, 3, 30_000, 2))
    seen: list[Execution] = []

    class Seen(together.Together):
        def take(self, execution: Execution) -> None:
            seen.append(execution)
            super().take(execution)

    variants = [reference.replace("return n", "return n + 1"), "def f(n):\n    return n\n"]
    shared = Seen("0", reference, cases, variants, Limits(), again=True)
    run_all(judge, {"0": shared})
    (execution,) = seen
    first, *others = [json.loads(ast.literal_eval(case.value or "None")) for case in execution.cases[1:5]]
    assert first[3] == ["90000", "3", "30000", "2"]
    assert others == [[3, [[1, "4", "3"]]], [0, []], [True]]
    assert shared.passed == {0: False, 1: True}
    assert shared.passes


def test_programs_that_follow_from_results_do_not_wait_for_all_others(judge: Judge) -> None:
    runs: list[int] = []

    class Counting:
        def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
            runs.append(0)
            for execution in judge.run(programs):
                runs[-1] += 1
                yield execution

    class Plan:
        left = 2

        def __init__(self, name: str) -> None:
            self.name = name

        def program(self) -> Program | None:
            return (
                Program(id=self.name, code="x = 1", entry_point=None, cases=(), limits=Limits()) if self.left else None
            )

        def take(self, execution: Execution) -> None:
            assert execution.status == "passed"
            self.left -= 1

    plans = {name: Plan(name) for name in map(str, range(100))}
    counting: Any = Counting()
    run_all(counting, plans)
    assert sum(runs) == 200
    assert runs[0] > 150
    assert not any(plan.left for plan in plans.values())


def test_values_that_are_right_in_another_form_are_compared_to_the_end(judge: Judge) -> None:
    """A mutant whose floats differ a little in every case, and one that is wrong in the last."""
    reference = "def f(x):\n    return x / 3, {1, 9}\n"
    variants = [
        "def f(x):\n    return x * 0.333333, {9, 1}\n",
        "def f(x):\n    return x * (0.333333 if x < 3 else 0.34), {9, 1}\n",
    ]  # fmt: skip
    cases = tuple(Call(expression=f"f({x})", expected=f"({x / 3}, {{9, 1}})", tolerance=1e-3) for x in (1, 2, 3))
    shared = together.Together("0", reference, cases, variants, Limits(), again=True)
    run_all(judge, {"0": shared})
    assert shared.passed == {0: True, 1: False}
    sources = [f"def f(x):\n    return [set([{one}])]\n" for one in ("0, 8", "8, 0", "8, 1")]  # of a colliding hash
    assert str({*[0, 8]}) != str({*[8, 0]})
    shared = together.Together("0", sources[0], (Value(expression="f(1)"),), sources[1:], Limits())
    run_all(judge, {"0": shared})
    assert shared.passed == {0: True, 1: False}


def test_a_reference_that_leaves_something_behind_is_measured_in_processes_of_its_own(judge: Judge) -> None:
    reference = (
        "import string\ndef f(x):\n    string.count = getattr(string, 'count', 0) + 1\n    return x + string.count\n"
    )
    recording: Any = RecordingJudge(judge)
    (found,) = measure([suite(reference, "f", ("f(1)", "2"), ("f(1)", "3"))], recording, Limits())
    assert {program.id for program in recording.programs} >= {"0", "0 reference", "0 mutant 0"}
    assert (found.statements_covered, found.mutation_score) == (2, 1.0)


def test_reports_that_are_not_those_of_the_runner_count_for_nothing(judge: Judge) -> None:
    """A reference that finds the runner, and lets it report something else."""
    reference = (
        "def f(x):\n    try:\n        raise ValueError\n    except ValueError as error:\n"
        "        frame = error.__traceback__.tb_frame\n"
        "    while frame is not None and 'self' not in frame.f_locals:\n        frame = frame.f_back\n"
        "    if frame is not None and hasattr(frame.f_locals['self'], 'next'):\n"
        "        frame.f_locals['self'].next = lambda: 'forged'\n    return x + 1\n"
    )
    recording: Any = RecordingJudge(judge)
    (found,) = measure([suite(reference, "f", ("f(1)", "2"), ("f(2)", "3"))], recording, Limits())
    assert {program.id for program in recording.programs} >= {"0", "0 reference", "0 mutant 0"}
    assert found.mutants > 2


@pytest.mark.parametrize(
    "report",
    ["'[' * 90_000", '[\'[0, [[0, "1", "["]]]\']', "'[0, [[0, ' + '[' * 90_000 + ']]]'", "'{' + '\"a\":' * 90_000"]
    + ["'[0, [[0, \"' + '[' * 90_000 + '\", \"[\"]]]'", '\'[0, [[0, "[1", "["]]]\'', "'[null, 1, {}, 2]'"]
    + ['\'[0, [[0, "{\\\\"a\\\\": 1, \\\\"b\\\\": 2}", "["]]]\'']
    + [f"reduce(lambda inner, _: [inner], range({depth}), 0)" for depth in (90, 190, 250, 2_000)],
)
def test_no_report_however_nested_ends_the_measurement(judge: Judge, report: str) -> None:
    reference = (
        "from functools import reduce\ndef f(x):\n    try:\n        raise ValueError\n    except ValueError as error:\n"
        "        frame = error.__traceback__.tb_frame\n"
        "    while 'self' not in frame.f_locals:\n        frame = frame.f_back\n"
        f"    frame.f_locals['self'].next = lambda: {report}\n    return {{x}}\n"
    )
    shared = together.Together("0", reference, (Value(expression="f(1)"),), ["def f(x):\n    return 2\n"], Limits())
    run_all(judge, {"0": shared})
    assert not shared.passed.get(0)
