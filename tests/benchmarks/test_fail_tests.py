"""The arguments that EvalPlus' result files name for a failed case: of every case of every benchmark."""

import json
from fractions import Fraction

import pytest

from plum_hub.benchmarks import load
from plum_hub.evaluation.exports import arguments_of
from plum_hub.execution.base import Call, Statement
from plum_hub.execution.literals import write_literal
from tests.benchmarks.cut import DATA, needs_data


@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("f(1, 'a', [None, (2.5,)], {1: {2}})", [[1, "a", [None, [2.5]], {"1": [2]}]]),
        ("f(3 * 19, 1.0 / 3)", [["3 * 19", "1.0 / 3"]]),
        ("f('abc' + 'cade', root)", [["'abc' + 'cade'", "root"]]),
        ("f([0, 5 ** 2], Pair(5, 24))", [["[0, 5 ** 2]", "Pair(5, 24)"]]),
        ("sorted(f(*[1], n=-2))", [["*[1]", -2]]),
        ("f(b'x', 1 + 2j, ...)", [["b'x'", "(1+2j)", "..."]]),
        (f"f({write_literal(Fraction(1, 3))}, range(2))", [["Fraction(1, 3)", "range(0, 2)"]]),
        ("g(1)", []),
        ("f(", []),
        (f"f({'9' * 5000})", []),
    ],
)
def test_arguments_are_values_or_their_source(expression: str, arguments: list[list[object]]) -> None:
    found = arguments_of(Call(expression=expression, expected="0"), "f")
    assert json.loads(json.dumps(found)) == arguments


def test_a_statement_has_no_arguments() -> None:
    assert arguments_of(Statement(source="assert f(1)"), "f") == []


@needs_data
@pytest.mark.parametrize(
    ("name", "file", "told"),
    [
        ("humaneval", "humaneval/HumanEval.jsonl.gz", {16, 25, 31, 75, 90, 108}),
        ("mbpp", "mbpp", {367, 486, 533, 601, 927}),
        ("mbpp-sanitized", "mbpp", {803}),
    ],
)
def test_every_case_of_a_benchmark_can_be_told(name: str, file: str, told: set[int]) -> None:
    of_source = set()
    for problem in load(name, source=DATA / file).problems():
        for suite in problem.suites.values():
            for case in suite:
                found = json.loads(json.dumps(arguments_of(case, problem.entry_point)))
                if isinstance(case, Call) and found:
                    assert len(found) == 1
                    if any(
                        isinstance(one, str) and one in case.expression and repr(one) not in case.expression
                        for one in found[0]
                    ):
                        of_source.add(int(problem.id.rpartition("/")[2]))
    assert told <= of_source
