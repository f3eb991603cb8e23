"""Parse a generator's answer as a test suite: starter code, reference solution, entry point and cases.

The prompt `suite` requests the answer, but models answer in many ways: blocks are recognized by their content first
and by their headings second. Nothing is executed: the sandbox shows later whether the reference passes its own
cases and whether a stub fails them.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from plum_hub.answers.assertions import call_to_statement, is_assertion
from plum_hub.answers.blocks import Block, read_answer
from plum_hub.answers.cases import read_cases
from plum_hub.answers.checks import can_fail, module_cases
from plum_hub.answers.code import choose_program
from plum_hub.answers.deciding import tells_kind
from plum_hub.answers.examples import printed_cases, stdio_cases
from plum_hub.answers.libraries import with_own_imports
from plum_hub.answers.roles import roles_by_line
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    definitions,
    is_stub,
    loaded_names,
    loads,
    longest_valid_prefix,
    missing_names,
    parse,
    stored_names,
    unparse,
)  # fmt: skip
from plum_hub.answers.starter import is_data_class, is_valid_starter, make_starter
from plum_hub.answers.structured import as_sections
from plum_hub.answers.surroundings import fixed_source
from plum_hub.answers.unimported import named_imports, usual_imports
from plum_hub.execution.closeness import Closeness, parse_expected
from plum_hub.execution.comparisons import agrees
from plum_hub.records import UNSPECIFIED, CaseRole, TestCase

Reason: TypeAlias = Literal[
    "refused",
    "not_python",
    "no_reference",
    "syntax_error",
    "no_entry_point",
    "too_few_cases",
    "cannot_fail",
    "contradictory",
    "all_expected_equal",
    "nondeterministic",
]
"""Why an answer is not a usable suite. `cannot_fail`: too few tests remain without those that are not Python or hold
whatever the program does. `all_expected_equal`: a function that returns a constant, or any value of a type, would pass.
`nondeterministic`: its result rests on what no sandbox can vary, such as the network.
"""

_REFUSAL = re.compile(r"(?i)\b(?:i'?m sorry|i (?:can ?not|can't|am unable|won't)|as an ai)\b")
_TESTS_LABEL = re.compile(r"(?i)\b(?:unit ?tests?|tests?|test cases?|assert\w*|usage|verify)\b")
_SOLUTION_LABEL = re.compile(r"(?i)\b(?:solution|implementation|reference)\b")
_HEADING = re.compile(
    r"(?im)^[#*\s\d.]*((?:starter code|starter|solution|reference solution|tests?|test cases)\b).{0,20}$"
)
_TAGGED = re.compile(
    r"(?is)<(?P<label>starter(?:_code)?|(?:reference_)?solution|(?:unit_)?tests?|test_cases)>(?P<code>.*?)</(?P=label)>"
)
_TEST_NAME = re.compile(r"(?i)_?(?:unit)?tests?(?:_|\d|$|[A-Z])|check|run_.*tests?|main$|.*_tests?$")
_SCRIPT_STARTER = "# Read the input from standard input and print the answer to standard output.\n"


@dataclass(frozen=True)
class ParsedSuite:
    """A parsed test suite.

    Attributes:
        entry_point: The name that the cases call; "" for a script that is tested by its input and output.
        starter_code: Signatures and docstrings for the solver.
        reference: The reference solution.
        cases: The test cases, in the order of the answer.
        roles: What the answer says that cases are there for; those without a role are not in it.
    """

    entry_point: str
    starter_code: str
    reference: str
    cases: tuple[TestCase, ...]
    roles: Mapping[TestCase, CaseRole] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Unusable:
    """The reason why an answer is not a usable suite.

    Attributes:
        reason: Machine-readable reason.
        detail: Explanation, with the offending text where there is one.
    """

    reason: Reason
    detail: str = ""


@dataclass(frozen=True)
class _SuiteBlock:
    """One parsed block, divided into program and tests.

    Attributes:
        program: The block without its tests.
        tests: Statements of the tests.
        holds_tests: Whether it has tests or is labelled as such.
        source: The whole block, which the lines of `tests` refer to.
    """

    program: Block
    tests: Sequence[ast.stmt]
    holds_tests: bool
    source: str

    @property
    def tree(self) -> ast.Module:
        return parse(self.program.code) or ast.Module(body=[], type_ignores=[])


def parse_suite(text: str, *, min_cases: int = 3, max_cases: int = 5) -> ParsedSuite | Unusable:
    """Parse a generator's answer.

    Args:
        text: The answer, verbatim.
        min_cases: Fewest cases of a usable suite.
        max_cases: Most cases that are kept; the first ones win.

    Returns:
        The suite, or the reason why there is none.
    """
    try:
        suite = _parse_suite(text, min_cases, max_cases)
        source = fixed_source(suite.reference, suite.cases) if isinstance(suite, ParsedSuite) else None
    except RecursionError:  # the source is nested more deeply than Python's stack allows
        return Unusable("syntax_error", "nested too deeply")
    return suite if source is None else Unusable("nondeterministic", source)


def find_problem(cases: Sequence[TestCase], min_cases: int) -> Unusable | None:
    """Find what makes a list of cases unusable.

    Args:
        cases: The cases.
        min_cases: Fewest cases of a usable suite.

    Returns:
        `contradictory`, `too_few_cases` or `all_expected_equal`, with the evidence; None if there is nothing.
    """
    expected: dict[str, str] = {}
    for case in cases:
        if case.call is not None and case.expected is not None:
            before = expected.setdefault(case.call, case.expected)
            earlier, later = parse_expected(before), parse_expected(case.expected)
            if not isinstance(earlier, Closeness) and not agrees(earlier, later, case.tolerance, "equal"):
                return Unusable("contradictory", f"{case.call} is {before} and {case.expected}")
    if len(cases) < min_cases:
        return Unusable("too_few_cases", f"{len(cases)} of {min_cases}")
    values = {case.expected if case.kind == "call" else case.stdout for case in cases}
    if len(values) == 1 and None not in values:
        return Unusable("all_expected_equal", f"every case expects {values.pop()!r:.100}")
    if all(map(_tells_kind, cases)):
        return Unusable("all_expected_equal", "no case compares a value: each tells a type, or that there is a value")
    return None


def _tells_kind(case: TestCase) -> bool:
    match parse(case.call or case.statement or ""):
        case ast.Module(body=[ast.Expr(value=test)]) if case.expected in ("True", "False"):
            return tells_kind(test, holds=case.expected == "True")
        case ast.Module(body=[ast.Assert(test=test)]):
            return tells_kind(test)
    return False


def _parse_suite(text: str, min_cases: int, max_cases: int) -> ParsedSuite | Unusable:
    try:
        text = as_sections(text)
    except ValueError as error:
        return Unusable("syntax_error", str(error))
    written = read_answer(text).blocks
    blocks = [block for block in written if block.may_be_python] or _headed_sections(text)
    parts = [part for block in blocks if (part := _divide(block)) is not None]
    solutions = [part.program for part in sorted(parts, key=_last_resort) if not _is_announcement(part.tree)]
    if not any(part.tree.body for part in parts):
        if any(block.is_python for block in blocks):
            return Unusable("syntax_error", "no block of the answer parses")
        if written and not _REFUSAL.search(text):
            return Unusable("not_python", " ".join(written[0].code.split())[:200])
        return Unusable("refused" if _REFUSAL.search(text) else "no_reference", " ".join(text.split())[:200])
    entry_point = _entry_point(parts)
    if entry_point is None:
        return _script(text, solutions, min_cases, max_cases)
    reference = choose_program(solutions, entry_point)
    tree = None if reference is None else parse(reference)
    if reference is None or tree is None or is_stub(definitions(tree)[entry_point]):
        broken = any(block.is_python and parse(block.code) is None for block in blocks)
        return Unusable(
            "syntax_error" if broken else "no_reference", f"{entry_point} is not implemented in what parses"
        )
    roles = _cases(parts, text, tree, entry_point, min_cases)
    all_cases = list(roles)
    cases = [case for case in all_cases if can_fail(case, entry_point)]
    if len(cases) < min_cases <= len(all_cases):
        rejected = next(case for case in all_cases if case not in cases)
        return Unusable("cannot_fail", f"{len(cases)} of {min_cases}; not {rejected.statement or rejected.call!r:.150}")
    if (problem := find_problem(cases, min_cases)) is not None:
        return problem
    cases = cases[:max_cases]
    used = {name for case in cases for name in _names(case)} & _own(tree).keys()
    starters = [part.program.code for part in parts if _is_announcement(part.tree)]
    starter = next((code for code in starters if is_valid_starter(code, tree, entry_point, used)), None)
    stated = {case: roles[case] for case in cases if roles[case] != UNSPECIFIED}
    return ParsedSuite(entry_point, starter or make_starter(tree, entry_point, used), reference, tuple(cases), stated)


def _divide(block: Block) -> _SuiteBlock | None:
    """Separate a block's tests from its program.

    Tests are test functions and classes, and everything after the last definition if it contains an assertion. A
    truncated block of tests loses only its last line.
    """
    headed = bool(_TESTS_LABEL.search(block.label)) and not _SOLUTION_LABEL.search(block.label)
    code = block.code
    if parse(code) is None and (headed or not block.closed or "assert " in code):
        code = longest_valid_prefix(code.split("\n"))
    tree = parse(code)
    if tree is None or not tree.body:
        return None
    last = max(
        (i for i, node in enumerate(tree.body) if isinstance(node, DefinitionNode) and not _is_test(node)), default=-1
    )
    tail = tree.body[last + 1 :]
    tests = [node for node in tree.body if node in tail or _is_test(node) or _imports_framework(node)]
    if not any(map(is_assertion, tests)):
        tests = []
    lines = code.split("\n")
    for node in tests:
        first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    program = "\n".join(lines).strip("\n") + "\n"
    return _SuiteBlock(replace(block, code=program), tests, headed or bool(tests), code)


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return is_assertion(node) and (
            node.name.startswith("Test") or any(ast.unparse(base).endswith("TestCase") for base in node.bases)
        )
    return isinstance(node, FunctionNode) and is_assertion(node) and _TEST_NAME.match(node.name) is not None


def _imports_framework(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) and bool({"unittest", "pytest"} & stored_names(node))


def _last_resort(part: _SuiteBlock) -> int:
    """Rank blocks as sources of the solution: headed as solution 0, others 1, with tests 2."""
    return 0 if _SOLUTION_LABEL.search(part.program.label) else 2 if part.holds_tests else 1


def _is_announcement(tree: ast.Module) -> bool:
    """Return whether a block is starter code: it defines something and implements nothing."""
    defined = [node for node in tree.body if isinstance(node, DefinitionNode)]
    return bool(defined) and any(map(is_stub, defined)) and all(map(_is_empty, defined))


def _is_empty(node: ast.stmt) -> bool:
    functions = [item for item in ast.walk(node) if isinstance(item, FunctionNode) and not item.name.startswith("__")]
    return is_stub(node) or not functions


def _entry_point(parts: Iterable[_SuiteBlock]) -> str | None:
    """Return the function or class that the tests use most, among those of the starter code if there are any."""
    ranked = sorted(parts, key=_last_resort)
    counts = Counter(name for part in ranked for node in part.tests for name in loads(node))
    starters = [part for part in ranked if _is_announcement(part.tree)]
    for group in (starters, [part for part in ranked if _last_resort(part) < 2], ranked):
        nodes = [node for part in group for node in part.tree.body if isinstance(node, DefinitionNode)]
        names = [node.name for node in nodes if not is_data_class(node)] or [node.name for node in nodes]
        if used := [name for name in names if counts[name]]:
            return max(used, key=lambda name: counts[name])
        if names and not counts:
            return names[-1] if group is not starters else names[0]
    return None


def _cases(
    parts: Sequence[_SuiteBlock], text: str, reference: ast.Module, entry_point: str, min_cases: int
) -> dict[TestCase, CaseRole]:
    """Return the distinct cases that use the reference, with their roles.

    If assertions are too few, the tests are read as a test runner would run them, and printed examples are added.
    """
    defined = _own(reference)
    stateless = frozenset(name for name, node in defined.items() if _is_stateless(node))
    usable: dict[TestCase, CaseRole] = {}
    for part in parts:
        helpers, roles = _helpers(part, reference, defined.keys()), roles_by_line(part.source, part.tests)
        for case, line in read_cases(part.tests, stateless):
            if _names(whole := _with_helpers(case, helpers)) & defined.keys():
                usable.setdefault(whole, roles.get(line, UNSPECIFIED))
    if len(usable) < min_cases:
        tests = [case for part in parts for case in _run_cases(part, reference, entry_point)]
        if len({*tests}) > len(usable):
            usable = dict.fromkeys(tests, UNSPECIFIED)
        for case in printed_cases(text):
            if _names(case) & defined.keys():
                usable.setdefault(case, UNSPECIFIED)
    return usable


def _run_cases(part: _SuiteBlock, reference: ast.Module, entry_point: str) -> list[TestCase]:
    """Return one case for each test of a block that a test runner would run, with fixtures and methods of its own."""
    own = _own(reference).keys()
    helpers = [node for node in part.tree.body if not stored_names(node) & own]
    missing = missing_names(ast.Module(body=[*helpers, *part.tests], type_ignores=[])) - own
    imports = [*usual_imports(missing), *named_imports(reference.body, missing)]
    try:
        cases = module_cases(unparse([*imports, *helpers, *part.tests]), entry_point) if part.tests else ()
    except ValueError:
        return []
    return [case for case in cases if _names(case) & own]


def _own(tree: ast.Module) -> dict[str, ast.stmt]:
    """Return the definitions of a module without its imports, which a solver need not repeat."""
    names = definitions(tree)
    return {name: node for name, node in names.items() if not isinstance(node, ast.Import | ast.ImportFrom)}


def _is_stateless(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and not any(
        isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store) for item in ast.walk(node)
    )


def _helpers(part: _SuiteBlock, reference: ast.Module, defined: Iterable[str]) -> dict[str, ast.stmt]:
    """Return what a case may need and a solver need not define: imports, and definitions in the block of the tests."""
    nodes = [node for test in part.tests for node in ast.walk(test)]
    imports = [node for node in [*reference.body, *nodes] if isinstance(node, ast.Import | ast.ImportFrom)]
    missing = missing_names(ast.Module(body=[*part.tests], type_ignores=[])) - set(defined)
    statements = [
        *usual_imports(missing),
        *imports,
        *part.tree.body,
        *(node for node in part.tests if isinstance(node, DefinitionNode)),
    ]
    return {
        name: node
        for node in statements
        for name in sorted(stored_names(node) - set(defined))
        if not is_assertion(node)
    }


def _with_helpers(case: TestCase, helpers: dict[str, ast.stmt]) -> TestCase:
    """Prepend the helpers that a case uses, which turns a call into a statement."""
    case = with_own_imports(case, helpers.values())
    check = case.statement or call_to_statement(case)
    needed = _names(case) & helpers.keys()
    if needed:
        needed |= _loads(check) & helpers.keys()
    while more := {name for helper in needed for name in loaded_names(helpers[helper])} & helpers.keys() - needed:
        needed |= more
    if not needed:
        return case
    helpers_used = [node for node in dict.fromkeys(helpers.values()) if stored_names(node) & needed]
    return TestCase(kind="statement", statement=unparse(helpers_used) + check)


def _names(case: TestCase) -> set[str]:
    return _loads(case.call or case.statement or "")


def _loads(text: str) -> set[str]:
    tree = parse(text)
    return set() if tree is None else loaded_names(tree)


def _once(cases: Iterable[TestCase]) -> list[TestCase]:
    return list(dict.fromkeys(cases))


def _script(text: str, solutions: Sequence[Block], min_cases: int, max_cases: int) -> ParsedSuite | Unusable:
    """Return the suite of a program that reads standard input: pairs of input and output."""
    cases = _once(stdio_cases(text))
    reference = choose_program([block for block in solutions if re.search(r"\binput\(|\bstdin\b", block.code)], "")
    if reference is None or not cases:
        return Unusable("no_entry_point", "nothing that the answer defines is used by its tests")
    return find_problem(cases, min_cases) or ParsedSuite("", _SCRIPT_STARTER, reference, tuple(cases[:max_cases]))


def _headed_sections(text: str) -> list[Block]:
    """Split an answer without fences by its tags, as in `<tests>`, or at its headings."""
    pieces = _HEADING.split(text)
    labelled = [(found["label"].replace("_", " "), found["code"]) for found in _TAGGED.finditer(text)]
    labelled = labelled or [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    return [
        Block("python", code.strip("\n") + "\n", label, closed=True)
        for label, code in labelled
        if parse(code) and code.strip()
    ]
