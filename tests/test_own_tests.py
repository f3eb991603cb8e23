"""Suites are read from datasets whose rows have tests of their own, whatever form those have."""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from plum_hub.answers.starter import make_stub_code
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import program
from plum_hub.pipeline.own_tests import RowSuite, UnusableTests, suites_of
from tests.rehearsal import plum_hub, rows

DOUBLE = "def double(n):\n    return 2 * n\n"
CLASS = "class Solution:\n    def most(self, nums: List[int]) -> int:\n        return max(nums)\n"
ADD_LINES = "a, b = map(int, input().split())\nprint(a + b)\n"
PAIRS = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}

ROWS: dict[str, tuple[Mapping[str, Any], str, int]] = {
    "mbpp": ({"code": DOUBLE, "test_list": ["assert double(2) == 4", "assert double(0) == 0"]}, "double", 2),
    "mbpp, more tests": (
        {"code": DOUBLE, "test_list": ["assert double(2) == 4"], "challenge_test_list": ["assert double(5) == 10"]},
        "double",
        2,
    ),
    "mbpp, set-up": (
        {
            "code": "class Node:\n    def __init__(self, v):\n        self.v = v\n\ndef value(n):\n    return n.v\n",
            "test_setup_code": "root = Node(5)\r\n",
            "test_list": ["assert value(root) == 5", "assert value(Node(1)) == 1"],
        },
        "value",
        2,
    ),
    "mbpp, imports": (
        {
            "code": DOUBLE,
            "test_imports": ["import math"],
            "test_list": ["assert math.isclose(double(0.1), 0.2)", "assert double(1) == 2"],
        },
        "double",
        2,
    ),
    "padded with null, and indented": (
        {"code": DOUBLE, "test_list": ["  assert double(2) == 4  ", None, "assert double(0) == 0 # none", "", None]},
        "double",
        2,
    ),
    "line ends written out": ({"code": DOUBLE, "tests": "assert double(2) == 4\\nassert double(0) == 0"}, "double", 2),
    "named arguments": (
        {
            "code": DOUBLE,
            "tests": [{"input": {"n": 2}, "output": 4}, {"input": {"n": 3}, "output": 6}],
            "fn_name": "double",
        },
        "double",
        2,
    ),
    "named arguments as text": (
        {
            "code": DOUBLE,
            "tests": [{"input": "n = 2", "output": "4"}, {"input": "n=3", "output": "6"}],
            "fn_name": "double",
        },
        "double",
        2,
    ),
    "arguments as text": (
        {
            "code": "def add(a, b):\n    return a + b\n",
            "tests": [{"input": "1, 2", "output": "3"}, {"input": "[1], [2]", "output": "[1, 2]"}],
            "fn_name": "add",
        },
        "add",
        2,
    ),
    "calls as text": (
        {"code": DOUBLE, "inputs": ["double(2)", "double(3)"], "outputs": ["4", "6"], "fn_name": "double"},
        "double",
        2,
    ),
    "functional, no solution": (
        {
            "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
            "private_test_cases": json.dumps([{"input": "5\n2\n", "output": "7", "testtype": "functional"}]),
            "metadata": json.dumps({"func_name": "add"}),
        },
        "add",
        2,
    ),
    "pairs with line ends written out": (
        {"inputs": ["1 2\\n", "3 4\\n"], "outputs": ["3", "7"], "code": ADD_LINES},
        "",
        2,
    ),
    "pairs padded with null": (
        {"inputs": ["1 2\n", "3 4\n", None], "outputs": ["3", "7", None], "code": ADD_LINES},
        "",
        2,
    ),
    "solutions with their languages": (
        PAIRS | {"solutions": [{"language": 2, "solution": "int main(){}"}, {"language": 3, "solution": ADD_LINES}]},
        "",
        2,
    ),
    "a builtin's name": (
        {"code": "def sum(a, b):\n    return a + b\n", "test_list": ["assert sum(1, 2) == 3", "assert sum(0, 0) == 0"]},
        "sum",
        2,
    ),
    "humaneval": (
        {
            "prompt": 'def double(n: int) -> int:\n    """Return twice n."""\n',
            "canonical_solution": "    return 2 * n\n",
            "entry_point": "double",
            "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
        },
        "double",
        2,
    ),
    "leetcode": (
        {
            "solution": CLASS,
            "test": "def check(candidate):\n    assert candidate(nums = [1, 3]) == 3\n"
            "    assert candidate(nums = [2]) == 2\n\ncheck(Solution().most)",
        },
        "Solution",
        2,
    ),
    "leetcode, by its entry point": (
        {
            "solution": CLASS,
            "entry_point": "Solution().most",
            "test": "def check(candidate):\n    assert candidate(nums = [1, 3]) == 3\n"
            "    assert candidate(nums = [2]) == 2\n",
        },
        "Solution",
        2,
    ),
    "bigcodebench": (
        {
            "code_prompt": "import math\ndef double(n):\n",
            "canonical_solution": "    return 2 * n\n",
            "test": "import unittest\nclass TestCases(unittest.TestCase):\n    def test_1(self):\n"
            "        self.assertEqual(double(2), 4)\n    def test_2(self):\n        self.assertEqual(double(3), 6)\n",
            "entry_point": "double",
        },
        "double",
        2,
    ),
    "opencoder": ({"code": DOUBLE, "testcase": "['assert double(2) == 4', 'assert double(3) == 6']"}, "double", 2),
    "synthetic-1": (
        {
            "gold_standard_solution": f"```python\n{ADD_LINES}```",
            "verification_info": json.dumps(
                {
                    "language": "python",
                    "test_cases": [
                        {"type": "stdin_stdout", "input": "1 2\n", "output": "3\n"},
                        {"type": "stdin_stdout", "input": "3 4\n", "output": "7\n"},
                    ],
                }
            ),
        },
        "",
        2,
    ),
    "multipl-e": (
        {
            "tests": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 6\n\n"
            "def test_check():\n    check(double)\n\ntest_check()\n",
            "code": DOUBLE,
        },
        "double",
        1,
    ),
    "arguments as texts": (
        {
            "code": DOUBLE,
            "function_name": "double",
            "test_cases": [
                {"input": "2", "expected_output": "4"},
                {"input": "3", "expected_output": "6"},
            ],
        },
        "double",
        2,
    ),
    "arguments as lists": (
        {"code": DOUBLE, "fn_name": "double", "tests": [{"args": [2], "expected": 4}, {"args": [3], "expected": 6}]},
        "double",
        2,
    ),
    "lists as texts": (
        {"code": DOUBLE, "fn_name": "double", "inputs": ["[2]", "[3]"], "outputs": ["4", "6"]},
        "double",
        2,
    ),
    "arguments on lines": (
        {
            "code": "def join(a, b):\n    return a + b\n",
            "metadata": '{"func_name": "join"}',
            "public_test_cases": json.dumps(
                [
                    {"input": "[1]\n[2]", "output": "[1, 2]", "testtype": "functional"},
                    {"input": "[]\n[3]", "output": "[3]", "testtype": "functional"},
                ]
            ),
        },
        "join",
        2,
    ),
    "a null column beside": (
        {"test": None, "test_list": None, "code": DOUBLE, "unit_test": "assert double(2) == 4\nassert double(3) == 6"},
        "double",
        2,
    ),
    "acecode": ({"test_cases": ["assert double(2) == 4", "assert double(3) == 6"]}, "double", 2),
    "acecode, as text": ({"tests": json.dumps(["assert double(2) == 4", "assert double(3) == 6"])}, "double", 2),
    "kodcode": (
        {
            "solution": f"```python\n{DOUBLE}```",
            "test": "from solution import double\nimport pytest\n\ndef test_two():\n    assert double(2) == 4\n\n"
            "def test_raises():\n    with pytest.raises(TypeError):\n        double(None)\n",
            "test_info": [{"function_name": "double", "parameter_list": "(n)"}],
        },
        "double",
        2,
    ),
    "apps, script": ({"solutions": json.dumps([ADD_LINES]), "input_output": json.dumps(PAIRS)}, "", 2),
    "apps, lines": (
        {"solutions": [ADD_LINES], "input_output": {"inputs": [["1 2"], ["3 4"]], "outputs": [["3"], ["7"]]}},
        "",
        2,
    ),
    "apps, function": (
        {
            "starter_code": "def double(n):",
            "solutions": json.dumps([DOUBLE]),
            "input_output": json.dumps({"fn_name": "double", "inputs": [[1], [2]], "outputs": [[2], [4]]}),
        },
        "double",
        2,
    ),
    "taco, method": (
        {
            "starter_code": "class Solution:\n    def most(self, nums: List[int]) -> int:\n",
            "solutions": [CLASS],
            "input_output": {"fn_name": "most", "inputs": [[[1, 3]], [[2]]], "outputs": [3, 2]},
        },
        "Solution",
        2,
    ),
    "lists of one": (
        {
            "solutions": ["def pack(n):\n    return [n]\n"],
            "input_output": {"fn_name": "pack", "inputs": [[1], [2]], "outputs": [[1], [2]]},
        },
        "pack",
        2,
    ),
    "tuples, which JSON has not": (
        {
            "solutions": ["def twice(n):\n    return (n, (n, n))\n"],
            "input_output": json.dumps(
                {"fn_name": "twice", "inputs": [[1], [2]], "outputs": [[1, [1, 1]], [2, [2, 2]]]}
            ),
        },
        "twice",
        2,
    ),
    "integer keys, which JSON has not": (
        {
            "solutions": ["def swap(d):\n    return {d[key]: key + 1 for key in d}\n"],
            "input_output": json.dumps(
                {"fn_name": "swap", "inputs": [[{1: 5}], [{2: 6}]], "outputs": [{5: 2}, {6: 3}]}
            ),
        },
        "swap",
        2,
    ),
    "keys that are texts": (
        {
            "solutions": ["def pair(n):\n    return {str(n): [n]}\n"],
            "input_output": json.dumps({"fn_name": "pair", "inputs": [[1], [2]], "outputs": [{"1": [1]}, {"2": [2]}]}),
        },
        "pair",
        2,
    ),
    "the same input twice": (
        {"inputs": ["1 2\n", "1 2\n", "3 4\n"], "outputs": ["3\n", "3", "7\n"], "solution": ADD_LINES},
        "",
        2,
    ),
    "codecontests": (
        {
            "public_tests": {"input": ["1 2\n"], "output": ["3\n"]},
            "private_tests": {"input": ["3 4\n"], "output": ["7\n"]},
            "generated_tests": {"input": [], "output": []},
            "solutions": {"language": [2, 3], "solution": ["int main() {}", ADD_LINES]},
        },
        "",
        2,
    ),
    "pairs": ({"tests": [{"input": "1 2\n", "output": "3\n"}, {"input": "3 4\n", "output": "7\n"}]}, "", 2),
    "two columns": ({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"], "solution": ADD_LINES}, "", 2),
    "script, encoded twice": ({"solutions": [ADD_LINES], "input_output": json.dumps(json.dumps(PAIRS))}, "", 2),
    "script, lists encoded again": (
        {"solution": ADD_LINES, "input_output": json.dumps({key: json.dumps(one) for key, one in PAIRS.items()})},
        "",
        2,
    ),
    "script, as a CSV has it": ({"solutions": [ADD_LINES], "input_output": repr(PAIRS)}, "", 2),
    "assertions, encoded twice": (
        {"code": DOUBLE, "test_list": json.dumps(json.dumps(["assert double(2) == 4", "assert double(3) == 6"]))},
        "double",
        2,
    ),
    "verl, script": (
        {"reward_model": {"style": "rule", "ground_truth": json.dumps(PAIRS)}, "solution": ADD_LINES},
        "",
        2,
    ),
    "verl, function": (
        {
            "reward_model": {
                "style": "rule",
                "ground_truth": json.dumps({"fn_name": "double", "inputs": [[1], [2]], "outputs": [2, 4]}),
            },
            "code": DOUBLE,
        },
        "double",
        2,
    ),
    "livecodebench, a name in each test": (
        {
            "tests": [
                {"input": one, "output": other, "testtype": "functional", "metadata": {"func_name": "double"}}
                for one, other in (("1", "2"), ("2", "4"))
            ]
        },
        "double",
        2,
    ),
    "expected_stdout": ({"tests": [{"stdin": f"{n} 1", "expected_stdout": str(n + 1)} for n in (1, 2)]}, "", 2),
    "fn_name, two columns": (
        {"inputs": [[1], [4]], "outputs": [2, 8], "fn_name": "double", "code": DOUBLE},
        "double",
        2,
    ),
}

LINKED = """import random
from typing import *

class Node:
    def __init__(self, value, after=None):
        self.value, self.after = value, after

def linked(values):
    head = None
    for value in reversed(values):
        head = Node(value, head)
    return head

def is_same(one, other):
    while one and other and one.value == other.value:
        one, other = one.after, other.after
    return one is other is None
"""
REVERSED = """class Solution:
    def turned(self, head: Optional[Node]) -> Optional[Node]:
        found = None
        while head:
            head.after, found, head = found, head, head.after
        return found
"""
LEETCODE = {
    "prompt": LINKED,
    "starter_code": "class Solution:\n    def turned(self, head: Optional[Node]) -> Optional[Node]:\n        ",
    "entry_point": "Solution().turned",
    "test": "def check(candidate):\n    assert is_same(candidate(head = linked([1, 2])), linked([2, 1]))\n"
    "    assert is_same(candidate(head = linked([])), linked([]))\n",
}
"""A row as LeetCodeDataset has them: what tests need is in the prompt, and the solution is a completion."""

ROWS |= {
    "leetcode, helpers in the prompt": (LEETCODE | {"completion": REVERSED}, "Solution", 2),
    "leetcode, helpers and a whole solution": (LEETCODE | {"solution": f"```python\n{REVERSED}```"}, "Solution", 2),
    "leetcode, no solution": (LEETCODE, "Solution", 2),
    "leetcode, a helper of what its site imports": (
        LEETCODE | {"prompt": LINKED.replace("reversed(values)", "[*deque(values)][::-1]"), "completion": REVERSED},
        "Solution",
        2,
    ),
    "completion": (
        {"prompt": "def double(n: int) -> int:\n", "completion": "    return 2 * n\n", "test": "assert double(2) == 4"},
        "double",
        1,
    ),
    "completion in prose": (
        {"completion": "Surely:\n```python\ndef double(n): return n\n```", "test": "assert double(2) == 4"},
        "double",
        1,
    ),
    "lambda": ({"code": "double = lambda n: 2 * n\n", "test_list": ["assert double(2) == 4"]}, "double", 1),
    "partial": (
        {"code": "from functools import partial\npower = partial(pow, 2)\n", "test_list": ["assert power(3) == 8"]},
        "power",
        1,
    ),
    "another name": ({"code": f"{DOUBLE}\ntwice = double\n", "test_list": ["assert twice(2) == 4"]}, "twice", 1),
}

IMPORTS = {
    "brackets": "from solution import (\n    double,\n)",
    "comment": "from solution import double  # noqa: F401",
    "relative": "from .solution import double",
    "package": "from src.solution import double",
    "its own name": "from double import double",
    "another module": "from numbers_of_mine import double",
    "all names": "from solution import *",
    "several": "from solution import double, LIMIT\nassert LIMIT == LIMIT == 7",
    "alias": "from solution import double as g",
    "module": "import solution",
    "module, alias": "import solution as s",
    "module of a package": "from . import solution",
    "importlib": "import importlib\ns = importlib.import_module('solution')",
    "either": "try:\n    from solution import double\nexcept ImportError:\n    from .solution import double",
    "inside": "",
}
CALLED = {"alias": "g", "module": "solution.double", "module, alias": "s.double", "importlib": "s.double"}
CALLED["module of a package"] = "solution.double"

TO_TEXT = "def to_text(n):\n    return bin(n)[2:]\n"

BAD: dict[str, tuple[Mapping[str, Any], str]] = {
    "no column": ({"prompt": "x"}, "no_tests"),
    "empty": ({"test_list": []}, "no_tests"),
    "none": ({"test": None}, "no_tests"),
    "no Python": ({"test": "assert double(2 == 4"}, "unreadable_tests"),
    "numbers": ({"test_list": [1, 2]}, "unreadable_tests"),
    "a number": ({"tests": 7}, "unreadable_tests"),
    "uneven": ({"input_output": {"inputs": ["1"], "outputs": []}}, "unreadable_tests"),
    "no input": ({"input_output": {"inputs": [], "outputs": []}}, "no_tests"),
    "prints": ({"test": "print(double(2))", "code": DOUBLE}, "unreadable_tests"),
    "holds always": ({"test_list": ["assert True", "assert 1 == 1"], "code": DOUBLE}, "no_entry_point"),
    "another function": ({"test_list": ["assert triple(2) == 6"], "code": DOUBLE}, "no_entry_point"),
    "C++ alone": (
        {
            "public_tests": {"input": ["1"], "output": ["1"]},
            "solutions": {"language": [2], "solution": ["int main(){}"]},
        },
        "no_reference",
    ),
    "what nothing defines": (LEETCODE | {"prompt": "Turn a list around."}, "unreadable_tests"),
    "what the prompt only declares": (
        LEETCODE | {"prompt": "def linked(values):\n    pass\n\ndef is_same(one, other):\n    pass\n"},
        "unreadable_tests",
    ),
    "named arguments beside others": (
        {"tests": [{"args": [1], "kwargs": {"b": 2}, "expected": 3}], "fn_name": "add"},
        "unreadable_tests",
    ),
    "an output that is null": ({"inputs": ["1\n", "2\n"], "outputs": ["2\n", None]}, "unreadable_tests"),
    "no output": ({"tests": [{"input": "1"}, {"input": "2"}], "code": ADD_LINES}, "unreadable_tests"),
    "a function without a name": (
        {"tests": [{"input": "1", "output": "2", "testtype": "functional"}, {"input": "2", "output": "4"}]},
        "no_entry_point",
    ),
    "a call without a name": (
        {"tests": [{"type": "function_call", "input": [n], "output": [2 * n]} for n in (1, 2)]},
        "no_entry_point",
    ),
    "one output": ({"input_output": {"inputs": ["1", "2"], "outputs": ["0", "0"]}}, "cannot_fail"),
    "two outputs of an input": ({"inputs": ["1\n", "1\n", "2\n"], "outputs": ["2\n", "3\n", "5\n"]}, "contradictory"),
    "two values of a call": (
        {"inputs": [[1], [1], [2]], "outputs": [2, 3, 4], "fn_name": "double", "code": DOUBLE},
        "contradictory",
    ),
    "nested": ({"tests": json.loads("[" * 900 + "]" * 900)}, "unreadable_tests"),
}


@pytest.fixture(scope="module")
def judge() -> Any:
    with Judge(1) as made:
        yield made


@pytest.mark.parametrize("name", ROWS)
def test_a_row_becomes_a_suite_that_its_reference_passes_and_a_stub_fails(name: str, judge: Judge) -> None:
    row, entry_point, cases = ROWS[name]
    found = suites_of(row, None)
    assert not isinstance(found, UnusableTests), found
    assert {(one.entry_point, len(one.cases)) for one in found} == {(entry_point, cases)}
    programs = [
        program(f"{number} {role}", code, entry_point, one.cases, Limits())
        for number, one in enumerate(found)
        for role, code in (("own", one.reference), ("stub", make_stub_code(one.starter_code, entry_point)))
        if code
    ]
    statuses = {execution.id: execution.status for execution in judge.run(programs)}
    assert all(status != "passed" for key, status in statuses.items() if key.endswith("stub"))
    own = [status for key, status in statuses.items() if key.endswith("own")]
    assert own.count("passed") == 1 or not own  # of two readings of one row one is right


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("def pair(n): return [n, n]", "passed"),
        ("def pair(n): return (n, n)", "passed"),
        ("def pair(n): return (n, n, n)", "failed"),
        ("def pair(n): return {n}", "failed"),
    ],
)
def test_a_program_may_return_a_tuple_where_json_has_a_list(code: str, status: str, judge: Judge) -> None:
    found = suites_of({"fn_name": "pair", "inputs": [[1], [2]], "outputs": [[1, 1], [2, 2]]}, None)
    assert isinstance(found, list)
    (execution,) = judge.run([program("pair", code, "pair", found[0].cases, Limits())])
    assert execution.status == status
    assert {case.judged for case in execution.cases} == {"outside"}


COUNTS = "def f(s):\n    return {c: s.count(c) for c in s}\n"
UNIMPORTED = {
    "a name": ("from collections import Counter, deque\ndef f(s): return Counter(s)\n",
               "f('aab') == Counter(a=2, b=1)", COUNTS),
    "a module": ("import datetime\ndef f(y): return datetime.date(y, 1, 1)\n",
                 "f(2020) == datetime.date(2020, 1, 1)", "from datetime import date\ndef f(y): return date(y, 1, 1)\n"),
    "a class": ("from datetime import datetime\ndef f(y): return datetime(y, 1, 1)\n",
                "f(2020) == datetime(2020, 1, 1)",
                "import datetime\ndef f(y): return datetime.datetime(y, 1, 1)\n"),
    "a star": ("from math import *\ndef f(x): return sqrt(x)\n", "f(4) == sqrt(4)", "def f(x): return x ** 0.5\n"),
    "nothing": (COUNTS, "f('aab') == Counter(a=2, b=1)",
                "from collections import Counter\ndef f(s): return Counter(s)\n"),
    "an argument": ("from collections import deque\ndef f(q): return sum(q)\n", "f(deque([1, 2])) == 3",
                    "def f(q): return q[0] + q[1]\n"),
}  # fmt: skip
"""What a solution imports: the solution, a test without imports, and another right program."""


@pytest.mark.parametrize("name", UNIMPORTED)
def test_tests_have_what_they_do_not_import_whatever_the_program_imports(name: str, judge: Judge) -> None:
    solution, test, other = UNIMPORTED[name]
    found = suites_of({"code": solution, "test_list": [f"assert {test}"]}, None)
    assert isinstance(found, list), found
    codes = {"own": solution, "other": other, "wrong": "def f(x): return 5\n"}
    programs = [program(role, code, "f", found[0].cases, Limits()) for role, code in codes.items()]
    statuses = {one.id: one.status for one in judge.run(programs)}
    assert statuses == {"own": "passed", "other": "passed", "wrong": "failed"}


def test_what_the_solution_defines_is_not_taken_from_a_library(judge: Judge) -> None:
    code = "class Counter:\n    def __init__(self):\n        self.n = 0\n\ndef gcd(c):\n    return c.n\n"
    found = suites_of({"code": code, "test_list": ["assert gcd(Counter()) == 0"]}, None)
    assert isinstance(found, list)
    (execution,) = judge.run([program("own", code, "gcd", found[0].cases, Limits())])
    assert execution.status == "passed"


@pytest.mark.parametrize("name", IMPORTS)
@pytest.mark.parametrize("more", [{}, {"entry_point": "double"}], ids=["found", "named"])
def test_a_test_module_may_import_the_program_in_any_way(name: str, more: dict[str, str], judge: Judge) -> None:
    body = f"assert {CALLED.get(name, 'double')}(2) == 4"
    if name == "inside":
        body = f"from double import double\n    {body}"
    solution = f"LIMIT = 7\n\n{DOUBLE}"
    found = suites_of({"solution": solution, "test": f"{IMPORTS[name]}\n\ndef test_two():\n    {body}\n", **more}, None)
    assert isinstance(found, list), found
    (suite,) = found
    assert suite.entry_point == "double"
    codes = {"right": suite.reference, "wrong": suite.reference.replace("2 * n", "n")}
    programs = [program(role, code, "double", suite.cases, Limits()) for role, code in codes.items()]
    assert {one.id: one.status for one in judge.run(programs)} == {"right": "passed", "wrong": "failed"}


@pytest.mark.parametrize("code", ["double = lambda n: 2 * n\n", "def f(n): return 2 * n\ndouble = f\n"])
def test_starter_code_does_not_show_a_solution_that_is_no_def(code: str) -> None:
    found = suites_of({"code": code, "test_list": ["assert double(2) == 4"]}, None)
    assert isinstance(found, list)
    assert found[0].starter_code == "def double(arg1):\n    pass\n"


def test_starter_code_has_the_classes_of_its_signature(judge: Judge) -> None:
    found = suites_of(LEETCODE, None)
    assert isinstance(found, list)
    codes = {"right": found[0].starter_code + REVERSED, "wrong": found[0].starter_code}
    programs = [program(role, code, "Solution", found[0].cases, Limits()) for role, code in codes.items()]
    assert {one.id: one.status for one in judge.run(programs)} == {"right": "passed", "wrong": "failed"}
    scope: dict[str, Any] = {}
    exec(found[0].starter_code, scope)
    assert scope["Node"](5).value == 5
    assert "linked" not in scope


@pytest.mark.parametrize("name", BAD)
def test_a_row_without_a_suite_says_why(name: str) -> None:
    row, reason = BAD[name]
    found = suites_of(row, None)
    assert isinstance(found, UnusableTests)
    assert found.reason == reason, found


@pytest.mark.parametrize("text", ['{"inputs": ["1"], "outputs"', '{"inputs": ["1\n"], "outputs": ["2"]}', "[1, 2"])
def test_broken_json_is_called_so(text: str) -> None:
    found = suites_of({"input_output": text}, None)
    assert isinstance(found, UnusableTests)
    assert "neither Python nor JSON (" in found.detail


def test_a_column_can_be_named_and_cases_limited() -> None:
    row = {"test_list": ["assert double(0) == 0"], "mine": [f"assert double({n}) == {2 * n}" for n in range(9)]}
    found = suites_of(row, "mine", max_cases=4)
    assert isinstance(found, list)
    assert [case.call for case in found[0].cases] == [f"double({n})" for n in range(4)]
    assert found == [RowSuite("double", "def double(arg1):\n    pass\n", "", found[0].cases)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published run over a file whose rows have tests of their own."""
    folder = tmp_path_factory.mktemp("own")
    tasks = [
        {"text": f"Write a Python function add_{n}(x) that returns x plus {n}.", "code": code, "test_list": tests}
        for n, code, tests in (
            (1, "def add_1(x):\n    return x + 1\n", ["assert add_1(2) == 3", "assert add_1(0) == 1"]),
            (2, "def add_2(x):\n    return x + 3\n", ["assert add_2(2) == 4", "assert add_2(0) == 2"]),
            (3, "def add_3(x):\n    return x + 3\n", []),
            (4, "def add_4(x):\n    return x + 4\n", ["assert add_4(1) == 5", "assert add_4(2) == 6"]),
        )
    ]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    answers = [
        {"contains": f"add_{n}(", "texts": [f"```python\ndef add_{n}(x):\n    return x + {m}\n```" for m in (n, 9)]}
        for n in (1, 4)
    ]
    (folder / "policy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    done = plum_hub([*build(folder), "--hub", "embedded", "--json"], PLUM_HUB_HOME=str(folder / "home"))
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def build(folder: Path, *options: str) -> list[str]:
    """The command of a build. Its generator does not exist, and is not asked."""
    return [
        sys.executable, "-m", "plum_hub", "build-dataset", "--model", f"scripted:{folder / 'policy.jsonl'}",
        "--suites", str(folder / "tasks.jsonl"), "--generator", f"vllm:{folder / 'nothing'}",
        "--run", str(folder / "run"), "--set", "samples.per_instruction=4", "--set", "verdicts.mypy_codes=[]",
        "--set", "decontamination.benchmarks=[]", "--set", "instructions.near_duplicates=1.0", *options,
    ]  # fmt: skip


def test_tests_that_mean_two_things_make_no_suite_without_a_solution(tmp_path: Path) -> None:
    """Which reading is meant a solution tells, or a signature that only one of them fits."""
    shown, digits = "def rev(items):\n    pass\n", {"inputs": [[1], [2], [3]], "outputs": ["1", "10", "11"]}
    tasks = [
        ("binary", "to_binary", {"input_output": {"fn_name": "to_binary", **digits}}),
        ("solved", "to_text", {"input_output": {"fn_name": "to_text", **digits}, "code": TO_TEXT}),
        (
            "rev",
            "rev",
            {"inputs": ["[1,2]", "[3]"], "outputs": ["[2,1]", "[3]"], "fn_name": "rev", "starter_code": shown},
        ),
    ]
    rows_of = [{"text": f"Write a Python function {name} for {key} things.", **row} for key, name, row in tasks]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of))
    answers = [
        {
            "contains": "to_text(",
            "texts": [f"```python\n{TO_TEXT}```", "```python\ndef to_text(n):\n    return n\n```"],
        },
        {"texts": ["```python\ndef rev(items):\n    return items[::-1]\n```"]},
    ]
    (tmp_path / "policy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    done = plum_hub([*build(tmp_path), "--hub", "none", "-q"], PLUM_HUB_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    suites = {suite["entry_point"]: suite["cases"][0] for suite in rows(tmp_path / "run", "suites")}
    assert {name: (case["call"], case["expected"]) for name, case in suites.items()} == {
        "to_text": ("to_text(1)", "'1'"), "rev": ("rev([1, 2])", "as_lists([2, 1])"),
    }  # fmt: skip
    (drop,) = (row for row in rows(tmp_path / "run", "dropped") if row["stage"] == "suites")
    assert drop["reason"] == "ambiguous_tests"
    assert "its first test may be to_binary(1) == 1 or to_binary(1) == '1'" in drop["detail"]


def test_a_build_takes_the_tests_of_its_rows_and_says_why_others_have_none(built: Path) -> None:
    suites = rows(built / "run", "suites")
    assert [suite["entry_point"] for suite in suites] == ["add_1", "add_4"]
    assert not (built / "run" / "shards" / "00000" / "responses.jsonl").exists()  # no generator is asked
    reasons = Counter(row["reason"] for row in rows(built / "run", "dropped") if row["stage"] == "suites")
    assert reasons == {"reference_failed": 1, "no_tests": 1}
    labels = Counter(row["label"] for row in rows(built / "run", "preferences"))
    assert labels[True] + labels[False] == 8
    assert labels[True]
    assert labels[False]


def test_a_column_of_tests_that_is_not_there_is_refused_at_once(built: Path) -> None:
    command = build(built, "--run", str(built / "other"))
    command[command.index("--suites") + 1] += ":asserts"
    done = plum_hub([*command, "--hub", "none", "-q"], PLUM_HUB_HOME=str(built / "home"))
    assert done.returncode == 5, done.stderr
    assert "has no column 'asserts'; its columns: code, test_list, text. Name that of the tests" in done.stderr


def test_such_a_run_goes_on_and_makes_nothing_twice(built: Path) -> None:
    before = {kind: rows(built / "run", kind) for kind in ("suites", "samples", "dropped")}
    done = plum_hub([*build(built), "--hub", "none", "-q"], PLUM_HUB_HOME=str(built / "home"))
    assert done.returncode == 0, done.stderr
    assert {kind: rows(built / "run", kind) for kind in before} == before


def test_such_a_release_verifies(built: Path) -> None:
    release = json.loads((built / "result.json").read_text())["release"]
    command = [sys.executable, "-m", "plum_hub", "verify"]
    done = plum_hub([*command, f"{release['repo']}@{release['tag']}", "--json"], PLUM_HUB_HOME=str(built / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    card = (built / "run" / "release" / "dataset" / "README.md").read_text()
    assert "the tests that the rows of the instructions' source have" in card


def test_a_file_that_changed_is_refused(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "copy")
    folder = tmp_path / "copy"
    (folder / "tasks.jsonl").write_text((folder / "tasks.jsonl").read_text().replace("plus 1", "plus one"))
    done = plum_hub([*build(folder), "--hub", "none", "-q"], PLUM_HUB_HOME=str(folder / "home"))
    assert done.returncode in (4, 5)
    assert "Traceback" not in done.stderr
