"""Convert a test module, as benchmarks and users write them, to test cases."""

import ast
import doctest
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from textwrap import indent

from plum_hub.answers.assertions import call_to_statement, read_assertion
from plum_hub.answers.carried import Carried
from plum_hub.answers.class_state import keeps_state, set_owners
from plum_hub.answers.libraries import are_pandas, with_own_imports
from plum_hub.answers.own_names import with_own_names
from plum_hub.answers.plain import lower_closeness, to_plain_body
from plum_hub.answers.proof import why_cannot_fail
from plum_hub.answers.reporters import reached_names
from plum_hub.answers.runners import TestModule, collect_tests, with_stand_ins
from plum_hub.answers.source import is_future, loaded_names, missing_names, parse, stored_names, substitute, unparse
from plum_hub.answers.standalone import standalone, without_exits
from plum_hub.answers.unimported import with_missing_imports
from plum_hub.execution.closeness import without_as_lists
from plum_hub.execution.literals import syntax_tree
from plum_hub.execution.plain_literals import NotPlainError, parse_plain, plain_call
from plum_hub.records import TestCase

_LONG = 1_000
"""Characters from which on a literal is not walked through in search of names and checks."""

_MAX_RECURSION = 2_500
"""Levels that suffice for all brackets that Python's parser reads. Its compiler takes up to three times as many."""


@contextmanager
def _readable_nesting() -> Iterator[None]:
    """Read whatever Python's parser does: 200 brackets in each other take several levels of recursion each."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _MAX_RECURSION))
    try:
        yield
    except RecursionError as error:
        raise ValueError("it is nested too deeply to be read") from error
    finally:
        sys.setrecursionlimit(limit)


class CannotFailError(ValueError):
    """The tests hold whatever a program does."""


@_readable_nesting()
def read_tests(source: str, entry_point: str = "") -> tuple[TestCase, ...]:
    """Convert a test module to test cases that can fail a program.

    A module that contains only assertions and imports gives a case for each assertion, with HumanEval's
    `check(candidate)` expanded. Otherwise each test that a test runner would collect gives a case. If the parts
    depend on one another, the whole module becomes one statement.

    Args:
        source: The module, or a text of doctests.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        The cases in source order.

    Raises:
        ValueError: The source is not Python, requires an unsupported feature, or cannot fail any program; the
            message says which.
    """
    cases = module_cases(source, entry_point)
    if parse(source) is not None:
        texts = [node.value for node in ast.walk(parse_tests(source)) if isinstance(node, ast.Constant)]
        documented = [text for text in texts if isinstance(text, str) and ">>> " in text]
        if documented and why_cannot_fail(_body(cases), entry_point) is not None:
            cases = _doctests(documented)
    require_can_fail(cases, entry_point)
    return cases


@_readable_nesting()
def module_cases(source: str, entry_point: str = "") -> tuple[TestCase, ...]:
    """Convert a test module to test cases without checking that they can fail; see `read_tests`.

    Args:
        source: The module.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        The cases in source order.

    Raises:
        ValueError: The source is not Python, requires an unsupported feature, or skips all its tests.
    """
    if parse(source) is None and ">>> " in source:
        return _doctests([source])
    given = with_own_names(source, entry_point)
    complete = with_missing_imports(given, entry_point)
    cases = _module_cases(complete, entry_point)
    if complete != given and any(case.kind != "call" for case in cases):
        split = _module_cases(
            given, entry_point
        )  # what only an expected value names, the judge knows without an import
        cases = split if all(_is_complete_call(case, entry_point) for case in split) else cases
    _refuse_frameworks(_body(cases))
    return cases


def _is_complete_call(case: TestCase, entry_point: str) -> bool:
    call = f"{case.call}\n"
    return case.kind == "call" and with_missing_imports(call, entry_point) == call


def _module_cases(source: str, entry_point: str) -> tuple[TestCase, ...]:
    tree = parse_tests(source)
    if not tree.body:
        raise ValueError(f"is not Python: {source!r:.80} (no statement); fix it")
    checks = _checks(tree.body)
    if checks is not None:
        return _split([], checks)
    future = [node for node in tree.body if is_future(node)]
    module = collect_tests([node for node in tree.body if node not in future], entry_point)
    if not module.tests and module.has_skipped:
        raise ValueError("all of its tests are skipped, or may fail by a mark: remove the marks")
    if not module.tests and ast.unparse(tree) == ast.unparse(
        ast.Module(body=[*future, *map(lower_closeness, module.preamble)], type_ignores=[])
    ):
        first = [node for node in module.preamble if not _is_import(node)]
        if _checks(first) is None:
            return (TestCase(kind="statement", statement=source),)
    return _planned(module, future)


@_readable_nesting()
def one_statement(source: str, entry_point: str = "") -> TestCase:
    """Convert source to one case that needs neither unittest nor pytest.

    Args:
        source: Statements; calls of `self.assertEqual` and the like are rewritten as plain Python.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        The case; its statement is the source, unless something had to be rewritten.

    Raises:
        ValueError: The source is not Python, or uses what is not supported.
    """
    source = with_missing_imports(with_own_names(source, entry_point), entry_point)
    tree = parse_tests(source)
    alone = without_exits(to_plain_body(standalone(tree.body, entry_point)))
    body = [lower_closeness(node) for node in alone]
    _refuse_frameworks(body)
    text = unparse(body)
    return TestCase(kind="statement", statement=source if text == unparse(tree.body) else text)


def _refuse_frameworks(body: list[ast.stmt]) -> None:
    """Reject statements that no program can pass, because they need what a sandbox lacks."""
    for name in sorted(missing_names(ast.Module(body=body, type_ignores=[])) & {"pytest", "self", "unittest"}):
        raise ValueError(f"this use of {name} is not supported in tests: write it as an assert")


def contains_tests(source: str, entry_point: str) -> bool:
    """Return whether a source has tests that a test runner would collect and the module itself does not call.

    Args:
        source: The module.
        entry_point: The name that the program must define.

    Returns:
        True if there are such tests, skipped ones included.

    Raises:
        ValueError: See `read_tests`.
    """
    module = collect_tests(parse_tests(source).body, entry_point)
    return bool(module.tests) or module.has_skipped


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@_readable_nesting()
def require_can_fail(cases: Sequence[TestCase], entry_point: str) -> None:
    """Reject cases that no program can fail.

    Args:
        cases: Cases that run in this order.
        entry_point: The name that the program must define; "" if unknown.

    Raises:
        CannotFailError: Neither a single case nor all together can fail a program.
    """
    calls = (case for case in cases if case.kind == "call")
    if any(case.kind == "stdio" for case in cases) or any(
        why_cannot_fail(_body([case]), entry_point) is None for case in calls
    ):
        return
    reason = why_cannot_fail(_body(cases), entry_point)
    if reason is not None:
        raise CannotFailError(f"{reason}: fix the tests, or remove the suite")


def can_fail(case: TestCase, entry_point: str) -> bool:
    """Return whether a case may fail a program.

    Args:
        case: The case.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        False if the case is not Python or holds whatever the program does.
    """
    if case.kind == "stdio":
        return True
    try:
        return why_cannot_fail(parse_tests(_source(case)).body, entry_point) is None
    except ValueError:
        return False


def parse_tests(source: str) -> ast.Module:
    """Parse and compile a test module.

    Args:
        source: The module.

    Returns:
        The syntax tree.

    Raises:
        ValueError: The source is not Python; the message names the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "<tests>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ValueError(f"is not Python: {source!r:.80} (line {error.lineno}: {error.msg}); fix it") from error
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        raise ValueError(f"is not Python: {source!r:.80} ({error}); fix it") from error
    return syntax_tree(source)


def _body(cases: Sequence[TestCase]) -> list[ast.stmt]:
    return [node for case in cases for node in syntax_tree(_source(case)).body]


def _source(case: TestCase) -> str:
    """Return statements whose names and checks are those of a case, with short literals for long ones."""
    if case.statement:
        return case.statement
    call, expected = str(case.call), without_as_lists(str(case.expected))
    with suppress(NotPlainError):
        call = f"{plain_call(call)[0]}(0)" if len(call) > _LONG else call
    with suppress(NotPlainError):
        if len(expected) > _LONG:
            parse_plain(expected)
            expected = "0"
    return call_to_statement(replace(case, call=call, expected=expected))


def _planned(module: TestModule, future: list[ast.stmt]) -> tuple[TestCase, ...]:
    """Make one case per test if the tests share no mutable state, else one case of all."""
    imports = [node for node in module.preamble if _is_import(node)]
    checks = _checks([node for node in module.preamble if not _is_import(node)])
    if not module.tests and checks is not None:
        return _split(imports, checks)
    if not module.tests and not module.preamble:
        return ()
    if not module.tests or _shares(module):
        body = [*module.preamble, *_together(module)]
        return (TestCase(kind="statement", statement=_statement(future, body)),)
    cases: list[TestCase] = []
    carried = Carried(module.preamble)
    bound = {name for node in module.preamble if node not in imports for name in stored_names(node)}
    for test in module.tests:
        alone = None if test.needs else _alone(test.body, bound)
        if alone is not None:
            cases += _split(imports, alone)
        else:
            body = _together(TestModule([], [test], module.shared))
            statement = _statement(future, [*carried.by(body), *body])
            cases.append(TestCase(kind="statement", statement=statement))
    return tuple(cases)


def _statement(future: list[ast.stmt], body: list[ast.stmt]) -> str:
    return unparse([*future, *with_stand_ins([lower_closeness(node) for node in body])])


def _together(module: TestModule) -> list[ast.stmt]:
    """Return the tests one after the other, with what they share made once: before the first that needs it."""
    body: list[ast.stmt] = []
    made: list[str] = []
    for test in module.tests:
        new = [name for name in test.needs if name not in made]
        body += syntax_tree("\n".join(step for name in new for step in module.shared[name].setup)).body
        body += test.body
        made += new
    ends = [step for name in made for step in module.shared[name].teardown]
    return [*body, *syntax_tree("\n".join(reversed(ends))).body]


def _alone(test: list[ast.stmt], bound: set[str]) -> list[ast.stmt] | None:
    """Return the assertions of a test that consists of nothing but assertions about the program; None otherwise."""
    own = {"self"}
    match test:
        case [ast.FunctionDef(args=ast.arguments(args=[]), decorator_list=[]) as function, ast.Expr()]:
            checks = _checks(function.body)
            own = _parameters(function)
        case [
            ast.FunctionDef(args=ast.arguments(args=[parameter])) as function,
            ast.Expr(value=ast.Call(args=[argument])),
        ]:
            checks = _checks(function.body)
            checks = None if checks is None else [substitute(check, {parameter.arg: argument}) for check in checks]
        case [
            ast.ClassDef(bases=[], body=[*items]),
            ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name()), attr=name), args=[], keywords=[])
            ),
        ]:
            method = [item for item in items if isinstance(item, ast.FunctionDef) and item.name == name]
            checks = _checks(method[-1].body) if method and len(method[-1].args.args) == 1 else None
            own |= _parameters(method[-1]) if method else set()
        case _:
            return None
    if checks is None or any(loaded_names(check) & (bound | own) for check in checks):
        return None
    return checks


def _parameters(function: ast.FunctionDef) -> set[str]:
    return {item.arg for item in ast.walk(function.args) if isinstance(item, ast.arg)}


def _shares(module: TestModule) -> bool:
    """Return whether tests may depend on one another or on what is done once before them."""
    used = [reached_names([*test.body, *module.preamble], test.body) for test in module.tests]
    owners = set_owners([*module.preamble, *(node for test in module.tests for node in test.body)])
    for node in module.preamble:
        match node:
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name) if not (
                keeps_state(node) or name in owners
            ) or sum(name in names for names in used) < (1 if _has_global(node) else 2):
                continue
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name()], value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id=name)]) if sum(name in names for names in used) < 2:
                continue
        return True
    needs = Counter(name for test in module.tests for name in test.needs)
    inside = (node for test in module.tests for node in test.body)
    return any(map(_has_global, inside)) or any(count > 1 for count in needs.values())


def _has_global(node: ast.stmt) -> bool:
    return any(isinstance(item, ast.Global) for item in ast.walk(node))


def _split(imports: Sequence[ast.stmt], checks: Sequence[ast.stmt]) -> tuple[TestCase, ...]:
    """Make cases for each assertion, preceded by the imports that it uses."""
    cases: list[TestCase] = []
    for check in checks:
        needed = [node for node in imports if stored_names(node) & (loaded_names(check) | {"*"})]
        alone = [with_own_imports(case, needed) for case in read_assertion(check)] if are_pandas(needed) else []
        if alone and all(case.kind == "call" for case in alone):
            cases += alone
        elif needed and not _only_math(needed, check):
            cases.append(TestCase(kind="statement", statement=unparse([*needed, lower_closeness(check)])))
        else:
            cases += read_assertion(check)
    return tuple(cases)


def _only_math(needed: Sequence[ast.stmt], check: ast.stmt) -> bool:
    """Return whether `math` is imported only for `math.isclose`, which the judge evaluates itself."""
    if ast.unparse(ast.Module(body=list(needed), type_ignores=[])) != "import math":
        return False
    return all("math" not in loaded_names(syntax_tree(_source_of(case))) for case in read_assertion(check))


def _source_of(case: TestCase) -> str:
    return str(case.call if case.kind == "call" else case.statement)


def _doctests(texts: Sequence[str]) -> tuple[TestCase, ...]:
    """Convert doctest examples: one call case each if they are independent, else one statement of all."""
    statements: list[str] = []
    for text in texts:
        try:
            examples = doctest.DocTestParser().get_examples(text.replace("\r\n", "\n"))
        except ValueError as error:
            raise ValueError(f"its doctests cannot be parsed ({error}): fix them") from error
        statements += map(_doctest, examples)
    if not statements:
        raise ValueError("its doctests contain no example: add one")
    if all(line.startswith("assert ") for line in statements):
        return tuple(case for line in statements for case in read_assertion(ast.parse(line).body[0]))
    return (TestCase(kind="statement", statement="".join(statements)),)


_BLANK_LINE = re.compile(r"^<BLANKLINE>[ \t]*$", re.MULTILINE)
_PRINTED = """import contextlib as _contextlib, io as _io
with _contextlib.redirect_stdout(_io.StringIO()) as _printed:
    _value = {}
    if _value is not None:
        print(repr(_value))
assert _printed.getvalue() == {!r}
"""


def _is_printed(want: str) -> bool:
    """Tell whether a text is one that a function printed, rather than the `repr` of what it returned."""
    tree = parse(want)
    if tree is None:
        return not want.startswith("<")
    return len(tree.body) > 1 or isinstance(getattr(tree.body[0] if tree.body else None, "value", None), ast.Name)


def _doctest(example: doctest.Example) -> str:
    """Convert one example to a statement that compares the printed value with the expected text."""
    tree = parse_tests(example.source)
    prints = "print" in loaded_names(tree)
    want = _BLANK_LINE.sub("", example.want.rstrip("\n"))
    name_alone = example.options == {doctest.IGNORE_EXCEPTION_DETAIL: True} and example.exc_msg is not None
    if example.options and not name_alone:
        raise ValueError(f"its doctests have options: remove them ({example.source.strip()!r:.60})")
    if example.exc_msg is not None:
        return _raises(tree, example.exc_msg.strip("\n"), name_alone=name_alone)
    match tree.body:
        case [ast.Expr(value=value)] if not prints and _is_printed(want):
            return _PRINTED.format(ast.unparse(value), f"{want}\n")
        case [ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[]))] if want:
            return f"assert '%s' % ({ast.unparse(value)},) == {want!r}\n"
        case [ast.Expr(value=value)] if not prints:
            return f"assert '%r' % ({ast.unparse(value)},) == {want or 'None'!r}\n"
    if want or prints:
        raise ValueError(f"its doctests print: write assertions instead ({example.source.strip()!r:.60})")
    return example.source


_RAISED = """import traceback as _traceback
_raised = ''
try:
{}
except BaseException as _error:
    _error.__class__ is MemoryError and (_ for _ in ()).throw(_error)
    _raised = _traceback.format_exception_only(_error)[-1].strip('\\n')
"""
_ANY_MODULE = """_name, _colon, _message = _raised.partition(':')
_raised = _name.rpartition('.')[2] + _colon + _message
"""
_NAME_ALONE = "_raised = _raised.partition(':')[0].rpartition('.')[2]\n"


def _raises(tree: ast.Module, wanted: str, *, name_alone: bool) -> str:
    """Return statements that compare the last line of a traceback, as doctest does.

    Of the module of a class that is not the standard library's, nothing is compared: a program has another name in a
    sandbox than in a shell.

    Args:
        tree: What has to raise.
        wanted: The last line of the traceback.
        name_alone: Whether neither the message nor the module counts.

    Returns:
        Their source.
    """
    name, colon, message = wanted.partition(":")
    raised = _RAISED.format(indent(unparse(tree.body).rstrip("\n"), "    "))
    if name_alone:
        raised, wanted = raised + _NAME_ALONE, name.rpartition(".")[2]
    elif "." not in name or name.partition(".")[0] not in sys.stdlib_module_names:
        raised, wanted = raised + _ANY_MODULE, name.rpartition(".")[2] + colon + message
    return f"{raised}assert _raised == {wanted!r}\n"


def _checks(body: list[ast.stmt]) -> list[ast.stmt] | None:
    """Return the assertions of a module that contains nothing else; None otherwise.

    Calls of `check` functions are expanded.
    """
    checks: list[ast.stmt] = []
    functions: dict[str, tuple[str, list[ast.stmt]]] = {}
    for statement in body:
        match statement:
            case ast.Assert():
                checks.append(statement)
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="METADATA")], value=ast.Dict()):
                continue
            case ast.FunctionDef(
                name=name, args=ast.arguments(posonlyargs=[], args=[one], kwonlyargs=[], vararg=None, kwarg=None)
            ) if not statement.decorator_list and (inner := _checks(statement.body)) is not None:
                functions[name] = (one.arg, inner)
            case ast.Expr(
                value=ast.Call(func=ast.Name(id=name), args=[ast.Name() | ast.Attribute() as given], keywords=[])
            ) if name in functions:
                parameter, inner = functions[name]
                checks += [substitute(check, {parameter: given}) for check in inner]
            case _:
                return None
    return checks or None
