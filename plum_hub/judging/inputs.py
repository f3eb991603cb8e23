"""Read programs and suites from files of any kind, for `plum-hub judge` and the `evaluate` metric.

    samples   `sample_id`, `instruction_id`, `code`           (also `samples` of a run or release: `id` for `sample_id`)
    suites    `instruction_id`, `entry_point`, `cases`        (also `suites` of a run, `test_suites` of a release)

`code` is a program, or null if an answer held none. `entry_point` may be missing, null or "" for a script. A case is an
assertion in Python; or an object with `call`, `expected` and optionally `tolerance`; with `statement`; with `stdin` and
`stdout`; or with `input` and `output`. `cases` may also be one text: a test module, whose tests are run as pytest or
unittest would run them. A suite that cannot be read, or that no program could fail, is refused with a reason; the
others are judged.
"""

import ast
import math
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

from plum_hub.answers.assertions import call_to_statement
from plum_hub.answers.checks import (
    CannotFailError,
    contains_tests,
    module_cases,
    one_statement,
    parse_tests,
    read_tests,
    require_can_fail,
)
from plum_hub.answers.source import definitions, missing_names, parse
from plum_hub.answers.tested_name import TestedName, readable_tests, tested_name
from plum_hub.answers.unimported import with_missing_imports
from plum_hub.errors import InstructionsError, UsageError
from plum_hub.execution.base import MAX_STDIO_BYTES
from plum_hub.execution.closeness import parse_expected
from plum_hub.instructions.cells import list_of
from plum_hub.instructions.local import find_local
from plum_hub.records import TestCase, digest

_TEXTS: tuple[tuple[str, ...], ...] = (("call", "expected"), ("statement",), ("stdin", "stdout"))
"""The fields of each kind of case. The first one tells the kinds apart."""


_CODE = ("call", "statement")
"""Those of them that name what is tested, perhaps as `candidate`."""
_STDIO = {"input": "stdin", "output": "stdout"}
"""Other names of fields."""


@dataclass(frozen=True, kw_only=True)
class SubmittedSuite:
    """The tests of one instruction's programs."""

    id: str
    """Digest of entry point and cases."""
    entry_point: str
    """Name of the function or class under test; "" for a script."""
    cases: tuple[TestCase, ...]
    where: str
    """File and line."""


@dataclass(frozen=True, kw_only=True)
class RefusedSuite:
    """A suite by which no program can be judged. The reasons are those of a build (`plum_hub.reasons`)."""

    reason: Literal["unreadable_tests", "cannot_fail"]
    detail: str
    """File, line and what is wrong there."""


@dataclass(frozen=True)
class SubmittedSuites:
    """The suites of a file by the id of their instruction; there is at least one usable one."""

    usable: dict[str, SubmittedSuite]
    refused: dict[str, RefusedSuite]

    def __contains__(self, instruction_id: object) -> bool:
        """Tell whether the file has a suite for an instruction, usable or not."""
        return instruction_id in self.usable or instruction_id in self.refused


@dataclass(frozen=True, kw_only=True)
class SubmittedProgram:
    """One program of a file."""

    sample_id: str
    instruction_id: str
    code: str | None
    """None if the answer held no program."""


def read_suites(path: Path, packages: Container[str] = ("numpy", "pandas")) -> SubmittedSuites:
    """Read the suites of a file.

    Args:
        path: The file.
        packages: Those of numpy and pandas that programs may use. A suite that needs the other is refused.

    Returns:
        The suites, and those that are refused.

    Raises:
        UsageError: The file cannot be read, a suite has no instruction or that of another one, or none can be used;
            the message names the line.
    """
    suites = SubmittedSuites({}, {})
    seen: dict[str, str] = {}
    for where, row in _rows(path):
        name = _text(row, "instruction_id", where)
        if "cases" not in row and (of_sample := sorted({"sample_id", "code"} & row.keys())):
            raise UsageError(
                f"{where}: has {' and '.join(of_sample)} and no cases, so it is a sample and no suite: are the two "
                "files swapped? --suites takes the suites"
            )
        if name in seen:
            raise UsageError(f"{where}: instruction {name!r} has a suite already, at {seen[name]}: give each one suite")
        seen[name] = where
        suite = _suite(row, where, packages)
        if isinstance(suite, RefusedSuite):
            suites.refused[name] = suite
        else:
            suites.usable[name] = suite
    if not seen:
        raise UsageError(f"{path} holds no suite: give --suites a file of instruction_id, entry_point and cases")
    if not suites.usable:
        others = f" (so are all {len(seen):,} suites of the file)" if len(seen) > 1 else ""
        raise UsageError(f"{next(iter(suites.refused.values())).detail}{others}")
    return suites


def _suite(row: Mapping[str, Any], where: str, packages: Container[str]) -> SubmittedSuite | RefusedSuite:
    try:
        tested = _tested("" if row.get("entry_point") is None else _text(row, "entry_point", where))
        cases = _cases(_value(row, "cases", where), tested)
        _check_packages(cases, packages)
    except UsageError as error:
        return RefusedSuite(reason="unreadable_tests", detail=str(error))
    except CannotFailError as error:
        return RefusedSuite(reason="cannot_fail", detail=f"{where}: {error}")
    except ValueError as error:
        return RefusedSuite(reason="unreadable_tests", detail=f"{where}: {error}")
    except RecursionError:
        detail = f"{where}: a case is nested too deeply to be read: simplify it"
        return RefusedSuite(reason="unreadable_tests", detail=detail)
    entry_point = tested.name if tested else ""
    content = digest(entry_point, [asdict(case) for case in cases])
    return SubmittedSuite(id=content, entry_point=entry_point, cases=cases, where=where)


def _check_packages(cases: Sequence[TestCase], packages: Container[str]) -> None:
    """Refuse tests that import a package which no program has: by them every program would fail."""
    lines = [(case.statement or case.call or "").split("\n") for case in cases]
    for name in ("numpy", "pandas"):
        if name not in packages and any(_imports(name, one) for one in lines):
            raise ValueError(f"it imports {name}, which programs do not have: judge with --{name}")


def _imports(name: str, lines: Sequence[str]) -> bool:
    """Tell whether tests import a module, and not only try to."""
    imports = re.compile(rf"\s*(?:import|from) {name}\b|.*\b__import__\('{name}'\)")
    at = [place for place, line in enumerate(lines) if imports.match(line)]
    return any(place == 0 or lines[place - 1].strip() != "try:" for place in at)


def _tested(text: str) -> TestedName | None:
    found = tested_name(text)
    if found is None and text.strip():
        raise ValueError(f"entry_point is {text[:40]!r}, not a name: write that of the function or class, such as f")
    return found


def read_programs(path: Path, suites: Container[str]) -> Iterator[SubmittedProgram]:
    """Read the programs of a file, one at a time.

    Args:
        path: The file.
        suites: What has the id of each instruction with a suite.

    Yields:
        The programs, in file order.

    Raises:
        UsageError: The file cannot be read, an id occurs twice, or a program has no suite; the message names the line.
    """
    seen: dict[str, str] = {}
    for where, row in _rows(path):
        name = _text(row, "sample_id" if "sample_id" in row or "id" not in row else "id", where)
        if name in seen:
            raise UsageError(f"{where}: sample {name!r} exists already, at {seen[name]}: give each its own id")
        seen[name] = where
        instruction = _text(row, "instruction_id", where)
        if instruction not in suites:
            raise UsageError(f"{where}: no suite for instruction {instruction!r}: add it to --suites, or leave it out")
        code = None if _value(row, "code", where) is None else _text(row, "code", where).removeprefix("\ufeff")
        yield SubmittedProgram(sample_id=name, instruction_id=instruction, code=code)
    if not seen:
        raise UsageError(f"{path} holds no sample: give a file of sample_id, instruction_id and code")


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        yield from find_local(path).rows()
    except InstructionsError as error:
        raise UsageError(str(error)) from error


def _value(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise UsageError(f"{where}: no column {column!r} among {', '.join(map(str, row)) or 'none'}: rename or add it")
    return row[column]


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = _value(row, column, where)
    if not isinstance(value, str):
        raise UsageError(f"{where}: {column} is {_describe(value)}, not text: write it as a JSON string")
    return value


def _cases(given: object, tested: TestedName | None) -> tuple[TestCase, ...]:
    """Parse the cases of one row; a `ValueError` says what is wrong with them."""
    given = list_of(given)
    entry_point = tested.name if tested else ""
    if isinstance(given, str):
        return read_tests(readable_tests(given, tested), entry_point)
    if not isinstance(given, list):
        raise ValueError(f"cases is {_describe(given)}, not a list: write a list of assertions or objects")
    if not given:
        raise ValueError("cases is empty, and a suite without cases tests nothing: add one, or remove the suite")
    if (module := _module_of(given, entry_point)) is not None:
        return read_tests(readable_tests(module, tested), entry_point)
    cases: list[TestCase] = []
    for number, item in enumerate(given, 1):
        try:
            cases += _assertion(item, tested) if isinstance(item, str) else _objects(item, tested)
        except ValueError as error:
            raise ValueError(f"case {number}: {error}") from error
    require_can_fail(cases, entry_point)
    return tuple(cases)


def _module_of(given: list[Any], entry_point: str) -> str | None:
    """Join statements of which one defines a test that another one calls, such as `def check(candidate): ...` and
    `check(f)`: alone, the call would fail for every program."""
    texts = [one.get("statement") if isinstance(one, dict) else one for one in given]
    sources = [dedent(one) for one in texts if isinstance(one, str)]
    trees = [tree for one in sources if (tree := parse(one)) is not None]
    if len(trees) < len(given):
        return None
    called = set[str]().union(*map(missing_names, trees))
    shared = [one for one, tree in zip(sources, trees, strict=True) if called & definitions(tree).keys()]
    return "\n".join(sources) if any(contains_tests(one, entry_point) for one in shared) else None


def _assertion(given: str, tested: TestedName | None) -> tuple[TestCase, ...]:
    """Parse a case that is text: a call, the cases of a test module, or else one statement."""
    source, entry_point = readable_tests(given, tested), tested.name if tested else ""
    cases = module_cases(source, entry_point)
    is_one = len(cases) == 1 or parse(source) is None or contains_tests(source, entry_point)
    return cases if is_one else (one_statement(source, entry_point),)


def _objects(item: object, tested: TestedName | None) -> tuple[TestCase, ...]:
    if isinstance(item, dict):
        item = item | {key: readable_tests(item[key], tested) for key in _CODE if isinstance(item.get(key), str)}
    case, entry_point = _object(item), tested.name if tested else ""
    if case.kind == "call" and with_missing_imports(f"{case.call}\n", entry_point) != f"{case.call}\n":
        return (one_statement(call_to_statement(case), entry_point),)
    if case.kind != "statement":
        return (case,)
    source = str(case.statement)
    return (
        module_cases(source, entry_point)
        if contains_tests(source, entry_point)
        else (one_statement(source, entry_point),)
    )


def _object(item: object) -> TestCase:
    if not isinstance(item, dict):
        raise ValueError(f"is {_describe(item)}, neither an assertion nor an object: correct it")
    values = {key: value for key, value in item.items() if value is not None}  # in Parquet every row has all fields
    for old, new in _STDIO.items():
        if old in values and not values.keys() & {"call", new}:
            values[new] = values.pop(old)
    fields = next((fields for fields in _TEXTS if fields[0] in values), None)
    if fields is None:
        raise ValueError("has none of call, statement, stdin and input: write one of them")
    kind = "stdio" if fields[0] == "stdin" else fields[0]
    allowed = {*fields, "kind"} | ({"tolerance"} if kind == "call" else set())
    if unknown := sorted(map(str, values.keys() - allowed)):
        raise ValueError(f"a {kind} case has no {', '.join(unknown)}: remove it")
    if values.setdefault("kind", kind) != kind:
        raise ValueError(f"is of kind {values['kind']!r}, but has {fields[0]}: correct either")
    for field in fields:
        if not isinstance(values.get(field), str):
            raise ValueError(f"{field} is {_describe(values.get(field))}, not text: write it as a JSON string")
    case = TestCase(**values)
    _check(case)
    return case


def _check(case: TestCase) -> None:
    """Raise a `ValueError` if the judge could not read the case, which would be no program's fault."""
    if case.kind == "statement":
        _parsed(str(case.statement))
    size = len(f"{case.stdin or ''}{case.stdout or ''}".encode(errors="surrogatepass"))
    if size > MAX_STDIO_BYTES:
        raise ValueError(
            f"stdin and stdout are {size:,} bytes together, more than the {MAX_STDIO_BYTES:,} that a sandbox has room "
            "for: shorten them"
        )
    if case.kind != "call":
        return
    tree = _parsed(str(case.call))
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        raise ValueError(f"call is not an expression: {case.call!r:.80}; write a statement instead")
    one_statement(str(case.call))
    try:
        parse_expected(str(case.expected))
    except ValueError as error:
        raise ValueError(f"expected is {error}; write the case as a statement, which may hold any Python") from error
    tolerance = case.tolerance
    if tolerance is not None and not (
        isinstance(tolerance, (int, float)) and math.isfinite(tolerance) and tolerance >= 0
    ):
        raise ValueError(f"tolerance is {_describe(tolerance)}, not a number of at least 0: correct it")


def _parsed(source: str) -> ast.Module:
    tree = parse_tests(source)
    if not tree.body:
        raise ValueError(f"is not Python: {source!r:.80}; correct it")
    return tree


def _describe(value: object) -> str:
    """Describe an invalid value, short enough for a line."""
    return "missing" if value is None else f"a {type(value).__name__} ({str(value)[:40]})"
