"""HumanEval+ and MBPP+: EvalPlus' rules, task by task, and what its references give, kept."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from plum_hub.benchmarks.base import Problem
from plum_hub.benchmarks.references import Reference, reference_outputs
from plum_hub.errors import BenchmarkError
from plum_hub.execution import Judge, Limits, Program
from plum_hub.execution.base import Call
from plum_hub.execution.literals import parse_literal
from tests.benchmarks.cut import humaneval_plus, mbpp_plus, needs_data
from tests.benchmarks.running import programs, statuses

pytestmark = [pytest.mark.shared, needs_data]


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Problem]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLUM_HUB_HOME", str(tmp_path_factory.mktemp("home")))
        folder = tmp_path_factory.mktemp("data")
        found = [*humaneval_plus(folder).problems(), *mbpp_plus(folder).problems()]
        yield {problem.id: problem for problem in found}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(2) as judge:
        yield judge


def calls(problem: Problem, suite: str) -> list[Call]:
    return [case for case in problem.suites[suite] if isinstance(case, Call)]


def verdicts(judge: Judge, problem: Problem, code: str) -> dict[str, bool]:
    limits = Limits(cpu_seconds=problem.cpu_seconds, wall_seconds=120.0)
    found: dict[str, str] = {}
    for done in judge.run(programs("", problem, code, limits)):
        found |= statuses(problem, done)
    return {suite: status == "passed" for suite, status in found.items()}


def wrapped(problem: Problem, result: str) -> str:
    """The reference, with another `result` made of its `given` result."""
    name = problem.entry_point
    return (
        f"{problem.reference}\n_reference = {name}\n"
        f"def {name}(*arguments):\n    given = _reference(*arguments)\n    return {result}\n"
    )


@pytest.mark.parametrize(
    ("task", "first"),
    [
        ("Mbpp/2", "__plum_set__(similar_elements((3, 4, 5, 6), (5, 7, 4, 10)))"),
        ("Mbpp/106", "add_lists([5, 6, 7], (9, 10))"),
        ("Mbpp/124", "angle_complex(0.0, 1j)"),
        ("Mbpp/252", "convert((1+0j))"),
        ("Mbpp/259", "maximize_elements(((1, 3), (4, 5), (2, 9), (1, 10)), ((6, 7), (3, 9), (1, 1), (7, 3)))"),
        ("Mbpp/722", "filter_data({'Cierra Vega': (6.2, 70), "),
    ],
)
def test_arguments_are_what_json_could_not_hold(problems: Mapping[str, Problem], task: str, first: str) -> None:
    assert calls(problems[task], "base")[0].expression.startswith(first)


def test_infinity_is_no_name_that_a_program_could_change(problems: Mapping[str, Problem]) -> None:
    infinite = {case.expression: parse_literal(case.expected) for case in calls(problems["Mbpp/404"], "plus")}
    assert infinite["minimum(-1e999, 1e999)"] == -math.inf
    assert not any("inf" in expression for expression in infinite)


@pytest.mark.parametrize(
    ("task", "result", "official", "strict"),
    [
        ("HumanEval/0", "int(given)", True, True),
        ("HumanEval/0", "not given", False, False),
        ("HumanEval/2", "given + 9e-7", True, True),
        ("HumanEval/2", "given + 2e-6", False, False),
        ("HumanEval/2", "__import__('fractions').Fraction(given)", True, True),
        ("HumanEval/2", "__import__('decimal').Decimal(repr(given))", False, False),
        ("HumanEval/32", "given", True, True),
        ("HumanEval/32", "given + 1", False, False),
        ("HumanEval/103", "given", True, True),
        ("HumanEval/137", "given", True, True),
        ("Mbpp/2", "list(given) * 2", True, True),
        ("Mbpp/2", "iter(given)", True, True),
        ("Mbpp/2", "[*given, None]", False, False),
        ("Mbpp/124", "given + 9e-5", True, True),
        ("Mbpp/124", "given + 2e-4", False, False),
        ("Mbpp/737", "given is not None", True, True),
        ("Mbpp/737", "given and 'Valid'", True, True),
        ("Mbpp/737", "'Valid' if given else 'Invalid'", False, False),
    ],
)
def test_the_official_rule_and_ours(
    judge: Judge, problems: Mapping[str, Problem], task: str, result: str, official: bool, strict: bool
) -> None:
    found = verdicts(judge, problems[task], wrapped(problems[task], result))
    assert found["base"] is official
    assert found.get("plus", official) is official
    assert all(passed is strict for name, passed in found.items() if name.endswith(":strict"))


def test_both_readings_of_a_text_are_right(judge: Judge, problems: Mapping[str, Problem]) -> None:
    padded = (
        "def digit_distance_nums(a, b):\n    a, b = str(a), str(b)\n    n = max(len(a), len(b))\n"
        "    return sum(abs(int(x) - int(y)) for x, y in zip(a.zfill(n), b.zfill(n)))\n"
    )
    upright = "def surface_Area(b, h):\n    return round(b * b + 2 * b * ((b / 2) ** 2 + h * h) ** 0.5)\n"
    for task, code in (("Mbpp/558", padded), ("Mbpp/581", upright)):
        assert all(verdicts(judge, problems[task], code).values())
        assert not any(verdicts(judge, problems[task], wrapped(problems[task], "given + 1")).values())


def test_the_tolerance_of_floats_lasts_to_the_end_of_a_suite(problems: Mapping[str, Problem]) -> None:
    for problem in problems.values():
        for suite in ("base", "plus"):
            comparisons = [case.comparison for case in calls(problem, suite)]
            if "close" in comparisons:
                assert set(comparisons[comparisons.index("close") :]) == {"close"}, problem.id
    assert "equal" in {case.comparison for case in calls(problems["HumanEval/137"], "plus")}


def test_time_is_as_evalplus_gives_it(problems: Mapping[str, Problem]) -> None:
    problem = problems["HumanEval/0"]
    for suite, seconds in problem.limits.items():
        assert {case.cpu_seconds for case in calls(problem, suite)} == {1.0}
        assert seconds == min(len(problem.suites[suite]), 60) + 1


def test_what_references_give_is_kept_and_a_damaged_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    code = "import os\ndef f(n):\n    return [n, (n,)]\n"
    asked = [Reference(id="one", code=code, entry_point="f", expressions=("f(1)", "f({2})"))]
    first = reference_outputs("b", asked)
    assert first["one"].calls == (("f(1)", "[1, (1,)]"), ("f({2})", "[{2}, ({2},)]"))
    (kept,) = (tmp_path / "benchmarks").iterdir()
    before = kept.read_bytes()
    assert reference_outputs("b", asked) == first
    kept.write_bytes(before[: len(before) // 2])
    assert reference_outputs("b", asked)["one"].calls == first["one"].calls
    reference_outputs("b", [Reference(id="one", code=code, entry_point="f", expressions=("f(1)",))])
    assert len(list((tmp_path / "benchmarks").iterdir())) == 2


def test_what_is_too_long_to_leave_the_sandbox_is_compared_by_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: Judge
) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    code = "def f(n):\n    return 'ab' * n\ndef g(n):\n    return [1.5, 2] * n\n"
    expressions = ("f(3)", "f(3_000_000)", "g(1_000_000)")
    (found,) = reference_outputs("b", [Reference(id="p", code=code, entry_point="f", expressions=expressions)]).values()
    assert found.calls[0] == ("f(3)", "'ababab'")
    assert all(len(literal) < 100 for _, literal in found.calls)
    cases = tuple(Call(expression=expression, expected=literal) for expression, literal in found.calls)

    def outcomes(changed: str) -> list[str]:
        (done,) = judge.run([Program(id="p", code=changed, entry_point="f", cases=cases, limits=Limits())])
        return [case.outcome for case in done.cases]

    assert outcomes(code) == ["passed"] * 3
    assert outcomes(code.replace("1.5, 2", "1.5, 2.0")) == ["passed"] * 3
    assert outcomes(code.replace("[1.5, 2] * n", "([1.5, 2] * n)[::-1]")) == ["passed", "passed", "wrong"]
    assert outcomes(code.replace("[1.5, 2] * n", "(1.5, 2) * n")) == ["passed", "passed", "wrong"]
    assert outcomes(code.replace("'ab' * n", "('ab' * n)[:-1] + 'b' * (n < 9)")) == ["passed", "wrong", "passed"]


def test_a_reference_that_does_not_run_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUM_HUB_HOME", str(tmp_path))
    asked = [Reference(id="T/1 base", code="def f(n):\n    return 1 / n\n", entry_point="f", expressions=("f(0)",))]
    with pytest.raises(BenchmarkError, match=r"its own solution of T/1 base does not pass here \(failed: Zero"):
        reference_outputs("b", asked)
    assert not (tmp_path / "benchmarks").exists()
