"""Suites given as text: what a runner would run is run, and what can fail no program is refused."""

import pytest

from plum_hub.answers.checks import read_tests
from plum_hub.execution import Judge, Limits
from plum_hub.stages.programs import program

RIGHT = "def add(a, b):\n    if a is None:\n        raise ValueError('no number')\n    return a + b\n"
WRONG = "def add(a, b):\n    if a is None:\n        return 0\n    return a - b\n"
"""Wrong in every test below, also where an error is expected."""

RUN = {
    "pytest function": "from solution import add\n\ndef test_add():\n    assert add(2, 3) == 5\n",
    "function with a variable": "def test_add():\n    got = add(2, 3)\n    assert got == 5\n",
    "own name of the module": "from my_module import add as plus\n\ndef test_add():\n    assert plus(2, 3) == 5\n",
    "module by name": "import solution\n\ndef test_add():\n    assert solution.add(2, 3) == 5\n",
    "pytest class": "class TestAdd:\n    def setup_method(self, method):\n        self.five = 5\n\n"
    "    def test_small(self):\n        assert add(2, 3) == self.five\n",
    "pytest class without setup": "class TestAdd:\n    def test_small(self):\n        assert add(2, 3) == 5\n",
    "parametrize": "import pytest\n\n@pytest.mark.parametrize('a, b, want', [(1, 2, 3), pytest.param(2, 3, 5, id='x')])\n"
    "def test_add(a, b, want):\n    assert add(a, b) == want\n",
    "parametrize twice": "import pytest\n\n@pytest.mark.parametrize('a', [1, 2])\n@pytest.mark.parametrize(['b'], [(1,), (2,)])\n"
    "def test_add(a, b):\n    assert add(a, b) == a + b\n",
    "fixture": "import pytest\n\n@pytest.fixture\ndef two():\n    yield 2\n\n@pytest.fixture\ndef pair(two):\n    return two, 3\n\n"
    "def test_add(pair):\n    assert add(*pair) == 5\n",
    "approx": "from pytest import approx\n\ndef test_add():\n    got = [add(0.1, 0.2)]\n    assert got == approx([0.3])\n",
    "raises": "import pytest\n\ndef test_none():\n    with pytest.raises(ValueError, match='no num') as info:\n        add(None, 1)\n"
    "    assert str(info.value) == 'no number'\n",
    "unittest": "import unittest\n\nclass TestAdd(unittest.TestCase):\n    def test_small(self):\n"
    "        self.assertEqual(add(2, 3), 5)\n",
    "unittest with main": "from unittest import TestCase, main\n\nclass AddTests(TestCase):\n    def test_small(self):\n"
    "        self.assertEqual(add(2, 3), 5)\n\nif __name__ == '__main__':\n    main()\n",
    "unittest with main unguarded": "import unittest\n\nclass AddTests(unittest.TestCase):\n    def test_small(self):\n"
    "        self.assertEqual(add(2, 3), 5)\n\nunittest.main(argv=[''], exit=False)\n",
    "unittest with a loader": "import unittest\n\nclass AddTests(unittest.TestCase):\n    def test_small(self):\n"
    "        self.assertEqual(add(2, 3), 5)\n\nsuite = unittest.TestLoader().loadTestsFromTestCase(AddTests)\n"
    "unittest.TextTestRunner().run(suite)\n",
    "unittest with set-up": "import unittest\n\nclass AddTests(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n"
    "        cls.a = 2\n\n    def setUp(self):\n        super().setUp()\n        self.b = 3\n\n    def test_small(self):\n"
    "        for n in (0, 1):\n            with self.subTest(n=n):\n"
    "                self.assertAlmostEqual(add(self.a, self.b + n), 5 + n)\n",
    "unittest with a base": "import unittest\n\nclass Base(unittest.TestCase):\n    def plus(self, a, b, want):\n"
    "        self.assertEqual(add(a, b), want)\n\nclass AddTests(Base):\n    def test_small(self):\n        self.plus(2, 3, 5)\n",
    "unittest raises": "import unittest\n\nclass AddTests(unittest.TestCase):\n    def test_none(self):\n"
    "        with self.assertRaises(ValueError) as caught:\n            add(None, 1)\n"
    "        self.assertIn('number', str(caught.exception))\n        self.assertRaises(ValueError, add, None, 1)\n",
    "unittest with a skipped test": "import unittest\n\nclass AddTests(unittest.TestCase):\n    @unittest.skip('later')\n"
    "    def test_later(self):\n        self.fail()\n\n    def test_small(self):\n        self.assertCountEqual([add(2, 3)], [5])\n",
    "check": "METADATA = {'author': 'x'}\n\ndef check(candidate):\n    assert candidate(2, 3) == 5\n",
    "check with steps": "def check(candidate):\n    for n in range(1, 3):\n        assert candidate(2, n) == 2 + n\n",
    "doctests": "'''\n>>> add(2, 3)\n5\n>>> n = add(2, 3)\n>>> print(n + 1)\n6\n'''\n",
    "bare doctest": ">>> add(2, 3)\n5\n",
    "guarded": "def test_add():\n    assert add(2, 3) == 5\n\nif __name__ == '__main__':\n    test_add()\n    print('ok')\n",
    "called": "def test_add():\n    assert add(2, 3) == 5\n\ntest_add()\n",
    "called by a function that is not": "def test_add():\n    assert add(2, 3) == 5\n\ndef main():\n    test_add()\n",
    "shared state": "seen = []\n\ndef test_a():\n    seen.append(add(2, 3))\n\ndef test_b():\n    assert seen == [5]\n",
    "helper below": "def test_a():\n    assert same(add(2, 3), 5)\n\ndef same(a, b):\n    return a == b\n",
    "future": "from __future__ import annotations\n\ndef test_a(n: Unknown = 5):\n    assert add(2, 3) == n\n",
    "raises by hand": "def test_a():\n    if add(2, 3) != 5:\n        raise RuntimeError('wrong')\n",
    "changes its argument": "def test_a():\n    found = []\n    for n in (1, 2):\n        found.append(add(n, n))\n    assert found == [2, 4]\n",
}  # fmt: skip

REFUSED = {
    "import": ("import math\n", "calls the program"),
    "in a string": ("'def test_add():\\n    assert add(2, 3) == 5'\n", "calls the program"),
    "in an unreached branch": ("if False:\n    assert add(2, 3) == 5\n", "calls the program"),
    "after a return": ("def test_add():\n    return\n    assert add(2, 3) == 5\n", "calls the program"),
    "forgotten": ("def test_add():\n    try:\n        assert add(2, 3) == 5\n    except Exception:\n        pass\n", "it"),
    "printed": ("def test_add():\n    print(add(2, 3) == 5)\n", "can fail"),
    "always true": ("def test_add():\n    add(2, 3)\n    assert True\n", "can fail"),
    "a tuple": ("def test_add():\n    assert (add(2, 3) == 5, 'wrong')\n", "can fail"),
    "only defined": ("def test_add():\n    assert callable(add)\n", "can fail"),
    "of itself": ("def test_add():\n    n = 5\n    print(add(n, n))\n    assert n == 5\n", "can fail"),
    "never asked": ("def test_add():\n    assert 2 + 3 == 5\n", "calls the program"),
    "all skipped": ("import pytest\n\n@pytest.mark.skip\ndef test_add():\n    assert add(2, 3) == 5\n", "skip"),
    "skipped at times": ("import unittest\n\nclass T(unittest.TestCase):\n    @unittest.skipIf(True, '')\n"
                         "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n", "skipIf"),
    "async": ("async def test_add():\n    assert add(2, 3) == 5\n", "line 1: test_add is async"),
    "unknown fixture": ("def test_add(capsys):\n    assert add(2, 3) == 5\n", "line 1: test_add wants 'capsys'"),
    "unknown module": ("import hypothesis\n\ndef test_add():\n    assert add(2, 3) == 5\n", "imports hypothesis"),
    "return": ("assert add(2, 3) == 5\nreturn\n", "line 2: 'return' outside function"),
    "await": ("assert await add(2, 3) == 5\n", "line 1: 'await' outside function"),
    "yield": ("x = 1\nyield x\n", "line 2: 'yield' outside function"),
    "nonlocal": ("nonlocal x\nassert add(2, 3) == 5\n", "line 1: nonlocal"),
    "late future": ("x = 1\nfrom __future__ import annotations\n", "line 2: from __future__"),
}  # fmt: skip


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
    tests, word = REFUSED[name]
    with pytest.raises(ValueError, match="^[^\n]*$") as refused:
        read_tests(tests, "add")
    assert word in str(refused.value)


def test_a_check_needs_the_name_of_what_it_checks() -> None:
    with pytest.raises(ValueError, match="entry_point"):
        read_tests(RUN["check"])
