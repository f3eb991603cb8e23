"""The strength of suites: mutants, coverage and scores with the real judge, and builds that leave weak suites out."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plum_hub.execution import Call, Execution, Judge, Limits, Program
from plum_hub.execution.base import Value
from plum_hub.loading import FetchedRelease
from plum_hub.pipeline.base import Context
from plum_hub.publishing.dataset import release
from plum_hub.records import CaseOutcome, Status, SuiteStrength, TestCase, TestSuite, Verdict
from plum_hub.release.reading import config_files, read_rows
from plum_hub.run import Run
from plum_hub.statistics import distribution
from plum_hub.strength import discrimination, measure, mutants, operators, together
from plum_hub.strength.comparison import comparison_calls
from plum_hub.strength.coverage import probes
from plum_hub.strength.measure import run_all
from plum_hub.strength.operators import OPERATORS, OPERATORS_OF
from plum_hub.strength.shared import can_share
from plum_hub.strength.sites import sites
from plum_hub.strength.steps import StepPlaces, counting
from plum_hub.verification.diff import compare_releases
from tests import rehearsal
from tests.rehearsal import addend, command, name, plum_hub, program, published, task, write_rehearsal
from tests.releases import audit, reseal, rewrite

CLAMP = '''def clamp(x, low, high):
    """Return x, but at least low and at most high."""
    if x < low:
        return low
    if x > high:
        return high
    return x
'''


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(1) as open_judge:
        yield open_judge


def suite(reference: str, entry_point: str, *cases: TestCase | tuple[str, str]) -> TestSuite:
    made = tuple(
        case if isinstance(case, TestCase) else TestCase(kind="call", call=case[0], expected=case[1]) for case in cases
    )
    return TestSuite(
        id=f"suite of {entry_point}", instruction_id="task", response_id="answer", entry_point=entry_point,
        starter_code="", reference=reference, cases=made,
    )  # fmt: skip


def strength(judge: Judge, *suites: TestSuite, cpu_seconds: float = 5.0) -> list[SuiteStrength]:
    return list(measure(suites, judge, Limits(cpu_seconds=cpu_seconds), most=100))


def body(code: str) -> str:
    """The body of a function, in one line."""
    return "; ".join(line.strip() for line in ast.unparse(ast.parse(code)).splitlines()[1:])


@pytest.mark.parametrize(
    ("operator", "lines", "wanted"),
    [
        ("comparison", "x[a < b] = 0", {"x[a <= b] = 0", "x[a >= b] = 0"}),
        ("comparison", "x[a is b] = 0", {"x[a is not b] = 0"}),
        ("arithmetic", "x += a * b", {"x -= a * b", "x += a // b"}),
        ("arithmetic", "x[-a] = b", {"x[a] = b"}),
        ("boolean", "x[a or not b] = True", {"x[a and (not b)] = True", "x[a or b] = True", "x[a or not b] = False"}),
        ("constant", "x[a] = 7", {"x[a] = 8", "x[a] = 6"}),
        ("condition", "while a: a.pop()", {"while not a:; a.pop()"}),
        ("condition", "if a:\n        x.a()", {"if not a:; x.a()"}),
        ("condition", "return [i for i in x if i]", {"return [i for i in x if not i]"}),
        ("statement", "x.sort()\n    return x", {"pass; return x"}),
        ("result", "return a == b", {"return True", "return False"}),
        ("result", "return [a]", {"return []", "return None"}),
        ("swap", "return a(x, b)", {"return a(b, x)"}),
        ("swap", "return a - b", {"return b - a"}),
        ("swap", "if a:\n        x.a()\n    else:\n        x.b()", {"if a:; x.b(); else:; x.a()"}),
        ("slice", "return x[a:]", {"return x[:]", "return x[a:-1]"}),
        ("slice", "return x[:b]", {"return x[1:b]", "return x[:]", "return x[:b - 1]"}),
        ("string", "return x + 'ab'", {"return x + ''"}),
    ],
)
def test_each_operator_makes_its_faults(operator: str, lines: str, wanted: set[str]) -> None:
    tree = ast.parse(f"def f(x, a, b):\n    {lines}\n")
    found = [body(site.source_with(new, tree)) for site in sites(tree) for new in OPERATORS[operator](site.node)]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert body(ast.unparse(tree)) not in wanted  # the tree is as it was


def test_operators_are_listed_with_all_nodes_that_they_change() -> None:
    sources = [*Path(operators.__file__).parent.glob("*.py"), Path(__file__)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source.read_text()))]
    for operator in OPERATORS.items():
        changed = {type(node) for node in nodes if any(operator[1](node))}
        assert len(changed) > 0
        assert all(operator in OPERATORS_OF.get(kind, ()) for kind in changed), operator


def test_every_operator_is_tried_above() -> None:
    marks = test_each_operator_makes_its_faults.pytestmark  # type: ignore[attr-defined]
    assert {values[0] for values in marks[0].args[1]} == set(OPERATORS)


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ("def f(x):\n    return x\n    x += 1\n", ["return None; x += 1"]),  # dead code
        ("def f(x):\n    x.sort()\n    return None\n", ["pass; return None"]),  # a last return does nothing
        ("def f(x: 'a') -> 'b':\n    'Text.'\n    y: 'c' = x\n", ['"""Text."""; pass']),  # docstrings and types
        ("def f(x):\n    if x:\n        x.a()\n    else:\n        x.b()\n", [
            "if not x:; x.a(); else:; x.b()", "if x:; pass; else:; x.b()", "if x:; x.a(); else:; pass",
        ]),  # swapped branches and a negated condition are one mutant
        ("def f(x):\n    return x[2 - 1:]\n", [
            "return x[2 - 0:]", "return x[1 - 1:]", "return x[2 + 1:]", "return x[1 - 2:]", "return x[:]",
            "return x[2 - 1:-1]", "return None",
        ]),  # 2 - 2 is 1 - 1, and 2 - 0 is 3 - 1
    ],
)  # fmt: skip
def test_mutants_that_are_equal_once_folded_are_one(reference: str, wanted: list[str]) -> None:
    assert sorted(body(mutant.code) for mutant in mutants(reference, "f", most=100)) == sorted(wanted)


def test_only_what_the_entry_point_reaches_is_changed() -> None:
    reference = (
        "LIMIT = 3\ndef g(x):\n    return x < LIMIT\ndef f(x):\n    return g(x)\ndef h(x):\n    return x + 1\nh(1)\n"
    )
    assert {mutant.line for mutant in mutants(reference, "f", most=100)} == {1, 3, 5}
    assert {mutant.line for mutant in mutants(reference, "", most=100)} == {1, 3, 5, 7, 8}  # all of a script
    assert mutants("def f(:", "f") == []
    assert mutants("x = " + "9" * 5000, "x") == []  # longer than Python prints


def test_the_draw_is_even_over_the_operators_and_the_same_anywhere() -> None:
    reference = (
        "def f(x):\n" + "".join(f"    x[{n}] = {n}\n" for n in range(30)) + "    return x[1:] if x < 5 else 'a'\n"
    )
    drawn = mutants(reference, "f", most=12, seed="one")
    assert len(drawn) == 12
    counts = {operator: sum(one.operator == operator for one in drawn) for operator in ("constant", "statement")}
    assert max(counts.values()) <= 4  # of 60 and 30
    assert {one.operator for one in drawn} >= {"comparison", "string", "slice", "condition"}
    assert drawn != mutants(reference, "f", most=12, seed="another")
    code = "import sys; from plum_hub.strength import mutants; print(mutants(sys.argv[1], 'f', most=12, seed='one'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, reference],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{drawn}\n"}


def test_a_suite_that_misses_a_branch_is_told_so(judge: Judge) -> None:
    weak = suite(CLAMP, "clamp", ("clamp(5, 0, 10)", "5"), ("clamp(-1, 0, 10)", "0"))
    strong = suite(CLAMP, "clamp", *[(f"clamp({x}, 0, 10)", str(max(0, min(x, 10)))) for x in (5, -1, 12)])
    first, second = strength(judge, weak, strong)
    assert (first.statements, first.statements_covered) == (5, 4)
    assert (first.branches, first.branches_covered) == (4, 3)
    assert first.mutation_score is not None
    assert first.mutation_score < 1
    assert second.statement_coverage == second.branch_coverage == second.mutation_score == 1.0
    assert second.killed + second.equivalent == second.mutants  # `<` and `<=` are the same here
    assert second.equivalent == 2


def test_an_else_that_is_not_written_is_a_branch(judge: Judge) -> None:
    reference = "def f(x):\n    if x > 0:\n        x = -x\n    return x\n"
    (found,) = strength(judge, suite(reference, "f", ("f(3)", "-3"), ("f(5)", "-5")))
    assert (found.statements, found.statements_covered) == (3, 3)
    assert (found.branches, found.branches_covered) == (2, 1)


def test_handlers_and_generators_are_probed(judge: Judge) -> None:
    reference = (
        "def f(x):\n    try:\n        return list(_each(x))\n    except Exception:\n        return []\n"
        "def _each(x):\n    for one in x:\n        yield one\n"
    )
    (found,) = strength(judge, suite(reference, "f", ("f([1])", "[1]"), ("f([2, 3])", "[2, 3]")))
    # The handler does not catch the probes, and is not run itself.
    assert (found.statements, found.statements_covered) == (5, 4)
    assert (found.branches, found.branches_covered) == (2, 1)


def test_a_class_a_script_and_statements_are_measured(judge: Judge) -> None:
    stack = "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n"
    stack += "        self.items.append(x)\n        return len(self.items)\n"
    statement = TestCase(kind="statement", statement="s = Stack()\nassert s.push(5) == 1\nassert s.push(6) == 2")
    script = "n = int(input())\nif n > 2:\n    print('big')\nelse:\n    print('small')\n"
    texts = [TestCase(kind="stdio", stdin=f"{n}\n", stdout=text) for n, text in ((2, "small\n"), (3, "big\n"))]
    first, second = strength(judge, suite(stack, "Stack", statement), suite(script, "", *texts))
    assert (first.statements, first.statements_covered, first.mutation_score) == (3, 3, 1.0)
    assert (second.statements, second.statements_covered) == (4, 4)
    assert (second.branches, second.branches_covered) == (2, 2)
    assert second.mutation_score == 1.0


class RecordingJudge:
    """The real judge, which remembers what it was given."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.programs, self.cpu_seconds = judge, list[Program](), list[float]()

    @property
    def harness_version(self) -> str:
        return self.judge.harness_version

    def run(self, programs: Iterable[Program]) -> Iterator[Execution]:
        given = list(programs)
        self.programs += given
        for execution in self.judge.run(given):
            self.cpu_seconds.append(execution.cpu_seconds)
            yield execution


@pytest.mark.parametrize("front", ["", "import os\n"], ids=["shared", "alone"])
def test_an_endless_mutant_is_killed_and_its_limit_is_that_of_the_reference(judge: Judge, front: str) -> None:
    reference = (
        f"{front}def f(n):\n    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n"
    )
    assert any("n -= 1" not in one.code for one in mutants(reference, "f", most=100))
    recording: Any = RecordingJudge(judge)
    (found,) = measure([suite(reference, "f", ("f(3)", "6"), ("f(0)", "0"))], recording, Limits(cpu_seconds=1000.0))
    assert found.mutation_score == 1.0
    assert sum(recording.cpu_seconds) < 100


# Mutants that share a process

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


def test_nothing_is_counted_without_a_reference_that_passes(judge: Judge) -> None:
    found = strength(judge, suite("", "f", ("f(1)", "1")), suite("def f(x):\n    return 2\n", "f", ("f(1)", "1")))
    for one in found:
        assert (one.mutants, one.statements, one.branches, one.cases) == (0, 0, 0, 1)
        assert one.mutation_score is one.statement_coverage is one.branch_coverage is None


def test_mutants_run_in_the_judge_only(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that leaves a mark wherever it runs, were it not in a sandbox."""
    mark = tmp_path / "mark"
    reference = (
        f"import sys\ndef f(x):\n    sys.modules['marked'] = 1\n    try:\n        open({str(mark)!r}, 'w')\n"
        "    except Exception:\n        pass\n    return x + 1\n"
    )
    for unsafe in ("exec", "eval"):
        monkeypatch.setattr(f"builtins.{unsafe}", None)
    recording: Any = RecordingJudge(judge)
    (found,) = measure([suite(reference, "f", ("f(1)", "2"))], recording, Limits())
    assert found.mutants > 4
    assert not mark.exists()
    assert "marked" not in sys.modules
    codes = {program.code for program in recording.programs}
    assert codes >= {mutant.code for mutant in mutants(reference, "f", seed="suite of f")}
    assert codes >= set(probes(reference, "f").codes)


def test_inputs_are_those_of_the_suite_and_variations_of_them() -> None:
    statement = TestCase(kind="statement", statement="assert f([1, 2], s='ab') is not None\nassert f(y) == 3")
    found = comparison_calls(suite("", "f", ("f([5], True)", "1"), statement))
    assert found[:2] == ["f([5], True)", "f([1, 2], s='ab')"]  # y is not known
    assert {"f([6], True)", "f([], True)", "f([5], False)", "f([1, 2], s='ba')"} <= set(found)
    assert len(found) == len(set(found)) <= 60


def verdict(number: int, passed: str, status: Status = "failed", suite_id: str = "s") -> Verdict:
    cases = tuple(CaseOutcome(outcome="passed" if letter == "p" else "wrong") for letter in passed)
    return Verdict(
        id=str(number), sample_id=str(number), suite_id=suite_id, instruction_id="i", status=status, cases=cases,
        detail="", cpu_seconds=None, peak_memory_mb=None,
    )  # fmt: skip


def test_discrimination_is_the_best_consensus_set_of_codet() -> None:
    found = list(
        discrimination(
            [
                verdict(1, "pp.."), verdict(2, "pp.."), verdict(3, "pp.."),  # 3 samples x 2 cases
                verdict(4, "pppp", "passed"),  # 1 x 4
                verdict(5, "....", "timed_out"),
                verdict(6, "..", suite_id="t"),
            ]
        )
    )  # fmt: skip
    assert [(one.suite_id, one.samples, one.passed) for one in found] == [("s", 5, 1), ("t", 1, 0)]
    assert found[0].dual_agreement == pytest.approx(6 / 20)
    assert found[0].pass_rate == pytest.approx(1 / 5)
    assert found[1].dual_agreement == found[1].pass_rate == 0.0


def test_a_distribution_has_mean_quartiles_and_bins() -> None:
    found = distribution([1.0, 0.5, 0.0, 0.25, 0.75])
    assert found is not None
    assert found.mean == 0.5
    assert found.quartiles == (0.25, 0.5, 0.75)
    assert found.bins == (1, 0, 1, 0, 0, 1, 0, 1, 0, 1)
    single = distribution([0.5])
    assert single is not None
    assert single.quartiles == (0.5, 0.5, 0.5)
    assert distribution([]) is None


# Builds


def write_weak(folder: Path, tasks: int = 6, *, mixed: bool = True) -> None:
    """A rehearsal with suites that miss a branch; in every second task also, or only, strong ones with fewer cases."""
    write_rehearsal(folder, tasks)
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(tasks):
            function, plus = name(number), addend(number)
            begin = f"def {function}(x: int) -> int:\n    "
            head = f"### Starter code\n```python\n{begin}pass\n```\n\n### Solution\n```python\n"
            solution = f"{begin}if x > 100:\n        return x * 2 + {plus}\n    return x + {plus}\n"
            expected = {x: x * 2 + plus if x > 100 else x + plus for x in (0, 5, -1, 7, 9, 100, 101)}
            weak, strong = (
                f"{head}{solution}```\n\n### Tests\n```python\n"
                + "".join(f"assert {function}({x}) == {expected[x]}\n" for x in chosen)
                + "```\n"
                for chosen in ((0, 5, -1, 7, 9), (0, -1, 100, 101))
            )
            responses = [weak, strong][not mixed :] if number % 2 else [weak]
            file.write(json.dumps({"contains": f"Task:\n{task(number)}", "texts": responses}) + "\n")
            bodies = [f"return x + {plus}", solution.removeprefix(begin).rstrip()]
            answers = [program(number, body) for body in bodies]
            file.write(json.dumps({"contains": f"{task(number)}\n\nSolve", "texts": answers}) + "\n")


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    return rehearsal.rows(run, kind)


STRONG = ("--set", "suites.min_strength=0.9")
KINDS = ("suites", "strengths", "samples", "dropped")


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that left weak suites out."""
    folder = tmp_path_factory.mktemp("filtered")
    write_weak(folder)
    done = plum_hub(command(folder, "-q", *STRONG))
    assert done.returncode == 0, done.stderr
    return folder


def test_weak_suites_are_left_out_before_samples_are_paid_for(filtered: Path) -> None:
    run = filtered / "run"
    strengths = {row["id"]: row for row in rows(run, "strengths")}
    kept = rows(run, "suites")
    assert len(kept) == 3
    assert all(len(row["cases"]) == 4 for row in kept)  # the other suites have more, and would be taken otherwise
    assert all(strengths[row["id"]]["mutation_score"] == 1.0 for row in kept)
    assert all(strengths[row["id"]]["branch_coverage"] == 1.0 for row in kept)
    weak = [row for row in rows(run, "dropped") if row["reason"] == "weak"]
    assert {row["stage"] for row in weak} == {"suites"}
    assert len({row["instruction_id"] for row in weak}) == 6
    assert all(
        "mutation score 0." in str(row["detail"]) and "suites.min_strength 0.9" in str(row["detail"]) for row in weak
    )
    assert {row["suite_id"] for row in rows(run, "samples")} == {row["id"] for row in kept}
    assert min(row["branch_coverage"] for row in strengths.values()) == 0.5


def test_status_shows_mean_and_quartiles(filtered: Path) -> None:
    done = plum_hub([sys.executable, "-m", "plum_hub", "status", str(filtered / "run")])
    assert "mutation score 1.00 on average, quartiles 1.00, 1.00, 1.00, of 3 suites" in " ".join(done.stdout.split())
    done = plum_hub([sys.executable, "-m", "plum_hub", "status", str(filtered / "run"), "--json"])
    assert json.loads(done.stdout)["strength"]["mean"] == 1.0
    assert json.loads(done.stdout)["dropped"]["suites"]["weak"] == len(
        [row for row in rows(filtered / "run", "dropped") if row["reason"] == "weak"]
    )


def test_another_hash_seed_gives_the_same_strengths(filtered: Path, tmp_path: Path) -> None:
    write_weak(tmp_path)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        command(tmp_path, "-q", *STRONG), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for kind in KINDS:
        assert rows(tmp_path / "run", kind) == rows(filtered / "run", kind), kind


@pytest.mark.parametrize("kind", ["strengths", "suites"])
def test_killed_while_measuring_and_started_again_gives_the_same_rows(
    filtered: Path, tmp_path: Path, kind: str
) -> None:
    write_weak(tmp_path)
    file = tmp_path / "run" / "shards" / "00000" / f"{kind}.jsonl"
    process = subprocess.Popen(
        command(tmp_path, "-q", *STRONG), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None, "the build ended before the stage began"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = plum_hub(command(tmp_path, "-q", *STRONG))
    assert done.returncode == 0, done.stderr
    for each in KINDS:
        mine, wanted = rows(tmp_path / "run", each), rows(filtered / "run", each)
        assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, wanted)), each


def test_measuring_alone_leaves_nothing_out_and_by_default_nothing_is_measured(tmp_path: Path) -> None:
    write_weak(tmp_path)
    assert plum_hub(command(tmp_path, "-q", run="plain")).returncode == 0
    assert not (tmp_path / "plain" / "shards" / "00000" / "strengths.jsonl").exists()
    assert plum_hub(command(tmp_path, "-q", "--set", "suites.strength=true")).returncode == 0
    assert rows(tmp_path / "run", "suites") == rows(tmp_path / "plain", "suites")
    assert rows(tmp_path / "run", "samples") == rows(tmp_path / "plain", "samples")
    assert {row["id"] for row in rows(tmp_path / "run", "strengths")} == {
        row["id"] for row in rows(tmp_path / "run", "suites")
    }


def test_tests_of_the_rows_are_filtered_too(tmp_path: Path) -> None:
    tests = ["assert clamp(5, 0, 10) == 5", "assert clamp(-1, 0, 10) == 0", "assert clamp(-2, 0, 10) == 0"]
    strong = [*tests[:2], "assert clamp(12, 0, 10) == 10", "assert clamp(13, 0, 9) == 9"]
    with (tmp_path / "tasks.jsonl").open("w") as file:
        for number, its in enumerate((tests, strong)):
            text = f"Write a Python function `clamp(x, low, high)` that keeps x between low and high; variant {number}."
            file.write(json.dumps({"instruction": text, "test_list": its, "code": CLAMP}) + "\n")
    (tmp_path / "answers.jsonl").write_text(
        json.dumps({"contains": "clamp", "texts": [f"```python\n{CLAMP}```"]}) + "\n"
    )
    done = plum_hub(command(tmp_path, "-q", "--suites", "rows", *STRONG))
    assert [row["reason"] for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites"] == ["weak"], (
        done.stderr
    )
    assert [len(row["cases"]) for row in rows(tmp_path / "run", "suites")] == [4]


# Releases


def told_apart(verdicts: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """The pass rate and the dual agreement of each suite, by trying every set of cases that some sample passes."""
    found = {}
    for suite_id in {row["suite_id"] for row in verdicts}:
        results = [
            [case["outcome"] == "passed" for case in row["cases"]] for row in verdicts if row["suite_id"] == suite_id
        ]
        best = max(results.count(one) * sum(one) for one in results)
        found[suite_id] = (sum(map(all, results)) / len(results), best / len(results) / len(results[0]))
    return found


@pytest.fixture
def tree(filtered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filtered / "run" / "release" / "dataset", tmp_path / "tree"))


def test_a_release_of_measured_suites_has_their_strength_and_verifies(filtered: Path, tree: Path) -> None:
    suites = list(read_rows(config_files(tree, "test_suites")))
    strengths = {row["id"]: row for row in rows(filtered / "run", "strengths")}
    assert len(suites) == 3
    for row in suites:
        measured = strengths[row["suite_id"]]
        assert row["case_count"] == len(row["cases"]) == 4
        for column in ("mutation_score", "statement_coverage", "branch_coverage"):
            assert row[column] == measured[column] == 1.0
    manifest = json.loads((tree / "manifest.json").read_text())
    assert manifest["counts"]["strength"]["mean"] == 1.0
    assert {"case_count", "mutation_score", "statement_coverage"} <= set(manifest["columns"]["test_suites"])
    outcomes = told_apart(rows(filtered / "run", "verdicts"))
    assert [(row["pass_rate"], row["dual_agreement"]) for row in suites] == [
        outcomes[row["suite_id"]] for row in suites
    ]
    assert any(0 < row["pass_rate"] < row["dual_agreement"] < 1 for row in suites)
    assert manifest["counts"]["dual_agreement"]["count"] == 3
    card = (tree / "README.md").read_text()
    assert card.count("Of 3 suites the mean is ") == 2
    assert "A suite's dual agreement (CodeT, arXiv 2207.10397)" in card
    assert "Of 3 suites the mean is 1.000, and the quartiles are 1.000, 1.000 and 1.000." in card
    assert "![Suites by their mutation score](figures/mutation_scores.svg)" in card
    assert (tree / "figures" / "mutation_scores.svg").is_file()
    assert audit(tree) == {}


@pytest.mark.parametrize(
    ("column", "value", "check", "what"),
    [
        ("mutation_score", 0.95, "counts", "distribution of mutation_score"),
        ("mutation_score", float("nan"), "counts", "shares from 0 to 1"),
        ("mutation_score", 0.5, "recipe", "at least as strong as suites.min_strength 0.9"),
        ("branch_coverage", 1.5, "counts", "shares from 0 to 1"),
        ("case_count", 7, "counts", "its cases"),
        ("case_count", None, "schemas", "case_count"),
        ("pass_rate", 1.0, "counts", "its pass rate"),
        ("pass_rate", None, "counts", "its pass rate"),
        ("dual_agreement", 1.0, "counts", "its dual agreement"),
        ("dual_agreement", 0.95, "counts", "distribution of dual_agreement"),
        ("dual_agreement", float("nan"), "counts", "its dual agreement"),
    ],
)
def test_verify_sees_forged_strengths(tree: Path, column: str, value: float | None, check: str, what: str) -> None:
    rewrite(tree, "test_suites", lambda its: its[0].update({column: value}))
    reseal(tree)
    found = audit(tree)
    assert any(what in one for one in found[check]), found


@pytest.mark.parametrize("summary", ["strength", "dual_agreement"])
def test_strengths_without_their_columns_are_no_release(tree: Path, summary: str) -> None:
    reseal(tree, lambda manifest: manifest["counts"].pop(summary))
    assert any("test_suites" in one for one in audit(tree)["schemas"])


def test_verify_sees_that_forged_samples_are_told_apart_otherwise(tree: Path) -> None:
    def forge(samples: list[dict[str, Any]]) -> None:
        for row in samples:
            if row["status"] == "failed":
                row["cases"][0]["outcome"] = "wrong"

    rewrite(tree, "samples", forge)
    reseal(tree)
    assert any("its dual agreement" in one for one in audit(tree)["counts"])


def test_a_release_from_before_discrimination_was_recorded_verifies(tree: Path) -> None:
    from pyarrow import parquet

    (path,) = config_files(tree, "test_suites")
    parquet.write_table(parquet.read_table(path).drop_columns(["pass_rate", "dual_agreement"]), path)
    reseal(tree, lambda manifest: manifest["counts"].pop("dual_agreement"))
    assert audit(tree) == {}


def test_a_suite_without_samples_has_no_discrimination(filtered: Path, tmp_path: Path) -> None:
    """All its samples were found in a benchmark."""
    run = Path(shutil.copytree(filtered / "run", tmp_path / "run"))
    lonely = rows(run, "suites")[0]["id"]
    with (run / "shards" / "00000" / "dropped.jsonl").open("a") as file:
        for row in rows(run, "samples"):
            if row["suite_id"] == lonely:
                drop = {"id": row["id"], "stage": "decontamination", "reason": "benchmark_text", "detail": "humaneval"}
                file.write(json.dumps({**drop, "instruction_id": row["instruction_id"]}) + "\n")
    path = run / "shards" / "00000" / "preferences.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["suite_id"] != lonely))
    tree = Path(release(Context(run=Run.open(run)), None).folder)
    suites = {row["suite_id"]: row for row in read_rows(config_files(tree, "test_suites"))}
    assert len(suites) == 3
    assert [row["suite_id"] for row in suites.values() if row["pass_rate"] is None] == [lonely]
    assert [row["suite_id"] for row in suites.values() if row["dual_agreement"] is None] == [lonely]
    assert suites[lonely]["mutation_score"] == 1.0
    assert json.loads((tree / "manifest.json").read_text())["counts"]["dual_agreement"]["count"] == 2
    assert audit(tree) == {}
    rewrite(tree, "test_suites", lambda its: next(row for row in its if row["pass_rate"] is None).update(pass_rate=0.0))
    reseal(tree)
    assert audit(tree) == {"counts": {f"suite {lonely}, its pass rate"}}


def test_more_samples_do_not_make_another_suite(filtered: Path, tmp_path: Path) -> None:
    write_weak(tmp_path)
    done = plum_hub(command(tmp_path, "-q", *STRONG, "--set", "samples.per_instruction=5"))
    assert done.returncode == 0, done.stderr
    trees = [one / "run" / "release" / "dataset" for one in (filtered, tmp_path)]
    rates = [[row["pass_rate"] for row in read_rows(config_files(one, "test_suites"))] for one in trees]
    assert rates[0] != rates[1]
    old, new = (
        FetchedRelease(
            repo="local/x", version=version, commit="c" * 40, folder=one, hub="embedded", tags={}, before=None
        )
        for version, one in zip(("v1.0.0", "v1.1.0"), trees, strict=True)
    )
    changes = compare_releases(old, new).configs["test_suites"]
    assert (changes.added, changes.removed, changes.changed) == ([], [], [])


def test_a_release_without_measurements_is_as_before(tmp_path: Path) -> None:
    write_weak(tmp_path, tasks=2)
    assert plum_hub(command(tmp_path, "-q")).returncode == 0
    tree = tmp_path / "run" / "release" / "dataset"
    manifest = json.loads((tree / "manifest.json").read_text())
    assert "strength" not in manifest["counts"]
    assert "dual_agreement" not in manifest["counts"]
    assert not {"mutation_score", "case_count", "pass_rate", "dual_agreement"} & set(manifest["columns"]["test_suites"])
    assert "mutation" not in (tree / "README.md").read_text()
    assert not (tree / "figures" / "mutation_scores.svg").exists()
    assert audit(tree) == {}


def test_suites_of_a_release_are_filtered_and_a_pulled_run_is_complete(tmp_path: Path) -> None:
    """Of a published dataset whose suites were not measured, and whose run is pulled after they were."""
    write_weak(tmp_path, tasks=2, mixed=False)
    home = {"PLUM_HUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
    done = plum_hub(published(tmp_path, "-q", "--repo", "plain"), **home)
    assert done.returncode == 0, done.stderr
    again = published(tmp_path, "-q", "--suites", "local/plain@v1.0.0", "--repo", "strong", *STRONG, run="again")
    again.remove("--instructions")
    again.remove(str(tmp_path / "tasks.jsonl"))
    done = plum_hub(again, **home)
    assert done.returncode == 0, done.stderr
    suites, dropped = rows(tmp_path / "again", "suites"), rows(tmp_path / "again", "dropped")
    weak = [row["id"] for row in dropped if row["reason"] == "weak"]
    before = {row["id"] for row in rows(tmp_path / "run", "suites")}
    assert {row["id"] for row in suites} | set(weak) == before
    assert weak
    assert plum_hub(again, **home).returncode == 0  # nothing is decided twice
    assert rows(tmp_path / "again", "dropped") == dropped
    pull = [sys.executable, "-m", "plum_hub", "pull", "local/strong@v1.0.0", "--run", str(tmp_path / "pulled")]
    done = plum_hub(pull, **home)
    assert done.returncode == 0, done.stderr
    status = json.loads(
        plum_hub([sys.executable, "-m", "plum_hub", "status", str(tmp_path / "pulled"), "--json"], **home).stdout
    )
    assert status["rows"]["suites"] == len(suites)
    assert status["strength"] is None
