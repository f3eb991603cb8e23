"""A test module, as benchmarks and people write them, as test cases."""

import ast
import doctest
import warnings
from collections.abc import Sequence

from plum_hub.answers.assertions import call_to_statement, read_assertion
from plum_hub.answers.plain import lower_closeness
from plum_hub.answers.proof import why_cannot_fail
from plum_hub.answers.runners import TestModule, collect_tests
from plum_hub.answers.source import loaded_names, parse, stored_names, substitute, unparse
from plum_hub.records import TestCase


def read_tests(source: str, entry_point: str = "") -> tuple[TestCase, ...]:
    """A test module as cases: one for each assertion where it holds nothing but assertions and imports, HumanEval's
    `check(candidate)` written out; one for each test that a runner would run; else all of it as one statement, since
    its parts may need one another.

    Args:
        source: the module, or a text of doctests.
        entry_point: what the program has to define; "" where that is not known.

    Raises:
        ValueError: it is not Python, wants what is not run here, or can fail no program; the message says which.
    """
    if parse(source) is None and ">>> " in source:
        cases = _doctests([source])
    else:
        cases = module_cases(source, entry_point)
        texts = [node.value for node in ast.walk(parse_tests(source)) if isinstance(node, ast.Constant)]
        documented = [text for text in texts if isinstance(text, str) and ">>> " in text]
        if documented and why_cannot_fail(_body(cases), entry_point) is not None:
            cases = _doctests(documented)
    require_can_fail(cases, entry_point)
    return cases


def module_cases(source: str, entry_point: str = "") -> tuple[TestCase, ...]:
    """See `read_tests`; whether anything in the cases can fail is not asked."""
    tree = parse_tests(source)
    if not tree.body:
        raise ValueError(f"is not Python: {source!r:.80} (no statement); mend it")
    checks = _checks(tree.body)
    if checks is not None:
        return _split([], checks)
    future: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    module = collect_tests([node for node in tree.body if node not in future], entry_point)
    if not module.tests and module.has_skipped:
        raise ValueError("every test in it is skipped, so that nothing is tested: take out the skips")
    if not module.tests and ast.unparse(tree) == ast.unparse(
        ast.Module(body=[*future, *map(lower_closeness, module.preamble)], type_ignores=[])
    ):
        first = [node for node in module.preamble if not _is_import(node)]
        if _checks(first) is None:
            return (TestCase(kind="statement", statement=source),)
    return _planned(module, future)


def contains_tests(source: str, entry_point: str) -> bool:
    """Whether a runner would find tests in the source that it does not run by itself.

    Raises:
        ValueError: see `read_tests`.
    """
    module = collect_tests(parse_tests(source).body, entry_point)
    return bool(module.tests) or module.has_skipped


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def require_can_fail(cases: Sequence[TestCase], entry_point: str) -> None:
    """Raise a `ValueError` if the cases, one after the other, can fail no program."""
    calls = (case for case in cases if case.kind == "call")
    if any(case.kind == "stdio" for case in cases) or any(
        why_cannot_fail(_body([one]), entry_point) is None for one in calls
    ):
        return
    reason = why_cannot_fail(_body(cases), entry_point)
    if reason is not None:
        raise ValueError(f"{reason}: mend the tests, or drop the suite")


def can_fail(case: TestCase, entry_point: str) -> bool:
    """Whether a case is Python and may fail a program."""
    if case.kind == "stdio":
        return True
    try:
        return why_cannot_fail(parse_tests(case.statement or call_to_statement(case)).body, entry_point) is None
    except ValueError:
        return False


def parse_tests(source: str) -> ast.Module:
    """The tree of a text that Python takes as a module.

    Raises:
        ValueError: it is not; the message names the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "<tests>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ValueError(f"is not Python: {source!r:.80} (line {error.lineno}: {error.msg}); mend it") from error
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        raise ValueError(f"is not Python: {source!r:.80} ({error}); mend it") from error
    return ast.parse(source)


def _body(cases: Sequence[TestCase]) -> list[ast.stmt]:
    return [node for case in cases for node in ast.parse(case.statement or call_to_statement(case)).body]


def _planned(module: TestModule, future: list[ast.stmt]) -> tuple[TestCase, ...]:
    """A case for each test where they share nothing that changes, else one for all."""
    imports = [node for node in module.preamble if _is_import(node)]
    checks = _checks([node for node in module.preamble if not _is_import(node)])
    if not module.tests and checks is not None:
        return _split(imports, checks)
    if not module.tests and not module.preamble:
        return ()
    if not module.tests or _shares(module):
        body = [*future, *module.preamble, *(node for test in module.tests for node in test)]
        return (TestCase(kind="statement", statement=unparse(map(lower_closeness, body))),)
    cases: list[TestCase] = []
    bound = {name for node in module.preamble if node not in imports for name in stored_names(node)}
    for test in module.tests:
        alone = _alone(test, bound)
        if alone is not None:
            cases += _split(imports, alone)
        else:
            body = [*future, *module.preamble, *test]
            cases.append(TestCase(kind="statement", statement=unparse(map(lower_closeness, body))))
    return tuple(cases)


def _alone(test: list[ast.stmt], bound: set[str]) -> list[ast.stmt] | None:
    """The assertions of a test that is nothing but assertions of the program; None for any other."""
    match test:
        case [ast.FunctionDef(args=ast.arguments(args=[]), decorator_list=[]) as function, ast.Expr()]:
            checks = _checks(function.body)
        case [ast.FunctionDef(args=ast.arguments(args=[one])) as function, ast.Expr(value=ast.Call(args=[given]))]:
            checks = _checks(function.body)
            checks = None if checks is None else [substitute(check, {one.arg: given}) for check in checks]
        case [ast.ClassDef(bases=[], body=[*items]), ast.Expr(value=ast.Call(func=ast.Lambda() as runner))] if (
            len(calls := [item for item in ast.walk(runner) if isinstance(item, ast.Call)]) == 1
            and isinstance(calls[0].func, ast.Attribute)
            and not calls[0].keywords
        ):
            method = [item for item in items if isinstance(item, ast.FunctionDef) and item.name == calls[0].func.attr]
            checks = _checks(method[-1].body) if method else None
        case _:
            return None
    if checks is None or any(loaded_names(check) & (bound | {"self"}) for check in checks):
        return None
    return checks


def _shares(module: TestModule) -> bool:
    """Whether tests may depend on one another, or on what the module does before them."""
    for node in module.preamble:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                continue
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name()], value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id=name)]) if (
                sum(name in loaded_names(ast.Module(body=test, type_ignores=[])) for test in module.tests) < 2
            ):
                continue
        return True
    inside = [item for test in module.tests for node in test for item in ast.walk(node)]
    return any(isinstance(item, ast.Global) for item in inside)


def _split(imports: Sequence[ast.stmt], checks: Sequence[ast.stmt]) -> tuple[TestCase, ...]:
    """One or more cases for each assertion, with the imports that it uses in front."""
    cases: list[TestCase] = []
    for check in checks:
        needed = [node for node in imports if stored_names(node) & (loaded_names(check) | {"*"})]
        if needed and not _only_math(needed, check):
            cases.append(TestCase(kind="statement", statement=unparse([*needed, lower_closeness(check)])))
        else:
            cases += read_assertion(check)
    return tuple(cases)


def _only_math(needed: Sequence[ast.stmt], check: ast.stmt) -> bool:
    """Whether `math` is imported for `math.isclose` alone, which the judge applies itself."""
    names = [item for item in ast.walk(check) if isinstance(item, ast.Name) and item.id == "math"]
    closes = [item for item in ast.walk(check) if isinstance(item, ast.Attribute) and item.attr == "isclose"]
    return ast.unparse(ast.Module(body=list(needed), type_ignores=[])) == "import math" and len(names) == len(closes)


def _doctests(texts: Sequence[str]) -> tuple[TestCase, ...]:
    """The examples of each text: a call each where they stand alone, else one statement of all."""
    lines: list[str] = []
    for text in texts:
        try:
            examples = doctest.DocTestParser().get_examples(text)
        except ValueError as error:
            raise ValueError(f"its doctests cannot be read ({error}): mend them") from error
        lines += map(_doctest, examples)
    if not lines:
        raise ValueError("its doctests hold no example: mend them")
    if all(line.startswith("assert ") for line in lines):
        return tuple(case for line in lines for case in read_assertion(ast.parse(line).body[0]))
    return (TestCase(kind="statement", statement="".join(lines)),)


def _doctest(example: doctest.Example) -> str:
    """What an example's value prints must be what stands below it."""
    tree = parse_tests(example.source)
    prints = "print" in loaded_names(tree)
    want = example.want.rstrip("\n")
    if example.options:
        raise ValueError(f"its doctests have options: take them out ({example.source.strip()!r:.60})")
    match tree.body:
        case [ast.Expr(value=value)] if example.exc_msg is not None:
            name = example.exc_msg.partition(":")[0].strip()
            return f"try:\n    {ast.unparse(value)}\nexcept {name}:\n    pass\nelse:\n    assert False\n"
        case [ast.Expr(value=ast.Call(func=ast.Name(id="print"), args=[value], keywords=[]))] if want:
            return f"assert '%s' % ({ast.unparse(value)},) == {want!r}\n"
        case [ast.Expr(value=value)] if not prints:
            return f"assert '%r' % ({ast.unparse(value)},) == {want or 'None'!r}\n"
    if want or prints:
        raise ValueError(f"its doctests print: write assertions instead ({example.source.strip()!r:.60})")
    return example.source


def _checks(body: list[ast.stmt]) -> list[ast.stmt] | None:
    """The assertions of a module that holds nothing else, with the calls of its `check` functions written out."""
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
            case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[ast.Name() as given], keywords=[])) if (
                name in functions
            ):
                parameter, inner = functions[name]
                checks += [substitute(check, {parameter: given}) for check in inner]
            case _:
                return None
    return checks or None
