"""Suites given as text: what a runner would run is run, and what can fail no program is refused."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plum_hub.answers.checks import module_cases, one_statement, read_tests
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import program

RIGHT = "def add(a, b):\n    if a is None:\n        raise ValueError('no number')\n    return a + b\n"
WRONG = "def add(a, b):\n    if a is None:\n        return 0\n    return a - b\n"
"""Wrong in every test below, also where an error is expected."""

PYTEST = "import pytest\n@pytest"
UNITTEST = "import unittest\nclass TestAdd(unittest.TestCase):\n"
HERE = Path(__file__).parent
RUN = dict(block.split("\n", 1) for block in (HERE / "suites_run.txt").read_text().split("=== ")[1:])
"""Test modules by name."""
REFUSED = dict(block.split("\n", 1) for block in (HERE / "suites_refused.txt").read_text().split("=== ")[1:])
"""The same, where a name ends in a part of the refusal."""


@pytest.fixture(scope="module")
def statuses() -> dict[str, str]:
    """What became of each program under each suite, by `right NAME` and `wrong NAME`."""
    limits = Limits()
    programs = [
        program(f"{word} {name}", code, "add", read_tests(tests, "add"), limits)
        for name, tests in RUN.items()
        for word, code in (("right", RIGHT), ("wrong", WRONG))
    ]
    with Judge(1) as judge:
        return {done.id: f"{done.status} {done.detail}".strip() for done in judge.run(programs)}


@pytest.mark.parametrize("name", RUN)
def test_a_suite_runs_as_its_runner_would_run_it(name: str, statuses: dict[str, str]) -> None:
    assert statuses[f"right {name}"] == "passed"
    assert statuses[f"wrong {name}"].startswith("failed")


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_fail_no_program_or_is_not_run_here_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(name.partition(" | ")[2])) as refused:
        read_tests(REFUSED[name], "add")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("read", [read_tests, module_cases, one_statement])
def test_tests_that_are_nested_without_end_are_refused_in_one_line(read: Callable[..., object]) -> None:
    source = f"def add(a, b) -> {'-' * 1_200}int:\n    return a + b\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        with pytest.raises(ValueError, match="nested too deeply"):
            read(source, *["add"] * (read is not one_statement))
    finally:
        sys.setrecursionlimit(before)


def test_brackets_as_deep_as_python_reads_are_read() -> None:
    source = f"def test_add():\n    assert add(2, 3) != {'[' * 198}{']' * 198}\n"
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    try:
        (case,) = read_tests(source, "add")
        assert sys.getrecursionlimit() == 1_000
    finally:
        sys.setrecursionlimit(before)
    assert "[" * 198 in str(case.statement)


@pytest.mark.parametrize(
    "tests",
    [
        "assert add({large}, 1) == {next}",
        "assert add({large}, 1) in ({next}, 5)",
        "assert add(-{large}, -1) == -{next}",
        "r = add({large}, 1)\nassert r == {next} and r > {large}",
        "BIG = {next}\n\ndef test_add():\n    assert add({large}, 1) == BIG",
        f"{PYTEST}.mark.parametrize('a, b', [({{large}}, {{next}})])\ndef test_add(a, b):\n    assert add(a, 1) == b",
        f"{UNITTEST}    def test_add(self):\n        self.assertEqual(add({{large}}, 1), {{next}})",
    ],
    ids=["call", "in", "negative", "statement", "name", "parametrized", "unittest"],
)
def test_integers_of_more_digits_than_python_writes_in_decimal_are_read(tests: str) -> None:
    large = 10**5_000
    limits = Limits()
    programs = [
        program(f"{word} {base.__name__}", code, "add", cases, limits)
        for base in (hex, oct, bin)
        for cases in [read_tests(tests.replace("{large}", base(large)).replace("{next}", base(large + 1)), "add")]
        for word, code in (("right", RIGHT), ("wrong", WRONG))
    ]
    with Judge(1) as judge:
        done = {one.id: one.status for one in judge.run(programs)}
    assert done == {name: "passed" if name.startswith("right") else "failed" for name in done}


@pytest.mark.parametrize(
    ("test", "name", "call", "expected"),
    [
        ("assert approx(3.7) == 4", "approx", "[approx][0](3.7)", "4"),
        ("assert almost_equal(1.0, 2.0) == False", "almost_equal", "[almost_equal][0](1.0, 2.0)", "False"),
        ("assert isclose(f(10), 10.5)", "isclose", "not not [isclose][0](f(10), 10.5)", "True"),
        ("assert isclose(f(10), 10.5)", "f", "f(10)", "isclose(10.5)"),
    ],
    ids=["approx", "almost_equal", "isclose", "another"],
)
def test_a_program_by_the_name_of_a_library_is_called(test: str, name: str, call: str, expected: str) -> None:
    (case,) = read_tests(test, name)
    assert (case.call, case.expected) == (call, expected)


def test_a_test_of_a_class_carries_no_other_one() -> None:
    methods = "".join(
        f"    def test_{number}(self):\n        x = add({number}, 1)\n        assert x == {number + 1}\n"
        for number in range(5)
    )
    cases = read_tests(f"class TestAdd:\n{methods}", "add")
    assert [re.findall(r"def (test_\d)", case.statement or "") for case in cases] == [
        [f"test_{number}"] for number in range(5)
    ]


def test_a_test_carries_only_the_functions_that_it_may_use() -> None:
    source = "import pytest\n" + "".join(
        f"@pytest.fixture\ndef data_{n}():\n    return made_{n}()\n\ndef made_{n}():\n    return [{n}]\n\n"
        f"def test_{n}(data_{n}):\n    x = add(data_{n}[0], 1)\n    assert x == {n + 1}\n\n"
        for n in range(5)
    )
    cases = read_tests(source, "add")
    assert [re.findall(r"def (\w+_\d)", case.statement or "") for case in cases] == [
        [f"data_{n}", f"made_{n}", f"test_{n}"] for n in range(5)
    ]


def test_a_check_needs_the_name_of_what_it_checks() -> None:
    with pytest.raises(ValueError, match="entry_point"):
        read_tests(RUN["check"])


@pytest.mark.parametrize("name", ["pytest function", "pytest class without setup", "unittest", "check", "bare doctest"])
def test_a_test_that_only_asserts_is_judged_outside(name: str) -> None:
    assert [case.kind for case in read_tests(RUN[name], "add")] == ["call"]


FORGES = """
import sys

def add(a, b):
    names = sys._getframe(1).f_globals
    for name, held in list(names.items()):
        if name.lower().startswith("test") or name in ("check", "same"):
            if isinstance(held, type):
                for inner in [one for one in vars(held) if one.startswith("test")]:
                    setattr(held, inner, lambda self: None)
            else:
                held.__code__ = (lambda: None).__code__
                names[name] = lambda *given: None
    return a + b if a == 1 else 0
"""
"""The first test is passed and the second is not; in between all tests that are to be found are put out of action."""


def test_a_program_cannot_put_a_later_test_out_of_action() -> None:
    functions = "seen = []\n\ndef test_a():\n    seen.append(1)\n    assert add(1, 2) == 3\n\n"
    functions += "def test_b():\n    seen.append(1)\n    assert add(2, 2) == 4\n"
    methods = "class TestAdd:\n    seen = []\n    def test_a(self):\n        assert add(1, 2) == 3\n\n"
    methods += "    def test_b(self):\n        self.seen.append(add(2, 2))\n        assert self.seen == [4]\n"
    programs = [
        program(name, FORGES, "add", read_tests(tests, "add"), Limits())
        for name, tests in (("functions", functions), ("methods", methods))
    ]
    with Judge(1) as judge:
        assert {done.id: done.status for done in judge.run(programs)} == {"functions": "failed", "methods": "failed"}


@pytest.mark.parametrize(
    ("tests", "entry_point", "imported"),
    [
        ("got = np.add(f(1), 1)\nassert got == 3", "f", ["import numpy as np"]),
        ("from __future__ import annotations\ngot = re.sub('a', 'b', f('a'))\nassert got == 'b'", "f", ["import re"]),
        ("got = math.f(2)\nassert got == 4", "f", []),
        ("got = string.upper(f(2))\nassert got == 'A'", "f", []),
        ("got = copy(f(2))\nassert got == copy.made", "f", []),
        ("got = math.floor(2.5)\nassert got == 2", "math", []),
    ],
    ids=["numpy", "future", "no member", "no member of a string", "a function", "the program"],
)
def test_only_what_is_surely_a_module_is_imported_for_tests(tests: str, entry_point: str, imported: list[str]) -> None:
    (case,) = module_cases(tests, entry_point)
    lines = str(case.statement).split("\n")
    assert [line for line in lines if line.startswith("import ")] == imported
