"""Suites that programs pass which solve nothing: whatever hides its checks, the judge refuses it, and nothing else."""

import json
from typing import Any

import pytest

from plum_hub.execution import Judge, Limits
from plum_hub.judging.inputs import read_suites
from plum_hub.judging.stubs import refused_by_stubs

TEST = "def test_a():\n    assert add(2, 3) == 5\n"
UNFAILING: dict[str, Any] = {
    "a lambda of its own": "add = lambda a, b: a + b\nassert add(2, 3) == 5\n",
    "a function of the library": "from operator import add\n\ndef test_a():\n    assert add(2, 3) == 5\n",
    "defined by the case before": ["def add(a, b):\n    return a + b", "assert add(2, 3) == 5"],
    "a parameter": "def check(add):\n    assert add(2, 3) == 5\n\ncheck(lambda a, b: a + b)\n",
    "a nested function": "def test_a():\n    def add(a, b):\n        return a + b\n    assert add(2, 3) == 5\n",
    "a mock": "from unittest.mock import MagicMock\nadd = MagicMock(return_value=5)\nassert add(2, 3) == 5\n",
    "a generator": "def test_a():\n    yield\n    assert add(2, 3) == 5\n",
    "a coroutine": "async def check():\n    assert add(2, 3) == 5\n\ndef test_a():\n    check()\n",
    "a generator expression": "assert (add(a, b) == c for a, b, c in [(2, 3, 5)])\n",
    "a map": "assert map(add, [2], [3])\n",
    "return in finally": "def test_a():\n    try:\n        assert add(2, 3) == 5\n    finally:\n        return\n",
    "no rows": "for i in range(0):\n    assert add(i, 3) == i + 3\n",
    "none of nothing": "assert not any(add(a, b) != c for a, b, c in [])\n",
    "an environment": "import os\nif os.environ.get('RUN_TESTS'):\n    assert add(2, 3) == 5\n",
    "python -O": "if not __debug__:\n    assert add(2, 3) == 5\n",
    "any error is right": (
        "import pytest\ndef test_a():\n    with pytest.raises(Exception):\n        assert add(2, 3) == 5\n"
        "        raise ValueError\n"
    ),
    "an exit that swallows": (
        "class Quiet:\n    def __enter__(self):\n        pass\n    def __exit__(self, *error):\n        return True\n"
        "with Quiet():\n    assert add(2, 3) == 5\n"
    ),
    "a manager that swallows": (
        "import contextlib\n@contextlib.contextmanager\ndef quiet():\n    try:\n        yield\n"
        "    except AssertionError:\n        pass\nwith quiet():\n    assert add(2, 3) == 5\n"
    ),
    "a decorator that swallows": (
        "def quiet(test):\n    def run():\n        try:\n            test()\n        except AssertionError:\n"
        f"            print('wrong')\n    return run\n@quiet\n{TEST}"
    ),
    "a runner that prints": (
        "def run(check):\n    try:\n        check()\n        return True\n    except Exception:\n        return False\n"
        "def check_add():\n    assert add(2, 3) == 5\nprint(sum([run(check_add)]))\n"
    ),
}
FAILING: dict[str, Any] = {
    "a value": "def test_a():\n    result = add(2, 3)\n    assert result == 5\n",
    "any value": "result = add(2, 3)\nassert result is not None\n",
    "no error": "try:\n    add(2, 3)\nexcept TypeError:\n    assert False\n",
    "an error": "import pytest\ndef test_a():\n    with pytest.raises(ValueError):\n        add(None, 1)\n",
    "any error": "import pytest\ndef test_a():\n    with pytest.raises(Exception):\n        add(None, 1)\n",
    "the same error": "import pytest\ndef test_a():\n    with pytest.raises(AssertionError):\n        add(None, 1)\n",
    "a function that is kept": "import functools\nadd = functools.lru_cache(add)\nx = add(2, 3)\nassert x == 5\n",
    "what it changes": "rows = [3, 1]\ntry:\n    add(rows, 2)\nexcept Exception:\n    pass\nassert rows == [3, 1, 2]\n",
    "a class": "stack = add()\nstack.push(1)\nassert stack.pop() == 1\n",
    "another name": "import solution\nassert solution.plus(2, 3) == 5\n",
    "calls": ["assert add(2, 3) == 5"],
    "one that is reached": [*UNFAILING["defined by the case before"][:1], "assert add(2, 3) == plus(2, 3)"],
    "pairs": [{"stdin": "1", "stdout": "2"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the suites that programs pass which solve nothing."""
    path = tmp_path_factory.mktemp("suites") / "suites.jsonl"
    rows = [
        {"instruction_id": name, "entry_point": "" if name == "pairs" else "add", "cases": cases}
        for name, cases in (UNFAILING | FAILING).items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suites = read_suites(path)
    assert suites.usable.keys() >= FAILING.keys(), suites.refused
    with Judge(1) as judge:
        found = refused_by_stubs(suites.usable.values(), judge, Limits())
    assert all(one.reason == "cannot_fail" and "fix the tests" in one.detail for one in found.values())
    return {*suites.refused, *(name for name, suite in suites.usable.items() if suite.id in found)}


@pytest.mark.parametrize("name", UNFAILING)
def test_a_suite_that_hides_its_checks_is_refused(name: str, refused: set[str]) -> None:
    assert name in refused


@pytest.mark.parametrize("name", FAILING)
def test_a_suite_that_some_program_fails_is_kept(name: str, refused: set[str]) -> None:
    assert name not in refused
