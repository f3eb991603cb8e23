"""Answers in the styles in which weak and strong models write them, and what is read from them."""

import gzip
import json
import warnings
from pathlib import Path

import pytest

from plum_hub.answers.starter import make_stub_code
from plum_hub.answers.suite import ParsedSuite, Unusable, parse_suite
from plum_hub.engines import parse_engine
from plum_hub.execution import Judge, Limits
from plum_hub.execution.literals import equal, parse_literal
from plum_hub.judging.cases import program
from plum_hub.pipeline.strengthening import Strengthening
from plum_hub.pipeline.strengths import StrengthFilter
from plum_hub.pipeline.suites import prove
from plum_hub.recipe import Recipe
from plum_hub.records import Drop, Response, TestCase

MBPP = Path(__file__).resolve().parents[3] / "shared/data/mbpp/mbpp.jsonl.gz"

REFERENCE = '```python\ndef f(x, y=0):\n    """Double."""\n    return x * 2 + y\n```\n'
TWO_TESTS = "```python\nassert f(1) == 2\nassert f(2) == 4\n```"
STACK = """```python
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop() if self.items else None
```
"""


def read(tests: str, reference: str = REFERENCE) -> ParsedSuite:
    suite = parse_suite(f"## Solution\n{reference}\n## Tests\n```python\n{tests}\n```", min_cases=1, max_cases=99)
    assert isinstance(suite, ParsedSuite), suite
    return suite


def short(case: TestCase) -> str:
    if case.kind == "call":
        return f"{case.call} -> {case.expected}" + (f" +- {case.tolerance:g}" if case.tolerance is not None else "")
    return (case.statement or f"{case.stdin!r} -> {case.stdout!r}").strip()


ONE_CASE = {
    "equality": ("assert f(1) == 2", "f(1) -> 2"),
    "message": ("assert f(1) == 2, 'one'", "f(1) -> 2"),
    "reversed": ("assert 2 == f(1)", "f(1) -> 2"),
    "true value": ("assert f(1)", "not not f(1) -> True"),
    "false value": ("assert not f(0)", "not not f(0) -> False"),
    "is": ("assert f(1) is None", "f(1) -> None"),
    "literal in a variable": ("expected = [2]\nassert [f(1)] == expected", "[f(1)] -> [2]"),
    "result in a variable": ("result = f(1)\nassert result == 2", "f(1) -> 2"),
    "distance": ("assert abs(f(1) - 2.0) < 1e-6", "f(1) -> 2.0 +- 1e-06"),
    "isclose": ("import math\nassert math.isclose(f(1), 2.0, rel_tol=1e-3)", "f(1) -> isclose(2.0, rel_tol=0.001)"),
    "approx": ("import pytest\nassert f(1) == pytest.approx(-2.0)", "f(1) -> approx(-2.0)"),
    "inequality": ("assert f(1) > 1", "assert f(1) > 1"),
    "set": ("assert set([f(1)]) == set()", "set([f(1)]) -> set()"),
    "import of the solution": ("from solution import f\nassert f(1) == 2", "f(1) -> 2"),
    "import that a check needs": (
        "import math\nassert math.floor(f(1)) == 2",
        "import math\nassert math.floor(f(1)) == 2",
    ),
    "helper": (
        "def twice(g):\n    return g(g(1))\nassert twice(f) == 4",
        "def twice(g):\n    return g(g(1))\nassert twice(f) == 4",
    ),
    "in place": ("xs = [1]\nf(xs)\nassert xs == [2]", "xs = [1]\nf(xs)\nassert xs == [2]"),
    "test function": ("def test_f():\n    '''One.'''\n    assert f(1) == 2", "f(1) -> 2"),
    "raises": (
        "def test_f():\n    with pytest.raises(TypeError, match='x'):\n        f(None)",
        (
            "try:\n    f(None)\nexcept TypeError as _error_:\n"
            "    assert __builtins__['__import__']('re').search('x', _error_.__str__())\n"
            "else:\n    raise __builtins__['BaseException']('TypeError was not raised')"
        ),
    ),
    "candidate": ("def check(candidate):\n    assert candidate(1) == 2\n\ncheck(f)", "f(1) -> 2"),
    "reported": ("try:\n    assert f(1) == 2\n    print('ok')\nexcept AssertionError:\n    print('bad')", "f(1) -> 2"),
    "doctest": (">>> f(1)\n2\n>>> print('x')\nx", "f(1) -> 2"),
    "printed": ("print(f(1))  # Output: 2\nprint(f(2))  # a comment", "f(1) -> 2"),
    "cut": ("assert f(1) == 2\nassert f(2) == (", "f(1) -> 2"),
}


@pytest.mark.parametrize("name", ONE_CASE)
def test_a_test_becomes_a_case(name: str) -> None:
    tests, case = ONE_CASE[name]
    suite = parse_suite(f"{REFERENCE}Tests:\n```python\n{tests}\nassert f(9) == 18\n```", min_cases=1)
    if name in ("doctest", "printed", "cut"):
        suite = parse_suite(f"{REFERENCE}Tests:\n```python\n{tests}\n```", min_cases=1)
        assert isinstance(suite, Unusable) and suite.reason == "all_expected_equal"
        suite = parse_suite(
            f"{REFERENCE}Tests:\n```python\nassert f(9) == 18\n```\n```python\n{tests}\n```", min_cases=2
        )

    assert isinstance(suite, ParsedSuite)
    assert case in [short(one) for one in suite.cases]
    assert len(suite.cases) == 2


TAGGED = """Sure, here it is.
<{0}>
def add(a, b):
    pass
</{0}>

<{1}>
def add(a, b):
    return a + b
</{1}>
<{2}>
assert add(1, 2) == 3
assert add(0, 0) == 0
assert add(2, 2) == 4
</{2}>
Good luck!
"""


@pytest.mark.parametrize(
    "tags",
    [
        ("starter", "solution", "tests"),
        ("Starter_Code", "REFERENCE_SOLUTION", "unit_tests"),
        ("starter", "solution", "test_cases"),
    ],
)
@pytest.mark.parametrize("wrapped", ["{}", "<suite>\n{}</suite>\n"])
def test_sections_may_be_tags(tags: tuple[str, str, str], wrapped: str) -> None:
    suite = parse_suite(wrapped.format(TAGGED.format(*tags)))
    assert isinstance(suite, ParsedSuite)
    assert (suite.starter_code, suite.reference) == ("def add(a, b):\n    pass\n", "def add(a, b):\n    return a + b\n")
    assert [short(case) for case in suite.cases] == ["add(1, 2) -> 3", "add(0, 0) -> 0", "add(2, 2) -> 4"]


def test_tests_may_be_a_list_of_assertions_in_backticks() -> None:
    tests = "1. `assert f(1) == 2`\n2. `assert f(0) == 0`: none\n* `assert f(9) == 18, 'x'`, `f(7)`\n`assert g(9) == 1`"
    suite = parse_suite(f"{REFERENCE}Tests:\n\n{tests}")
    assert isinstance(suite, ParsedSuite)
    assert [short(case) for case in suite.cases] == ["f(1) -> 2", "f(0) -> 0", "f(9) -> 18"]


def test_unittest_methods_share_their_set_up() -> None:
    tests = """import unittest
class TestStack(unittest.TestCase):
    def setUp(self):
        self.stack = Stack()
    def test_pop(self):
        self.stack.push(3)
        self.assertEqual(self.stack.pop(), 3)
    def test_empty(self):
        self.assertIsNone(self.stack.pop())
if __name__ == "__main__":
    unittest.main()"""

    assert [short(case) for case in read(tests, STACK).cases] == [
        "self_stack = Stack()\nself_stack.push(3)\nassert self_stack.pop() == 3",
        "Stack().pop() -> None",
    ]


def test_steps_on_one_object_are_one_case_and_a_new_object_begins_another() -> None:
    first = "s = Stack()\ns.push(1)\nassert s.pop() == 1\nassert s.pop() is None"
    second = "s = Stack()\ns.push(2)\nassert s.pop() == 2"

    assert [short(case) for case in read(f"{first}\n{second}", STACK).cases] == [first, second]


@pytest.mark.parametrize(
    "tests",
    [
        "for x, want in [(1, 2), (3, 6)]:\n    assert f(x) == want",
        """cases = [{'x': 1, 'want': 2}, {'x': 3, 'want': 6}]
for i, case in enumerate(cases):
    got = f(case['x'])
    assert got == case['want'], i""",
        "for x, want in zip([1, 3], [2, 6]):\n    assert f(x) == want, x",
        "for x, want in {1: 2, 3: 6}.items():\n    assert f(x) == want",
        """@pytest.mark.parametrize('x, want', [(1, 2), pytest.param(3, 6, id='b')])
def test_f(x, want):
    assert f(x) == want""",
        """passed = 0
for x, want in [(1, 2), (3, 6)]:
    assert f(x) == want
    passed += 1
print(passed)""",
        """ROWS = [(1, 2), (3, 6)]
@pytest.mark.parametrize('x, want', ROWS)
def test_f(x, want):
    assert f(x) == want""",
        """class TestF:
    @pytest.mark.parametrize('x, want', [(1, 2), (3, 6)])
    def test_f(self, x, want):
        assert f(x) == want""",
        """def test_f():
    for x, want in ((1, 2), (3, 6)):
        with self.subTest(x):
            assert f(x) == want""",
    ],
)
def test_a_table_becomes_one_case_a_row(tests: str) -> None:
    assert [short(case) for case in read(tests).cases] == ["f(1) -> 2", "f(3) -> 6"]


def test_an_object_without_state_may_be_made_anew() -> None:
    reference = "```python\nclass Solution:\n    def twice(self, x):\n        return 2 * x\n```"

    suite = read("s = Solution()\nassert s.twice(1) == 2\nassert s.twice(2) == 4", reference)

    assert suite.entry_point == "Solution"
    assert [short(case) for case in suite.cases] == ["Solution().twice(1) -> 2", "Solution().twice(2) -> 4"]


def test_given_starter_code_is_kept_when_it_gives_nothing_away() -> None:
    starter = 'def f(x, y=0):\n    """Say more."""\n    pass  # yours\n'

    suite = parse_suite(f"```python\n{starter}```\n{REFERENCE}{TWO_TESTS}", min_cases=2)

    assert isinstance(suite, ParsedSuite) and suite.starter_code == starter


@pytest.mark.parametrize(
    "starter",
    [
        "def f(x, y=0):\n    # your code here\n",  # does not parse
        "def f(x):\n    pass\n",  # other parameters
        'def f(x, y=0):\n    """Double."""\n    return x * 2 + y\n',  # the solution itself
        "",
    ],
)
def test_starter_code_is_made_of_the_reference_where_none_serves(starter: str) -> None:
    suite = parse_suite(f"```python\n{starter}```\n{REFERENCE}{TWO_TESTS}", min_cases=2)

    assert isinstance(suite, ParsedSuite)
    assert suite.starter_code == 'def f(x, y=0):\n    """Double."""\n    pass\n'


def test_made_starter_code_brings_the_types_that_tests_and_signature_use() -> None:
    reference = """```python
import heapq
from typing import Optional

class Node:
    def __init__(self, value, next=None):
        self.value = value
        self.next = next

def helper(node):
    return 1 + length(node.next)

def length(node: Optional[Node]) -> int:
    return 0 if node is None else helper(node)
```"""

    suite = read("assert length(None) == 0\nassert length(Node(1, Node(2))) == 2", reference)

    assert suite.entry_point == "length"
    assert "class Node:" in suite.starter_code and "self.value = value" in suite.starter_code
    assert "from typing import Optional" in suite.starter_code
    assert "helper" not in suite.starter_code and "heapq" not in suite.starter_code


def test_tests_in_the_block_of_the_solution_are_not_part_of_the_reference() -> None:
    text = """```python
import unittest

def f(x):
    return x

class TestF(unittest.TestCase):
    def test(self):
        self.assertEqual(f(1), 1)
        self.assertEqual(f(2), 2)

if __name__ == '__main__':
    unittest.main()
```"""

    suite = parse_suite(text, min_cases=2)

    assert isinstance(suite, ParsedSuite)
    assert suite.reference.strip() == "def f(x):\n    return x"


def test_an_answer_without_fences() -> None:
    text = """Starter code:
def f(x):
    pass

Solution:
def f(x):
    return x

Tests:
assert f(1) == 1
assert f(2) == 2
"""

    suite = parse_suite(text, min_cases=2)

    assert isinstance(suite, ParsedSuite) and suite.reference.strip() == "def f(x):\n    return x"


def test_a_script_is_tested_by_its_input_and_output() -> None:
    pairs = "".join(f"Input:\n```\n{n}\n```\nOutput:\n```\n{2 * n}\n```\n" for n in (1, 2, 3))

    suite = parse_suite(f"```python\nprint(2 * int(input()))\n```\n{pairs}")

    assert isinstance(suite, ParsedSuite)
    assert suite.entry_point == ""
    assert [short(case) for case in suite.cases] == ["'1\\n' -> '2\\n'", "'2\\n' -> '4\\n'", "'3\\n' -> '6\\n'"]


def test_cases_are_counted_once_and_cut_at_the_most() -> None:
    lines = [f"assert f({n}) == {2 * n}" for n in (1, 1, 2, 3, 4, 5, 6)]

    suite = parse_suite(REFERENCE + "```python\n" + "\n".join(lines) + "\n```")

    assert isinstance(suite, ParsedSuite)
    assert [case.call for case in suite.cases] == ["f(1)", "f(2)", "f(3)", "f(4)", "f(5)"]


_KIND_METHODS = """class TestF(unittest.TestCase):
    def test_f(self):
        self.assertIsNotNone(f(1))
        self.assertIsInstance(f(2), int)
        self.assertIsNotNone(f(3))"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "refused"),
        ("Think about it step by step.", "no_reference"),
        ("```python\ndef f(x)\n    return x\n```\n```python\nassert f(1) == 1\n```", "syntax_error"),
        ("```python\ndef f(x):\n    pass\n```\n```python\nassert f(1) == 1\nassert f(2) == 2\n```", "no_reference"),
        ("```python\nprint('hello')\n```", "no_entry_point"),
        (REFERENCE + "```python\nassert f(1) == 2\nassert f(2) == 4\n```", "too_few_cases"),
        (REFERENCE + "```python\nassert 1 == 1\nassert 2 == 2\nassert max(1, 2) == 2\n```", "no_entry_point"),
        (REFERENCE + "```python\nassert f(1) == 2\nassert f(1) == 3\nassert f(2) == 4\n```", "contradictory"),
        (
            REFERENCE + "```python\nassert f(1) == 2\nassert f\nassert callable(f)\nassert f(2) == f(2)\n```",
            "cannot_fail",
        ),
        (
            REFERENCE + "```python\nassert f(1) == 2\nassert f(3) == 6\nassert await f(2)```",
            "cannot_fail",
        ),
        (REFERENCE + "```python\nassert f(0) == 0\nassert f(0, 0) == 0\nassert f(-0) == 0\n```", "all_expected_equal"),
        *(
            (f"{REFERENCE}```python\n{tests}\n```", "all_expected_equal")
            for tests in (
                "assert f(1) is not None\nassert isinstance(f(2), int)\nassert f(3) != None",
                "assert type(f(1)) == int\nassert not f(2) is None\nassert hasattr(f(3), 'real') and callable(f)",
                _KIND_METHODS,
            )
        ),
        ("```python\n" + "x = " + "-" * 100_000 + "1\n```", "syntax_error"),
    ],
)
def test_an_answer_that_is_no_suite_says_why(text: str, reason: str) -> None:
    suite = parse_suite(text)

    assert isinstance(suite, Unusable) and suite.reason == reason, suite


@pytest.mark.parametrize("last", ["f(3) == 6", "f(3) is None", "f(3) in (6, 7)", "f(3) != 5", "f(3)"])
def test_one_case_that_compares_a_value_makes_a_suite_of_others(last: str) -> None:
    tests = f"assert isinstance(f(1), int)\nassert f(2) is not None\nassert {last}"

    assert isinstance(parse_suite(f"{REFERENCE}```python\n{tests}\n```"), ParsedSuite)


def test_a_stub_loads_whatever_the_starter_code_refers_to() -> None:
    starter = """import numpy as np
from functools import lru_cache

@lru_cache(maxsize=None)
def f(x: np.ndarray, y: Missing = DEFAULT, z=[1]) -> List[int]:
    pass

class g(Base, metaclass=Meta):
    limit = 3
    other = unknown(3)
    print(missing)

    @property
    def size(self) -> int:
        return 3
"""
    namespace: dict[str, object] = {"__name__": "stub"}

    exec(make_stub_code(starter, "f"), namespace)  # our own text

    assert eval("(f(1), g().size, g.limit)", namespace) == (None, None, 3)


SORTED = "```python\ndef f(x):\n    return sorted(x)\n```\n"
IN_PLACE = "def f(x):\n    x.sort()\n    return x\n"
SHARED_STATE = {
    "an argument that stays": ("x = [2, 1]\ny = x[:]\nr = f(x)\nassert r == [1, 2]\nassert x == y", SORTED, IN_PLACE),
    "an argument that stays, as a literal": ("x = [2, 1]\nassert f(x) == [1, 2]\nassert x == [2, 1]", SORTED, IN_PLACE),
    "another object": ("x = [2, 1]\nr = f(x)\nassert r is not x", SORTED, IN_PLACE),
    "what an iterator gives next": (
        "g = f(2)\nassert next(g) == 0\nassert next(g) == 1",
        "```python\ndef f(n):\n    yield from range(n)\n```\n",
        "def f(n):\n    while True:\n        yield 0\n",
    ),
    "a sum": (
        "total = 0\nfor x in [1, 2]:\n    total += f(x)\nassert total == 6",
        REFERENCE,
        "def f(x):\n    return x\n",
    ),
    "the turn before": (
        "last = 0\nfor x in [1, 2]:\n    assert f(x) > last\n    last = f(x)",
        REFERENCE,
        "def f(x):\n    return 1\n",
    ),
    "a message": (
        "with pytest.raises(ValueError) as e:\n    f(-1)\nassert 'low' in str(e.value)",
        "```python\ndef f(x):\n    if x < 0:\n        raise ValueError('low')\n    return x\n```\n",
        "def f(x):\n    if x < 0:\n        raise ValueError('high')\n    return x\n",
    ),
}


@pytest.mark.parametrize("name", SHARED_STATE)
def test_what_statements_share_stays_shared(name: str) -> None:
    tests, reference, wrong = SHARED_STATE[name]
    suite = read(f"{tests}\nassert f({'[]' if reference is SORTED else 0}) is not f", reference)
    codes = {"reference": suite.reference, "wrong": wrong}
    programs = [program(role, code, "f", suite.cases, Limits()) for role, code in codes.items()]
    with Judge(1) as judge:
        assert {one.id: one.status for one in judge.run(programs)} == {"reference": "passed", "wrong": "failed"}


ONE_TEST_EACH = {
    "fixture": "@pytest.fixture\ndef one():\n    return 1\ndef test_a(one):\n    assert f(one) == 2\n",
    "output": "def test_a(capsys):\n    print(f(1))\n    assert capsys.readouterr().out == '2\\n'\n",
    "file": "def test_a(tmp_path):\n    p = tmp_path / 'a'\n    p.touch()\n    assert f(len(p.read_text())) == 0\n",
    "method": (
        "class TestF(unittest.TestCase):\n    def check(self, x, y):\n        self.assertEqual(f(x), y)\n"
        "    def test_a(self):\n        self.check(1, 2)\n"
    ),
    "set-up of a class": (
        "class TestF(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n        cls.x = 1\n"
        "    def test_a(self):\n        self.assertEqual(f(self.x), self.x + 1)\n"
    ),
    "attribute of a class": (
        "class TestF(unittest.TestCase):\n    X = 1\n    Y = X + 1\n"
        "    def test_a(self):\n        self.assertEqual(f(self.X), TestF.Y)\n"
    ),
    "coroutine": "async def test_a():\n    async def g():\n        return f(1)\n    assert await g() == 2\n",
}


@pytest.mark.parametrize("name", ONE_TEST_EACH)
def test_a_test_may_need_what_only_a_test_runner_gives(name: str) -> None:
    suite = read(ONE_TEST_EACH[name])
    codes = {"reference": suite.reference, "wrong": "def f(x):\n    return 3\n"}
    programs = [program(role, code, "f", suite.cases, Limits()) for role, code in codes.items()]
    with Judge(1) as judge:
        assert {one.id: one.status for one in judge.run(programs)} == {"reference": "passed", "wrong": "failed"}


@pytest.mark.parametrize("imports", ["", "from math import *\n", "from math import sqrt\n"])
def test_tests_bring_what_the_reference_imports_or_nobody_does(imports: str) -> None:
    reference = f"{imports}def f(x):\n    return x ** 0.5\n"
    suite = parse_suite(f"```python\n{reference}```\n```python\nassert f(4) == sqrt(4)\n```\n", min_cases=1)
    assert isinstance(suite, ParsedSuite)
    assert suite.cases[0].statement == "from math import sqrt\nassert f(4) == sqrt(4)\n"


@pytest.mark.shared
def test_real_suites_are_read_and_their_references_pass_them() -> None:
    if not MBPP.exists():
        pytest.skip(f"{MBPP} is not there")
    with gzip.open(MBPP, "rt") as lines:
        rows = [json.loads(line) for line in lines][:150]
    reasons = []
    for row in rows:
        suite = parse_suite(f"```python\n{row['code']}\n```\n```python\n" + "\n".join(row["test_list"]) + "\n```")
        if isinstance(suite, Unusable):
            reasons.append(suite.reason)
            continue
        namespace: dict[str, object] = {"__name__": "reference"}
        with warnings.catch_warnings(action="ignore"):  # odd escapes in the solutions
            exec(suite.reference, namespace)  # published solutions, harmless
        for case in suite.cases:
            if case.kind == "call":
                value = eval(case.call or "", namespace)
                assert equal(value, parse_literal(case.expected or ""), case.tolerance), (row["task_id"], case)
    assert set(reasons) <= {"all_expected_equal", "too_few_cases"}
    assert len(reasons) <= 3


RESCUED = "try:\n    x{0} = f({0})\nexcept Exception:\n    x{0} = {1}\nassert x{0} == {1}\n"


@pytest.mark.parametrize(
    ("stub", "tests"),
    [
        ("none", "assert f(0) != 1\nassert f(3) != 4\nassert f(5) is not True"),
        ("echo", "assert f(0) == 0\nassert f(0.0) == 0.0\nassert f(0j) == 0j"),
        ("raises", "".join(map(RESCUED.format, range(3), range(0, 6, 2)))),
    ],
)
def test_a_suite_that_a_stub_passes_is_not_kept(tmp_path: Path, stub: str, tests: str) -> None:
    """A program that does nothing, one that gives its argument back, one that always raises."""
    answer = Response(
        id="r",
        instruction_id="i",
        index=0,
        seed=0,
        prompt_digest="",
        text=f"{REFERENCE}Tests:\n```python\n{tests}\n```",
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
    )
    (tmp_path / "answers.jsonl").write_text('{"texts": ["hello"]}\n')
    engine = parse_engine(f"scripted:{tmp_path / 'answers.jsonl'}")
    recipe = Recipe(policy=engine, generator=engine).filled()
    with Judge(1) as judge:
        (row,) = prove([[answer]], set(), Strengthening(recipe, judge), StrengthFilter(recipe))

    assert isinstance(row, Drop)
    does = {"none": "returns None", "echo": "returns its argument", "raises": "raises an error"}[stub]
    assert (row.reason, row.detail) == ("stub_passed", f"a stub that {does} passes every case")
