"""Convert LiveCodeBench's tests to cases.

Problems of LeetCode require a method of a class `Solution`; all others require a program that reads standard input.
There are two suites, with the same tests:

- `base`, the rules of LiveCodeBench's own judge: one `Solution` for all tests, tuples equal lists, `1.0` equals
`1`, and `sys.exit` may end a program with any status.
- `base:strict`, the rules of the contests: a `Solution` for each test, lists where lists are expected, numbers as
they are printed, and status 0.
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
"""LiveCodeBench limits a test to 6 seconds of wall time. As CPU time, the limit is the same for a program that runs
alone and does not depend on the load of the machine.
"""
CALLS_CPU_SECONDS = 30.0
"""Limit of all calls of a program together, which run in one process; LeetCode's own limit is about 10 s."""
_MAX_EXPECTED = 2_000_000
"""Maximum length of an expected value, in characters of JSON; no longer value leaves the sandbox."""
_INSTANCE = {
    "base": f"{reserved('globals')}().setdefault('__solution__', Solution())",
    "base:strict": "Solution()",
}


class Suites(Mapping[str, tuple[Case, ...]]):
    """The suites of one problem, read from its file on access."""

    def __init__(self, location: RowLocation) -> None:
        self._location = location

    def __getitem__(self, name: str) -> tuple[Case, ...]:
        return _suites(self._location)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_SUITES)

    def __len__(self) -> int:
        return len(_SUITES)


@lru_cache(maxsize=4)
def _suites(location: RowLocation) -> dict[str, tuple[Case, ...]]:
    method, tests, _ = read_tests(location, location.read())
    suites: dict[str, tuple[Case, ...]] = {name: tuple(_case(name, method, test) for test in tests) for name in _SUITES}
    if method is None:
        suites["base:strict"] = tuple(Reinterpretation(case=index, comparison="words") for index in range(len(tests)))
    return suites


class ContestTest(NamedTuple):
    """One test: standard input and output, or arguments (one JSON value per line) and a JSON value."""

    input: str
    expected: str


def read_tests(location: RowLocation, row: Row) -> tuple[str | None, list[ContestTest], int]:
    """Read the tests of a row.

    Args:
        location: Where the row is, for messages.
        row: The row.

    Returns:
        The required method (None for a program); the tests, public ones first; and the number of tests that are
        left out because their expected values are too long.

    Raises:
        BenchmarkError: The tests are damaged, or do not match the problem.
    """
    method = _load_json(location, "metadata", row["metadata"], dict).get("func_name")
    if method is not None and not (isinstance(method, str) and method.isidentifier()):
        raise BenchmarkError(f"{location}: func_name in metadata is {method!r:.80}, not a method name: {_FIX}")
    private = row["private_test_cases"]
    if not private.startswith("["):
        private = decode_tests(private, str(location))
    tests: list[ContestTest] = []
    for column, text in (("public_test_cases", row["public_test_cases"]), ("private_test_cases", private)):
        tests += (_test(location, column, item, method is None) for item in _load_json(location, column, text, list))
    kept = [test for test in tests if method is None or len(test.expected) <= _MAX_EXPECTED]
    return method, kept, len(tests) - len(kept)


_FIX = "fetch the file again"


def _test(location: RowLocation, column: str, item: object, is_program: bool) -> ContestTest:
    kind = "stdin" if is_program else "functional"
    match item:
        case {"input": str(given), "output": str(expected), "testtype": str(testtype)} if testtype == kind:
            if not is_program:
                for text in (*given.split("\n"), expected):
                    _load_json(location, column, text, object)
            return ContestTest(given, expected)
    raise BenchmarkError(
        f"{location}: {column} contains something other than a {kind} test: {str(item)[:80]!r}; {_FIX}"
    )


def _load_json(location: RowLocation, column: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{location}: {column} is damaged ({error}): {_FIX}") from error
    if not isinstance(value, kind):
        raise BenchmarkError(f"{location}: {column} is not a JSON {kind.__name__}: {_FIX}")
    return value


def _case(suite: str, method: str | None, test: ContestTest) -> Case:
    if method is None:
        return Stdio(
            stdin=test.input,
            stdout=test.expected,
            comparison="livecodebench",
            cpu_seconds=TEST_CPU_SECONDS,
        )
    arguments_json = tuple(test.input.split("\n"))
    arguments = f"*{reserved('map')}({reserved('import')}('json').loads, {arguments_json!r})"
    return Call(
        expression=f"{_INSTANCE[suite]}.{method}({arguments})",
        expected=write_literal(json.loads(test.expected)),
        comparison="as_list" if suite == "base" else "equal",
        cpu_seconds=TEST_CPU_SECONDS,
    )
