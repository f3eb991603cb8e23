"""From LiveCodeBench's tests to cases.

A problem of LeetCode asks for a method of a class `Solution`; all others ask for a program that reads standard input.
There are two readings, which share every test:

    base          what LiveCodeBench's own judge asks for: one `Solution` for all tests, a tuple is as good as a list,
                  `1.0` as good as `1`, and `sys.exit` may end a program with any status.
    base:strict   what the contests ask for: a `Solution` for each test, lists where lists are expected, numbers as they
                  are printed, and status 0.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from plum_hub.benchmarks.livecodebench.encoded import decode_tests
from plum_hub.benchmarks.livecodebench.files import Row, RowLocation
from plum_hub.errors import BenchmarkError
from plum_hub.execution.base import Call, Case, Reinterpretation, Stdio
from plum_hub.execution.literals import write_literal
from plum_hub.execution.reserved import reserved

_SUITES = ("base", "base:strict")
TEST_CPU_SECONDS = 6.0
"""LiveCodeBench gives a test 6 seconds of wall time. As CPU time that is the same for a program that runs alone, and it
stays the same on a busy machine."""
CALLS_CPU_SECONDS = 30.0
"""All calls of a program run in one process, and this is what they may use together; LeetCode gives some 10 s."""
_MAX_EXPECTED = 2_000_000
"""Characters of JSON. No longer value is carried out of the sandbox."""
_INSTANCE = {
    "base": f"{reserved('globals')}().setdefault('__solution__', Solution())",
    "base:strict": "Solution()",
}


class Suites(Mapping[str, tuple[Case, ...]]):
    """The suites of one problem, read from its file when they are asked for."""

    def __init__(self, place: RowLocation) -> None:
        self._place = place

    def __getitem__(self, name: str) -> tuple[Case, ...]:
        return _suites(self._place)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_SUITES)

    def __len__(self) -> int:
        return len(_SUITES)


@lru_cache(maxsize=4)
def _suites(place: RowLocation) -> dict[str, tuple[Case, ...]]:
    method, tests, _ = read_tests(place, place.read())
    suites: dict[str, tuple[Case, ...]] = {name: tuple(_case(name, method, test) for test in tests) for name in _SUITES}
    if method is None:
        suites["base:strict"] = tuple(Reinterpretation(case=number, comparison="words") for number in range(len(tests)))
    return suites


class ContestTest(NamedTuple):
    """What goes in and what is expected: standard input and output; or arguments, one a line, and a value, in JSON."""

    given: str
    expected: str


def read_tests(place: RowLocation, row: Row) -> tuple[str | None, list[ContestTest], int]:
    """The method that is asked for (None: a program), the tests, public ones first, and how many others there are that
    cannot be carried.

    Raises:
        BenchmarkError: the tests are damaged, or not of the kind that the problem asks for.
    """
    method = _load_json(place, "metadata", row["metadata"], dict).get("func_name")
    if method is not None and not (isinstance(method, str) and method.isidentifier()):
        raise BenchmarkError(f"{place}: func_name in metadata is {method!r:.80}, no name of a method: {_FIX}")
    private = row["private_test_cases"]
    if not private.startswith("["):
        private = decode_tests(private, str(place))
    found: list[ContestTest] = []
    for column, text in (("public_test_cases", row["public_test_cases"]), ("private_test_cases", private)):
        found += (_test(place, column, item, method is None) for item in _load_json(place, column, text, list))
    kept = [test for test in found if method is None or len(test.expected) <= _MAX_EXPECTED]
    return method, kept, len(found) - len(kept)


_FIX = "fetch the file again"


def _test(place: RowLocation, column: str, item: object, is_program: bool) -> ContestTest:
    kind = "stdin" if is_program else "functional"
    match item:
        case {"input": str(given), "output": str(expected), "testtype": str(testtype)} if testtype == kind:
            if not is_program:
                for text in (*given.split("\n"), expected):
                    _load_json(place, column, text, object)
            return ContestTest(given, expected)
    raise BenchmarkError(f"{place}: {column} holds what is no {kind} test: {str(item)[:80]!r}; {_FIX}")


def _load_json(place: RowLocation, column: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{place}: {column} is damaged ({error}): {_FIX}") from error
    if not isinstance(value, kind):
        raise BenchmarkError(f"{place}: {column} is no JSON {kind.__name__}: {_FIX}")
    return value


def _case(suite: str, method: str | None, test: ContestTest) -> Case:
    if method is None:
        return Stdio(
            stdin=test.given,
            stdout=test.expected,
            comparison="livecodebench",
            cpu_seconds=TEST_CPU_SECONDS,
        )
    given = tuple(test.given.split("\n"))
    arguments = f"*{reserved('map')}({reserved('import')}('json').loads, {given!r})"
    return Call(
        expression=f"{_INSTANCE[suite]}.{method}({arguments})",
        expected=write_literal(json.loads(test.expected)),
        comparison="as_list" if suite == "base" else "equal",
        cpu_seconds=TEST_CPU_SECONDS,
    )
