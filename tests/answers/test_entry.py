"""What of a program is judged: what its entry point and the tests reach, and not what tries it out."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from plum_hub.answers.effects import names_in
from plum_hub.answers.entry import missing_helpers, needed_code
from plum_hub.answers.source import parse


def cases() -> dict[str, str]:
    """Programs whose `f(0)` is 2, by what they show; each is headed by a line `### name`."""
    text = Path(__file__).with_name("state_programs.txt").read_text()
    return dict(piece.split("\n", 1) for piece in text.split("### ")[1:])


STATE = cases()
TRIALS = {
    "assertions": "assert f(1) == 0\nassert not f\n",
    "prints": "print(f(2), undefined)\n",
    "calls": "f(1, 2, 3)\n",
    "a result": "result = f(1, 2, 3)\nassert result == 2\n",
    "input": "x = int(input())\nprint(f(x))\n",
    "a loop over cases": "for case, wanted in [(1, 0)]:\n    got = f(case)\n    assert got == wanted\n",
    "reading": "while True:\n    line = input()\n    print(f(line))\n",
    "a guard": "if __name__ == '__main__':\n    f(1, 2, 3)\n",
    "main": "def main():\n    print(f(1, 2))\n\nmain()\n",
    "main that counts": "def main():\n    f.calls += f(1, 2)\nmain()\n",
    "pytest": "import pytest\ndef test_f():\n    with pytest.raises(ValueError):\n        f(1)\ntest_f()\n",
    "unittest": "import unittest\nclass F(unittest.TestCase):\n    def test_f(self):\n        f(1)\nunittest.main()\n",
    "doctest": "import doctest\ndoctest.testmod()\n",
    "try": "try:\n    print(f(1))\nexcept ValueError as error:\n    print(error)\nassert False\n",
    "a checker": "def check(candidate):\n    assert candidate(1) == 0\n\ncheck(f)\n",
    "exit": "import sys\nsys.exit(f(1))\n",
    "a thread": "import threading\ndef run():\n    f(1, 2)\nthreading.Thread(target=run).start()\n",
    "prose": "This is how it works.\nf(2)\n",
    "shown": "import random\nresults = [f(0)]\nrandom.shuffle(results, 1, 2)\n",
    "a class in use": "class A:\n    def go(self):\n        return f(1, 2)\n\n\nA().go()\n",
    "collected": "results = []\nresults.append(f(1, 2))\n",
}


def result_of(code: str) -> Any:
    module = ModuleType("program")
    sys.modules["program"] = module
    try:
        exec(compile(code, "program", "exec"), module.__dict__)
        return module.__dict__["f"](0)
    finally:
        del sys.modules["program"]


@pytest.mark.parametrize("name", STATE)
def test_state_that_the_entry_point_reaches_is_kept(name: str) -> None:
    program = STATE[name]
    assert result_of(program) == 2, "the case itself"
    assert result_of(needed_code(program, "f")) == 2


@pytest.mark.parametrize("name", STATE)
def test_it_is_kept_and_what_tries_it_out_goes(name: str) -> None:
    program = STATE[name]
    assert result_of(needed_code(program + "".join(TRIALS.values()), "f")) == 2


@pytest.mark.parametrize("name", TRIALS)
def test_what_tries_a_solution_out_goes(name: str) -> None:
    program = "import os\ndef f(x):\n    return x + 2\n"
    kept = needed_code(program + TRIALS[name], "f")
    assert [line for line in kept.splitlines() if not line.startswith("import ")] == program.splitlines()[1:]
    assert "pytest" not in kept
    assert "unittest" not in kept


@pytest.mark.parametrize(
    "check",
    [
        "def run_tests():\n    assert g(2) == 9\nrun_tests()\n",
        "if g(2) != 9:\n    raise AssertionError('g')\n",
        "def same(a, b):\n    if a != b:\n        raise AssertionError(a)\nsame(g(2), 9)\n",
        "print(g(2), undefined)\n",
        "n = int(input())\nshown = g(n)\n",
    ],
)
def test_what_tries_a_helper_out_goes_where_it_fills_nothing(check: str) -> None:
    program = "STEPS = [1, 2]\ndef g(x):\n    return x + STEPS[0]\ndef f(x):\n    return g(x)\n"
    assert needed_code(program + check, "f") == program


@pytest.mark.parametrize(
    "line",
    [
        *("os.environ['K'] = '0'", "os.environ['K'] += '0'", "del os.environ['K']", "os.environ['A'] = x = '0'"),
        *("if 'K' not in os.environ:\n    os.environ['K'] = '0'", "try:\n    os.nice(0)\nexcept OSError:\n    pass"),
    ],
)
def test_what_is_set_outside_the_program_is_kept(line: str) -> None:
    program = f"import os\n{line}\ndef f(x):\n    return os.environ.get('K', x)\n"
    assert needed_code(program, "f") == program


def test_a_long_chain_of_names_is_followed_to_its_begin() -> None:
    chain = "x0 = 0\n" + "".join(f"x{n} = x{n - 1} + 1\n" for n in range(1, 300))
    program = f"{chain}def f(x):\n    return x299\n"
    assert needed_code(f"{program}y = 1\nprint(y)\n", "f") == program


def test_names_that_only_the_tests_use_are_kept() -> None:
    program = "class Node:\n    pass\ndef g(x):\n    return x\ndef h(x):\n    return x\ndef f(x):\n    return x\n"
    kept = needed_code(program, "f", names_in("assert g(f(Node())) == 'h' and x.h('''h''')"))
    assert kept == program.replace("def h(x):\n    return x\n", "")


def test_a_method_of_the_entry_point_is_tried_out_too() -> None:
    program = "class F:\n    table = {}\n    @staticmethod\n    def go(x):\n        return x\nF.table.update(n=2)\n"
    assert needed_code(program + "F.go(1, 2)\nq = F()\nq.go(1, 2)\n", "F") == program


@pytest.mark.parametrize(
    ("code", "is_whole"),
    [
        ("def f(x):\n    s = 1\n    return (x +", False),
        ("def f(x):\n    if x:\n        return 1\n    else:\n        # later\n\n    return 2\n", False),
        ("def f(x):\n    def g():\n        return 1\n    return (g(", False),
        ("def f(x):\n    return g(x)\n\ndef g(x):\n    y = x\n    return (y", False),
        ("class f:\n    def go(self): return 1\n\n    def stop(self):\n        # later\n", False),
        ("def f(x):\n    return x\n    It adds one.\n", True),
        ("def f(x):\n    if x:\n        return 1\n    else:\n        raise ValueError\n    print('", True),
        ("def f(x):\n    return x\n\ndef test_f():\n    y = f(1)\n    assert (y", True),
        ("def f(x):\n    return x\n\nprint(f(1), f(", True),
    ],
)
def test_a_program_that_breaks_off_within_what_is_needed_is_none(code: str, is_whole: bool) -> None:
    assert (needed_code(code, "f", whole=True) != code) == is_whole
    assert needed_code(code, "f") == code or parse(needed_code(code, "f")) is not None  # as EvalPlus does


GIVEN = "import math\n\n\ndef g(x):\n    return math.floor(x)\n\n\ndef f(x):\n    pass\n"


@pytest.mark.parametrize(
    ("code", "used", "names"),
    [
        ("def f(x):\n    return g(x)\n", {"f"}, {"math", "g"}),
        ("def f(x):\n    return 1\n", {"f", "g"}, {"math", "g"}),
        ("def f(x):\n    return 1\n", {"f"}, set()),
        ("def g(x):\n    return 1\ndef f(x):\n    return g(x)\n", {"f", "g"}, set()),
        ("def f(x):\n    return math.floor(x)\n", {"f"}, set()),  # an import is the program's own affair
        ("def other(x):\n    return f(x)\n", {"f"}, set()),
        ("def f(x:\n", {"f", "g"}, set()),
    ],
)
def test_a_helper_of_the_prompt_that_the_answer_leaves_out(code: str, used: set[str], names: set[str]) -> None:
    found = missing_helpers(code, GIVEN, "f", used)
    assert {name for name in ("math", "g", "f") if f"import {name}" in found or f"def {name}" in found} == names


def test_a_foreign_program_is_given_only_what_the_tests_call() -> None:
    assert missing_helpers("def f(x):\n    return g(x)\n", GIVEN, "f", {"f"}, tests_only=True) == ""
    assert "def g" in missing_helpers("def f(x):\n    return 1\n", GIVEN, "f", {"f", "g"}, tests_only=True)
