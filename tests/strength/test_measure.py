"""Mutants, coverage and scores, with the real judge."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plum_hub.execution import Judge, Limits
from plum_hub.records import CaseOutcome, Status, TestCase, Verdict
from plum_hub.statistics import distribution
from plum_hub.strength import discrimination, measure, mutants, operators
from plum_hub.strength.comparison import comparison_calls
from plum_hub.strength.coverage import probes
from plum_hub.strength.operators import OPERATORS, OPERATORS_OF
from plum_hub.strength.sites import sites
from tests.strength.measuring import CLAMP, RecordingJudge, strength, suite


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
