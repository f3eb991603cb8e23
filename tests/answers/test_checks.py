"""Doctests mean what Python's own runner makes of them."""

import doctest
from collections.abc import Iterator

import pytest

from plum_hub.answers.checks import read_tests
from plum_hub.answers.unimported import with_missing_imports
from plum_hub.execution import Judge, Limits
from plum_hub.judging.cases import judged_at, program

RAISES = ">>> f(-1)\nTraceback (most recent call last):\n    ...\n"
DECODE = "import json\ndef f(x):\n    return json.loads('')\n"
OWN = "class OwnError(ValueError):\n    pass\n\ndef f(x):\n    raise OwnError('below 0')\n"
ANY_DETAIL = RAISES.replace("f(-1)", "f(-1)  # doctest: +IGNORE_EXCEPTION_DETAIL")


def raising(error: str) -> str:
    return f"def f(x):\n    if x < 0:\n        raise {error}\n    return x\n"


EXAMPLES = {
    "the message": (raising("ValueError('below 0')"), f"{RAISES}ValueError: below 0\n>>> f(1)\n1\n"),
    "another message": (raising("ValueError('bad')"), f"{RAISES}ValueError: below 0\n"),
    "a message, none wanted": (raising("ValueError('bad')"), f"{RAISES}ValueError\n"),
    "no message": (raising("ValueError"), f"{RAISES}ValueError\n"),
    "no message, one wanted": (raising("ValueError"), f"{RAISES}ValueError: below 0\n"),
    "a subclass": (raising("UnicodeError('below 0')"), f"{RAISES}ValueError: below 0\n"),
    "a key": (raising("KeyError('k')"), f"{RAISES}KeyError: 'k'\n"),
    "two lines": (raising("ValueError('a\\nb')"), f"{RAISES}ValueError: a\nb\n"),
    "the compiler's": ("def f(x):\n    return eval('1 +')\n", f"{RAISES}SyntaxError: invalid syntax\n"),
    "an exit": (raising("SystemExit(2)"), f"{RAISES}SystemExit: 2\n"),
    "nothing": ("def f(x):\n    return x\n", f"{RAISES}ValueError: below 0\n"),
    "a library's": (DECODE, f"{RAISES}json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"),
    "a library's, without its module": (OWN, f"{RAISES}json.decoder.OwnError: below 0\n"),
    "the program's own": (OWN, f"{RAISES}OwnError: below 0\n"),
    "the program's own, another message": (OWN, f"{RAISES}OwnError: bad\n"),
    "the program's own, its base": (OWN, f"{RAISES}ValueError: below 0\n"),
    "an assignment": (raising("ValueError('bad')"), f"{RAISES.replace('f(-1)', 'y = f(-1)')}ValueError: bad\n"),
    "a statement": (raising("ValueError"), f"{RAISES.replace('f(-1)', 'for x in [1, -1]: f(x)')}ValueError\n"),
    "any message": (raising("ValueError('bad')"), f"{ANY_DETAIL}ValueError: below 0\n"),
    "any message, another error": (raising("TypeError('bad')"), f"{ANY_DETAIL}ValueError: below 0\n"),
    "any module": (DECODE, f"{ANY_DETAIL}JSONDecodeError: below 0\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge(1) as made:
        yield made


def passes(code: str, text: str) -> bool:
    scope: dict[str, object] = {"__name__": "__main__"}
    exec(code, scope)
    test = doctest.DocTestParser().get_doctest(text, scope, "f", None, None)
    return doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 0


def test_an_exception_of_a_doctest_is_compared_as_doctest_compares_it(judge: Judge) -> None:
    suites = {name: read_tests(text, "f") for name, (_, text) in EXAMPLES.items()}
    programs = [program(name, EXAMPLES[name][0], "f", cases, Limits()) for name, cases in suites.items()]
    found = {execution.id: execution.status == "passed" for execution in judge.run(programs)}
    assert found == {name: passes(*example) for name, example in EXAMPLES.items()}
    assert {judged_at(case) for cases in suites.values() for case in cases} == {"outside"}


@pytest.mark.parametrize("wanted", ["OwnError", "__main__.OwnError", "stack.OwnError", "your_module.errors.OwnError"])
def test_the_module_of_a_programs_own_exception_is_not_compared(wanted: str, judge: Judge) -> None:
    """It has another name in a sandbox than where the doctest was written."""
    cases = read_tests(f"{RAISES}{wanted}: below 0\n", "f")
    codes = {"right": OWN, "wrong": OWN.replace("below 0", "bad")}
    found = {
        one.id: one.status
        for one in judge.run(program(name, code, "f", cases, Limits()) for name, code in codes.items())
    }
    assert found == {"right": "passed", "wrong": "failed"}


def test_memory_that_is_lacking_is_no_exception_of_a_doctest(judge: Judge) -> None:
    cases = read_tests(f"{RAISES}ValueError: below 0\n", "f")
    code = "def f(x):\n    return bytearray(1 << 40)\n"
    (execution,) = judge.run([program("a", code, "f", cases, Limits())])
    assert execution.status == "out_of_memory"


@pytest.mark.parametrize("option", ["ELLIPSIS", "NORMALIZE_WHITESPACE", "SKIP", "IGNORE_EXCEPTION_DETAIL, +ELLIPSIS"])
def test_other_options_of_doctests_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="have options"):
        read_tests(RAISES.replace("f(-1)", f"f(-1)  # doctest: +{option}") + "ValueError: bad\n", "f")


@pytest.mark.parametrize(
    ("test", "imports"),
    [
        ("assert f('ab') == Counter(a=1, b=1)", "from collections import Counter\n"),
        ("assert f(deque([1])) == 1", "from collections import deque\n"),
        ("def check(candidate):\n    assert candidate(4) == sqrt(4)\n", "from math import sqrt\n"),
        ("assert f(1) == date(2020, 1, 1)", ""),
        ("assert f(compress('ab')) == 'ab'", ""),  # perhaps a second function of the program
        ("assert f(Counter()) == 0", ""),  # perhaps a class of the program
        ("counter = Counter()\nassert f(counter) == 0", ""),
        ("assert gcd(4, 6) == 2\nassert f(4, 6) == gcd(4, 6)", ""),
        ("def sqrt(n): return n\nassert f(4) == sqrt(4)", ""),
    ],
)
def test_a_name_that_means_the_same_to_everybody_is_imported_for_tests(test: str, imports: str) -> None:
    found = with_missing_imports(test, "f")
    assert found == test if not imports else found.startswith(imports)


@pytest.mark.parametrize(
    "test",
    [
        "want = f(1)\nassert f(1) == want",
        "got = f(1)\nassert got == f(1)",
        "x = [1]\nwant = f(x)\ngot = f(x)\nassert got == want",
        "def test_a():\n    want = f(1)\n    assert f(1) == want\n",
        "for x in [1, 2]:\n    want = f(x)\n    assert f(x) == want",
        "class T(unittest.TestCase):\n    def test_a(self):\n        w = f(1)\n        self.assertEqual(f(1), w)\n",
    ],
)
def test_a_result_compared_with_itself_is_no_check(test: str) -> None:
    with pytest.raises(ValueError, match="nothing in it can fail"):
        read_tests(test, "f")


@pytest.mark.parametrize(
    "test",
    [
        "want = f(1)\nassert f(2) == want",
        "x = [1]\nwant = f(x)\nx.append(2)\nassert f(x) == want",
        "x = [1]\nwant = f(x)\nassert x.pop() == 1\nassert f(x) == want",
        "g = f(1)\nwant = next(g)\nassert next(g) == want",
        "g = f(1)\nwant = g(2)\nassert g(2) == want",
        "s = f()\nwant = s.pop()\nassert s.pop() == want",
        "want = f(1)\nwant += 1\nassert f(1) == want",
        "x = 1\nwant = f(x)\nx = 2\nassert f(x) == want",
        "def ready(): return f(1)\nwant = ready()\nassert ready() == want",
    ],
)
def test_a_result_compared_with_a_later_one_may_be_a_check(test: str) -> None:
    assert read_tests(test, "f")
