"""Test suites of datasets whose rows have tests of their own, such as MBPP, AceCode, KodCode, APPS and CodeContests.

What a row holds is recognised by its columns and by the form of their values, so that an excerpt or a renamed copy is
read like the original. Nothing runs here: whether a reference passes its tests, and a stub fails them, is for the
sandbox to show.

| form of the tests | as in |
|---|---|
| a list of assertions | MBPP (`test_list`), AceCode (`test_cases`) |
| a test module, perhaps with `check(candidate)` | HumanEval, KodCode, LeetCode (`test`) |
| inputs and outputs, with `fn_name` for a function | APPS, TACO (`input_output`) |
| inputs and outputs in one or more columns | CodeContests (`public_tests`, `private_tests`, `generated_tests`) |
| any of them as `ground_truth` | Eurus, verl (`reward_model`) |
"""

import ast
import json
from collections import Counter
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from textwrap import dedent
from typing import Any, Literal, TypeAlias

from plum_hub.answers.assertions import call_to_statement
from plum_hub.answers.checks import can_fail, read_tests
from plum_hub.answers.program_imports import imported_names
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    definitions,
    is_import,
    loaded_names,
    loads,
    missing_names,
    parse,
    stored_names,
)  # fmt: skip
from plum_hub.answers.starter import is_valid_starter, make_starter
from plum_hub.answers.surroundings import fixed_source
from plum_hub.answers.tested_name import TestedName, readable_tests, tested_name
from plum_hub.answers.unimported import PLAIN_NAMES, named_imports, usual_imports, with_imports
from plum_hub.execution.closeness import write_json_value
from plum_hub.instructions.cells import list_of
from plum_hub.pipeline.own_code import (
    REFERENCE_COLUMNS,
    completed,
    has_solutions,
    shown_helpers,
    solutions_of,
    starter_of,
    text_of,
    with_usual_imports,
)
from plum_hub.pipeline.own_pairs import (
    FUNCTIONAL,
    Arguments,
    ContradictionError,
    decoded,
    functional_reading,
    pairs_of,
    readings_of,
    stream_readings,
    unique_calls,
    unique_streams,
    unwrapped,
    written,
)
from plum_hub.records import TestCase

TEST_COLUMNS = (
    "test_list", "test_cases", "tests", "test", "asserts", "assertions", "unit_tests", "input_output",
    "public_tests", "private_tests", "generated_tests", "inputs", "testcase", "testcases", "test_code", "unit_test",
    "unittest", "official_tests", "public_test_cases", "verification_info", "reward_model",
)  # fmt: skip
"""Names of columns with tests, in the order in which they are looked for."""
COLUMNS = frozenset({
    *TEST_COLUMNS, *REFERENCE_COLUMNS, "outputs", "entry_point", "fn_name", "func_name", "function_name", "test_info",
    "starter_code", "prompt", "code_prompt", "complete_prompt", "test_setup_code", "test_imports",
    "challenge_test_list", "metadata", "private_test_cases",
})  # fmt: skip
"""Every column that is read, besides the instruction's own."""

_TOGETHER = (("public_tests", "private_tests", "generated_tests"), ("public_test_cases", "private_test_cases"))
"""Columns that are read as one."""
_NAME_COLUMNS = ("entry_point", "fn_name", "func_name", "function_name")
_NOTHING = ast.Module(body=[], type_ignores=[])
_SCRIPT_STARTER = "# Read the input from standard input and print the answer to standard output.\n"

Reason: TypeAlias = Literal[
    "no_tests", "unreadable_tests", "cannot_fail", "contradictory", "no_entry_point", "no_reference", "nondeterministic"
]
"""Why a row has no suite. `no_reference`: it has solutions, and none of them is Python that defines the entry point."""


@dataclass(frozen=True)
class RowSuite:
    """The suite of one row, unproved.

    Attributes:
        entry_point: What a program has to define; empty for a script.
        starter_code: What a solver is given.
        reference: The row's own solution; empty where it has none.
        cases: The tests.
    """

    entry_point: str
    starter_code: str
    reference: str
    cases: tuple[TestCase, ...]


@dataclass(frozen=True)
class UnusableTests:
    """Why a row has no suite, and what was seen."""

    reason: Reason
    detail: str = ""


def test_column(columns: frozenset[str] | set[str]) -> str | None:
    """Find the column with the tests.

    Args:
        columns: The names of a row's columns.

    Returns:
        The first of `TEST_COLUMNS` that is there; None where there is none.
    """
    return next((name for name in TEST_COLUMNS if name in columns and (name != "inputs" or "outputs" in columns)), None)


def suites_of(
    row: Mapping[str, Any], column: str | None, max_cases: int | None = None
) -> list[RowSuite] | UnusableTests:
    """Read the tests of one row.

    Args:
        row: The row.
        column: The column with the tests; None to recognise it.
        max_cases: Keep the first so many cases; None keeps all.

    Returns:
        The suite; several where the row can be read in several ways, of which the reference decides. Or why it has
        none.
    """
    name = column or test_column({key for key, value in row.items() if value is not None}) or test_column(set(row))
    if name is None or row.get(name) in (None, "", [], {}) or (isinstance(row[name], str) and row[name].isspace()):
        return UnusableTests("no_tests", "" if name is None else f"column {name} is empty")
    try:
        together = next((group for group in _TOGETHER if name in group), (name,))
        given = [row[one] for one in together if row.get(one) and not _is_packed(row[one])] or [row[name]]
        found = _of_pairs(row, name, [*map(unwrapped, given)]) or _of_assertions(row, unwrapped(row[name]))
        sources = [] if isinstance(found, UnusableTests) else [fixed_source(one.reference, one.cases) for one in found]
    except RecursionError:
        return UnusableTests("unreadable_tests", "nested too deeply")
    except ContradictionError as error:
        return UnusableTests("contradictory", str(error))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return UnusableTests("unreadable_tests", " ".join(str(error).split())[:200])
    if sources and all(sources):
        return UnusableTests("nondeterministic", str(sources[0]))
    if isinstance(found, UnusableTests) or max_cases is None:
        return found
    return [RowSuite(one.entry_point, one.starter_code, one.reference, one.cases[:max_cases]) for one in found]


def _of_assertions(row: Mapping[str, Any], given: object) -> list[RowSuite] | UnusableTests:
    source = _test_module(row, given)
    method = next((found for name in _NAME_COLUMNS if (found := tested_name(text_of(row.get(name))))), None)
    source = readable_tests(source, method)
    tree = parse(source)
    if tree is None:
        return UnusableTests("unreadable_tests", _why_no_python(given))
    named = _named_entry(row) or (method.name if method else "") or _imported_entry(tree, row)
    solutions = list(solutions_of(row, named))
    entry_point = named or _tested_name(tree, solutions)
    if not entry_point:
        return UnusableTests("no_entry_point", "nothing that a solution could define is used by the tests")
    if "check" in definitions(tree) and not _calls(tree, "check"):
        source += f"\ncheck({entry_point})\n"
    if named and named not in source:
        return UnusableTests("no_entry_point", f"no test uses {named}")
    cases = read_tests(_with_imports(source, entry_point, method, solutions), entry_point)
    setup = with_usual_imports(text_of(row.get("test_setup_code")))
    if setup:
        names = definitions(parse(setup) or ast.Module(body=[], type_ignores=[])).keys()
        cases = tuple(_behind(setup, names, case) for case in cases)
    if not any(can_fail(case, entry_point) for case in cases):
        return UnusableTests("cannot_fail", "no test could fail a program")
    suites = _with_reference(row, entry_point, cases, solutions)
    if isinstance(suites, UnusableTests):
        return suites
    suites = [_with_shown_helpers(row, suite) for suite in suites]
    if method is not None and method.expression != method.name and (unknown := _unknown_names(suites[0])):
        return UnusableTests(
            "unreadable_tests", f"the tests use {', '.join(unknown)}, which nothing in the row defines"
        )
    return suites


def _with_imports(source: str, entry_point: str, method: TestedName | None, solutions: Sequence[str]) -> str:
    """Import what the tests use and no program has to define: what the row's solution imports itself or lacks, and what
    a class beside them cannot give."""
    tree = parse(source)
    is_method = method is not None and method.expression != method.name
    if tree is None or not (solutions or is_method):
        return source
    known = definitions(parse(solutions[0]) or _NOTHING) if solutions else {}
    missing = missing_names(tree) - {entry_point}
    imports = [*named_imports(known.values(), missing), *usual_imports(missing - known.keys())]
    return with_imports(tree, imports) if imports else source


def _why_no_python(given: object) -> str:
    text = given.strip() if isinstance(given, str) else ""
    if text.startswith(("{", "[")):
        try:
            json.loads(text)
        except ValueError as error:
            return f"the tests are neither Python nor JSON ({error})"
    return "the tests are not Python"


def _with_shown_helpers(row: Mapping[str, Any], suite: RowSuite) -> RowSuite:
    """Put functions and classes that the row's prompt defines before the tests that use them, as in LeetCodeDataset;
    what the suite's program has to define is left to it."""
    given = {suite.entry_point, *definitions(parse(suite.reference or suite.starter_code) or _NOTHING)}
    used = {name for case in suite.cases for name in _missing(case)} - given
    setup = with_usual_imports(shown_helpers(row, "", suite.entry_point, used, tests_only=True) if used else "")
    return replace(suite, cases=tuple(_behind(setup, used, case) for case in suite.cases)) if setup else suite


def _unknown_names(suite: RowSuite) -> list[str]:
    """Return names of tests that a class alone cannot define, where no solution does."""
    known = definitions(parse(suite.starter_code) or _NOTHING).keys() | {suite.entry_point}
    missing = {name for case in suite.cases for name in _missing(case)} - known
    return [] if suite.reference else sorted(missing)


def _missing(case: TestCase) -> set[str]:
    tree = parse(case.call or case.statement or "")
    return set() if tree is None else missing_names(tree)


def _test_module(row: Mapping[str, Any], given: object) -> str:
    """Return all tests of a row as the source of one module."""
    lines = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else None
    lines = lines and [dedent(line) if isinstance(line, str) else line for line in lines if line is not None]
    if not lines or not all(isinstance(line, str) for line in lines):
        raise ValueError("the tests are neither a text, nor a list of assertions, nor inputs with outputs")
    more = list_of(row.get("challenge_test_list")) if "test_list" in row else None
    lines += [line for line in more or () if isinstance(line, str)]
    imports = list_of(row.get("test_imports"))
    front = [line for line in (imports or ()) if isinstance(line, str)] if isinstance(imports, list) else []
    return "\n".join([*front, *(str(line).replace("\r\n", "\n") for line in lines)]) + "\n"


def _behind(setup: str, names: Set[str], case: TestCase) -> TestCase:
    """Put a dataset's set-up code before a case that uses one of its names; a call then becomes a statement."""
    source = case.statement or call_to_statement(case)
    tree = parse(source)
    if tree is None or not loaded_names(tree) & names:
        return case
    return TestCase(kind="statement", statement=f"{setup.rstrip()}\n{source}")


def _of_pairs(row: Mapping[str, Any], column: str, given: Sequence[object]) -> list[RowSuite] | UnusableTests | None:
    """Read inputs and outputs; None where the tests have another form."""
    outputs = row.get("outputs")
    pairs = pairs_of([{"inputs": one, "outputs": outputs} for one in given] if column == "inputs" else given)
    if pairs is None:
        return None
    if not pairs.inputs:
        return UnusableTests("no_tests", f"column {column} has no input")
    name = pairs.name or _named_entry(row)
    if not name and pairs.kind:
        return UnusableTests("no_entry_point", "the tests call a function, and neither they nor a column name it")
    if not name:
        return _script(row, pairs.inputs, pairs.outputs)
    reading = functional_reading if pairs.kind == FUNCTIONAL else partial(readings_of, name=name)
    return _function(row, name, reading(pairs.inputs, pairs.outputs))


def _is_packed(value: object) -> bool:
    """Tell whether a cell is a text that is no JSON, as LiveCodeBench packs its private tests."""
    return isinstance(value, str) and value.lstrip()[:1] not in ("[", "{")


def _script(row: Mapping[str, Any], inputs: list[object], outputs: list[object]) -> list[RowSuite] | UnusableTests:
    solutions = list(solutions_of(row, ""))
    if not solutions and has_solutions(row):
        return UnusableTests("no_reference", "no solution is a Python 3 program")
    found: list[RowSuite] = []
    for ins, outs in stream_readings(inputs, outputs):
        pairs = unique_streams(ins, outs)
        if len(set(pairs.values())) == 1 and len(pairs) > 1:
            return UnusableTests("cannot_fail", "every output is the same")
        cases = tuple(TestCase(kind="stdio", stdin=stdin, stdout=stdout) for stdin, stdout in pairs.items())
        found += [RowSuite("", _SCRIPT_STARTER, one, cases) for one in solutions[:3] or [""]]
    return found


def _function(
    row: Mapping[str, Any], name: str, readings: list[tuple[list[Arguments], list[object]]]
) -> list[RowSuite] | UnusableTests:
    shown = completed(text_of(row.get("starter_code")))
    in_class = any(_method_of(parse(code), name) for code in (shown, *solutions_of(row, "Solution")))
    entry_point = "Solution" if in_class else name
    called = f"Solution().{name}" if in_class else name
    solutions = list(solutions_of(row, entry_point))
    found: list[RowSuite] = []
    if not solutions:
        takes = _parameters(parse(shown), name)
        readings = [one for one in readings if all(len(values) in takes for values in one[0])] or readings
    for arguments, expected in readings:
        calls = [f"{called}({written(values)})" for values in arguments]
        cases = tuple(
            TestCase(kind="call", call=call, expected=write_json_value(value))
            for call, value in unique_calls(calls, expected).items()
        )
        suites = _with_reference(row, entry_point, cases, solutions)
        if isinstance(suites, UnusableTests):
            return suites
        found += suites
    return found


def _parameters(tree: ast.Module | None, name: str) -> Container[int]:
    """Return how many arguments a function takes by its signature; any number where none is shown."""
    for node in ast.walk(tree or ast.Module(body=[], type_ignores=[])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name and not node.args.vararg:
            given = [*node.args.posonlyargs, *node.args.args]
            most = len(given) - (bool(given) and given[0].arg == "self")
            return range(most - len(node.args.defaults), most + 1)
    return range(256)


def _with_reference(
    row: Mapping[str, Any], entry_point: str, cases: tuple[TestCase, ...], solutions: Sequence[str]
) -> list[RowSuite] | UnusableTests:
    if not solutions and has_solutions(row):
        return UnusableTests("no_reference", f"no solution defines {entry_point}")
    if not solutions:
        return [RowSuite(entry_point, _announced(row, entry_point, cases), "", cases)]
    reference = solutions[0]
    tree = parse(reference)
    assert tree is not None  # `_solutions` yields nothing else
    used = {name for case in cases for name in _names(case)} & definitions(tree).keys()
    for given in (text_of(row.get("starter_code")), text_of(row.get("prompt"))):
        starter = starter_of(row, given, entry_point)
        if given and is_valid_starter(starter, tree, entry_point, used):
            return [RowSuite(entry_point, starter, reference, cases)]
    if not isinstance(definitions(tree)[entry_point], DefinitionNode):  # `f = lambda x: 2 * x` has no body to leave out
        return [RowSuite(entry_point, _announced(row, entry_point, cases), reference, cases)]
    return [RowSuite(entry_point, with_usual_imports(make_starter(tree, entry_point, used)), reference, cases)]


def _announced(row: Mapping[str, Any], entry_point: str, cases: Sequence[TestCase]) -> str:
    """Return starter code for a function whose parameters no solution shows: as the first test calls it."""
    given = starter_of(row, text_of(row.get("starter_code")), entry_point)
    tree = parse(given)
    if tree is not None and entry_point in definitions(tree):
        return given
    for case in cases:
        for node in ast.walk(parse(case.call or case.statement or "") or ast.Module(body=[], type_ignores=[])):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == entry_point:
                names = [f"arg{place}" for place in range(1, len(node.args) + 1)]
                names += [keyword.arg for keyword in node.keywords if keyword.arg]
                return f"def {entry_point}({', '.join(names)}):\n    pass\n"
    return f"def {entry_point}(*args):\n    pass\n"


def _named_entry(row: Mapping[str, Any]) -> str:
    """Return the name that a program has to define, where a column says it."""
    for column in _NAME_COLUMNS:
        if text_of(row.get(column)).isidentifier():
            return str(row[column])
    for column, key in (("test_info", "function_name"), ("metadata", "func_name")):
        about = decoded(row.get(column))
        about = about[0] if isinstance(about, list) and about else about
        if isinstance(about, dict) and text_of(about.get(key)).isidentifier():
            return str(about[key])
    return ""


def _imported_entry(tests: ast.Module, row: Mapping[str, Any]) -> str:
    """Return the name that a test module imports from the solution, as KodCode's do; of several, one that a solution
    defines as a function or class, and the one used most."""
    trees = [tree for code in solutions_of(row, "") if (tree := parse(code))]
    own = {name: node for tree in trees for name, node in definitions(tree).items() if not is_import(node)}
    uses = imported_names(tests, own.keys())
    return max(uses, key=lambda name: (name in own, isinstance(own.get(name), DefinitionNode), uses[name]), default="")


def _tested_name(tests: ast.Module, solutions: Sequence[str]) -> str:
    """Return what the tests call: of the names that they do not define, the one that a solution defines, or that they
    call most; `check(f)` names its candidate."""
    for call in ast.walk(tests):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "check" and call.args:
            inner = [node for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)]
            if inner:
                return inner[0].id
    bound = {name for node in ast.walk(tests) if isinstance(node, ast.stmt) for name in stored_names(node)}
    called = Counter(
        node.func.id
        for node in ast.walk(tests)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in bound
    )
    read = Counter(name for name in loads(tests) if name not in bound)
    for code in solutions:
        defined = definitions(parse(code) or ast.Module(body=[], type_ignores=[]))
        own = [name for name, _ in (*called.most_common(), *read.most_common()) if name in defined]
        if found := next((name for name in own if not is_import(defined[name])), ""):
            return found
    missing = missing_names(tests)
    missing = missing - PLAIN_NAMES or missing
    return "" if solutions else next((name for name, _ in called.most_common() if name in missing), "")


def _calls(tree: ast.Module, name: str) -> list[ast.Call]:
    return [
        node.value
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == name
    ]


def _method_of(tree: ast.Module | None, name: str) -> bool:
    """Tell whether a class `Solution` has the method, as contest sites write it."""
    found = definitions(tree).get("Solution") if tree else None
    return isinstance(found, ast.ClassDef) and any(
        isinstance(item, FunctionNode) and item.name == name for item in found.body
    )


def _names(case: TestCase) -> set[str]:
    tree = parse(case.call or case.statement or "")
    return set() if tree is None else loaded_names(tree)
