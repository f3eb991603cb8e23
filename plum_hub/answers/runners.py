"""Collect the tests that a test runner would run.

These are pytest's functions and classes, unittest's classes, and an uncalled `check`. Each test becomes its
definition followed immediately by a call. A program under test cannot replace the function, because it is defined
again before each call and nothing runs between the two.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass, field

from plum_hub.answers.fixtures import Fixture, automatic_calls, awaited, fixture_call, is_decorated, read_fixtures
from plum_hub.answers.plain import lower_closeness, to_plain_body
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, stored_names

_TEST = re.compile(r"test|check$|run_\w*tests?$|main$")
_RUNNERS = frozenset(
    {"main", "TestLoader", "TextTestRunner", "TestSuite", "makeSuite", "defaultTestLoader", "TestCase"}
)
_MARK = re.compile(r"pytest\.|unittest\.(?!mock)|fixture\b|mark\.|skip\b")
_FRAMEWORKS = frozenset({"unittest", "pytest"})
_NOT_RUN = frozenset({
    "skipIf", "skipUnless", "skipif", "expectedFailure", "xfail", "usefixtures", "addCleanup",
    "skipTest", "enterContext", "assertLogs", "assertNoLogs", "assertWarns", "assertWarnsRegex", "importorskip",
    "addClassCleanup", "enterClassContext", "warns", "deprecated_call", "addTypeEqualityFunc",
})  # fmt: skip
"""Features of the frameworks that are not supported; a refusal names them."""
_PREPARES = (
    ("setup_class", "setUpClass"), ("setUp", "asyncSetUp", "setup_method", "setup"),
    ("asyncTearDown", "tearDown", "teardown_method"), ("tearDownClass", "teardown_class"),
)  # fmt: skip


@dataclass
class TestModule:
    """A test module, ready to run.

    Attributes:
        preamble: Statements before the tests.
        tests: Each test that nothing in the module calls: its definition and call.
        has_skipped: Whether the module has tests that are marked to be skipped.
    """

    preamble: list[ast.stmt]
    tests: list[list[ast.stmt]] = field(default_factory=list)
    has_skipped: bool = False


def collect_tests(body: Sequence[ast.stmt], entry_point: str) -> TestModule:
    """Collect the tests of a module, each with its call.

    Args:
        body: The statements of the module.
        entry_point: The name that the program must define; "" if unknown.

    Returns:
        The preamble and the tests.

    Raises:
        ValueError: The module requires an unsupported feature; the message names it.
    """
    statements = to_plain_body(_unguarded(_imports(body, entry_point)))
    frameworks = _FRAMEWORKS | {name for node in statements for name in _framework_names(node)}
    statements = _without_runners(statements, frameworks)
    _refuse_unknown(statements)
    classes = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
    module = TestModule([])
    used = _reached(statements)
    fixtures = read_fixtures(statements, "")
    defined = [fixture.function for fixture in fixtures.values()]
    tests = [node for node in statements if node not in defined and _is_test(node, classes, used)]
    prefixed = [node for node in tests if isinstance(node, ast.ClassDef) or str(vars(node)["name"]).startswith("test")]
    selected = prefixed or tests
    module.preamble = [_bare(node) for node in statements if node not in selected or vars(node)["name"] in used]
    for node in selected:
        if isinstance(node, ast.ClassDef):
            runs = list(_methods(node, classes, fixtures))
        elif _is_skipped(node):
            runs = []
        else:
            runs = [_called(node, fixtures, entry_point, statements)]
        module.has_skipped = module.has_skipped or not runs
        module.tests += [[*_module_steps(statements, 0), *run, *_module_steps(statements, 1)] for run in runs]
    _refuse_frameworks([*module.preamble, *(node for test in module.tests for node in test)], frameworks)
    return module


def _imports(body: Sequence[ast.stmt], entry_point: str) -> Iterator[ast.stmt]:
    """Yield the statements with the program's own module, whatever its name, imported as `solution`."""
    for node in body:
        match node:
            case ast.ImportFrom(module=module, names=names, level=level) if level or _is_program(
                module or "", {alias.name for alias in names}, entry_point
            ):
                kept = [alias for alias in names if alias.name != "*" and alias.asname not in (None, alias.name)]
                if kept:  # names without an alias are the program's own
                    yield ast.copy_location(ast.ImportFrom(module="solution", names=kept, level=0), node)
            case ast.Import(names=names) if any(_is_program(alias.name, set(), entry_point) for alias in names):
                for alias in names:
                    if _is_program(alias.name, set(), entry_point):
                        alias = ast.alias(name="solution", asname=alias.asname or alias.name.split(".")[0])
                    yield ast.copy_location(ast.Import(names=[alias]), node)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                yield ast.copy_location(ast.If(node.test, list(_imports(node.body, entry_point)), node.orelse), node)
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="path")))
            ):
                continue  # the program lies beside no test
            case _:
                yield node


def _is_program(module: str, names: set[str], entry_point: str) -> bool:
    top = module.split(".", maxsplit=1)[0]
    if top in sys.stdlib_module_names - {"this"} or top in {"numpy", "pandas", *_FRAMEWORKS}:
        return False
    known = {entry_point, "solution", "main", "module", "program", "code", "candidate", "app", "src", "answer"}
    return top in known or top.startswith(("your_", "my_", "solution")) or bool({entry_point, "*"} & names)


def _unguarded(body: Iterator[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        match node:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]), body=inner):
                yield from inner
            case _:
                yield node


def _framework_names(node: ast.stmt) -> set[str]:
    match node:
        case ast.Import(names=names):
            return {alias.asname or alias.name for alias in names if alias.name in _FRAMEWORKS}
        case ast.ImportFrom(module="unittest" | "pytest", names=names):
            return {alias.asname or alias.name for alias in names if alias.name != "mock"}
    return set()


def _without_runners(statements: list[ast.stmt], frameworks: Set[str]) -> list[ast.stmt]:
    """Remove the imports of the frameworks and the code that loads and runs tests through them."""
    removed: set[str] = set()
    kept: list[ast.stmt] = []
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            rest = [alias for alias in node.names if (alias.asname or alias.name) not in _framework_names(node)]
            if rest:
                other = ast.Import(rest) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, rest, 0)
                kept.append(ast.copy_location(other, node))
            continue
        simple = isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Raise)
        named = {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)} | loaded_names(node)
        runs = loaded_names(node) & frameworks and named & _RUNNERS
        if simple and (runs or loaded_names(node) & removed):
            removed |= stored_names(node)
        elif not isinstance(node, ast.ClassDef | ast.FunctionDef) and not simple and runs:
            raise ValueError("it runs its tests through a loader: remove the loader, the tests run without it")
        else:
            kept.append(node)
    return kept


def _refuse_unknown(statements: Sequence[ast.stmt]) -> None:
    for top in statements:
        for node in ast.walk(top):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in _NOT_RUN and (isinstance(node, ast.Attribute) or name[:4] in ("skip", "expe")):
                raise ValueError(f"line {getattr(node, 'lineno', 0)}: {name} is not supported in tests: remove it")
        if isinstance(top, ast.Import | ast.ImportFrom):
            names = [top.module or ""] if isinstance(top, ast.ImportFrom) else [alias.name for alias in top.names]
            for name in names:
                if name.split(".")[0] not in {*sys.stdlib_module_names, "numpy", "pandas", "solution"}:
                    raise ValueError(
                        f"line {top.lineno}: it imports {name}, which is not available in a sandbox: remove the import"
                    )


def _refuse_frameworks(statements: Sequence[ast.stmt], frameworks: Set[str]) -> None:
    """Reject uses of the frameworks that remain after all supported ones have been rewritten."""
    bound = {name for node in statements for name in stored_names(node)}
    for top in statements:
        for node in ast.walk(lower_closeness(top)):
            if isinstance(node, ast.Name) and node.id in frameworks - bound and isinstance(node.ctx, ast.Load):
                where = f"line {node.lineno}: " if hasattr(node, "lineno") else ""
                raise ValueError(f"{where}this use of {node.id} is not supported in tests: write it as an assert")
        if "pytestmark" in stored_names(top):
            raise ValueError("pytestmark is not supported in tests: remove it")


def _reached(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names of definitions that the module itself uses, directly or indirectly."""
    defined = {node.name: node for node in statements if isinstance(node, DefinitionNode)}
    queue = [name for node in statements if not isinstance(node, DefinitionNode) for name in loaded_names(node)]
    reached: set[str] = set()
    while queue:
        name = queue.pop()
        if name in defined and name not in reached:
            reached.add(name)
            queue += loaded_names(defined[name])
    return reached


def _is_test(node: ast.stmt, classes: dict[str, ast.ClassDef], used: set[str]) -> bool:
    if isinstance(node, FunctionNode):
        return node.name not in used and _TEST.match(node.name) is not None
    return isinstance(node, ast.ClassDef) and node.name not in used and bool(_test_names(node, classes))


def _family(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return the class and its bases in the module, nearest first."""
    bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return [node, *(ancestor for base in bases if base is not node for ancestor in _family(base, classes))]


def _test_names(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[str]:
    family = _family(node, classes)
    names = [item.name for ancestor in reversed(family) for item in ancestor.body if isinstance(item, FunctionNode)]
    unit = any(ast.unparse(base).endswith("TestCase") for ancestor in family for base in ancestor.bases)
    if not unit and (not node.name.startswith("Test") or "__init__" in names):
        return []
    return list(dict.fromkeys(name for name in names if name.startswith("test")))


def _module_steps(statements: Sequence[ast.stmt], place: int) -> list[ast.stmt]:
    """Return the calls of the set-up (0) or tear-down (1) functions of a module, which run around each test."""
    names = (("setUpModule", "setup_module"), ("tearDownModule", "teardown_module"))[place]
    found = [one for one in statements if isinstance(one, FunctionNode) and one.name in names]
    return [step for one in found for step in ast.parse(_function_step(one, "None")).body]


def _function_step(function: ast.FunctionDef | ast.AsyncFunctionDef, given: str) -> str:
    """Return a call of a set-up or tear-down function; pytest passes the module or test to those that take one."""
    if given == "None" and any(one.arg in loaded_names(function) for one in function.args.args):
        raise ValueError(f"line {function.lineno}: {function.name} uses its module: use a global variable instead")
    return f"{function.name}({given if function.args.args else ''})"


def _is_skipped(node: ast.stmt) -> bool:
    return is_decorated(node, "skip")


def _bare(node: ast.stmt) -> ast.stmt:
    """Return a definition without marks, fixture decorators and unittest's base class."""
    if not isinstance(node, DefinitionNode):
        return node
    copy = deepcopy(node)
    copy.decorator_list = [
        item
        for item in node.decorator_list
        if not re.match(r"(pytest|unittest)\.|fixture\b|mark\.|skip\b", ast.unparse(item))
    ]
    if isinstance(copy, ast.ClassDef):
        copy.bases = [base for base in copy.bases if not ast.unparse(base).endswith("TestCase")]
        copy.body = [_bare(item) for item in copy.body]
    else:
        copy.body = [_super_call(item) for item in copy.body]
    return copy


def _super_call(node: ast.stmt) -> ast.stmt:
    """Return a call of a base's set-up or tear-down that does nothing where the base was unittest's."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name))) if any(
            name in names for names in _PREPARES
        ):
            return ast.parse(f"__builtins__['getattr'](super(), {name!r}, lambda: None)()").body[0]
    return node


def _methods(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], fixtures: dict[str, Fixture]
) -> Iterator[list[ast.stmt]]:
    """Yield the class and a call for each of its tests."""
    if _is_skipped(node):
        return
    if is_decorated(node, "parametrize"):
        raise ValueError(f"line {node.lineno}: parametrize on a class is not supported: put it on its functions")
    family = _family(node, classes)
    known = {item.name: item for one in reversed(family) for item in one.body if isinstance(item, FunctionNode)}
    fixtures = fixtures | read_fixtures(list(known.values()), "case.")
    for name in _test_names(node, classes):
        method = known[name]
        if _is_skipped(method):
            continue
        before, each, after, last = ([one for one in names if one in known] for names in _PREPARES)
        call, loops = _arguments(method, fixtures, skip=1)
        steps = [*automatic_calls(fixtures), *(_step("case", known[one], name) for one in each)]
        steps.append(awaited(method, f"case.{name}({call})"))
        steps += [_step("case", known[one], name) for one in after]
        text = f"(lambda case: [{', '.join(steps)}])({node.name}())"
        around = [*(f"{node.name}.{one}()" for one in before), text, *(f"{node.name}.{one}()" for one in last)]
        yield _looped([_bare(node), *ast.parse(", ".join(around)).body], loops)


def _step(case: str, method: ast.FunctionDef | ast.AsyncFunctionDef, test: str) -> str:
    """Return a call of a set-up or tear-down method; pytest passes the test to those that take a parameter."""
    return awaited(method, f"{case}.{method.name}({f'{case}.{test}' if len(method.args.args) > 1 else ''})")


def _called(
    node: ast.stmt,
    fixtures: dict[str, Fixture],
    entry_point: str,
    statements: Sequence[ast.stmt],
) -> list[ast.stmt]:
    """Return a test function and its call."""
    assert isinstance(node, FunctionNode)
    required = len(node.args.args) - len(node.args.defaults)
    if required == 1 and not node.name.startswith("test"):
        if not entry_point:
            raise ValueError(
                f"nothing calls {node.name}({node.args.args[0].arg}), and no entry_point names its argument: add it"
            )
        return [_bare(node), *ast.parse(f"{node.name}({entry_point})").body]
    call, loops = _arguments(node, fixtures, skip=0)
    known = {one.name: one for one in statements if isinstance(one, FunctionNode)}
    before, after = (
        [_function_step(known[one], node.name) for one in (name,) if one in known]
        for name in ("setup_function", "teardown_function")
    )
    text = "\n".join([*automatic_calls(fixtures), *before, awaited(node, f"{node.name}({call})"), *after])
    return _looped([_bare(node), *ast.parse(text).body], loops)


def _arguments(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    fixtures: dict[str, Fixture],
    skip: int,
) -> tuple[str, list[tuple[str, str]]]:
    """Return the arguments of a test's call, and the loops around it as pairs of target and table."""
    loops: list[tuple[str, str]] = []
    arguments: dict[str, str] = {}
    others = False
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="parametrize"), args=[names, table, *_], keywords=keywords):
                if any(keyword.arg == "indirect" for keyword in keywords):
                    raise ValueError(f"line {node.lineno}: parametrize with indirect is not supported: remove it")
                targets = _parameter_names(names)
                variables = [f"__{len(loops)}_{index}__" for index in range(len(targets))]
                arguments |= dict(zip(targets, variables, strict=True))
                loops.append((_target(variables, names), ast.unparse(_ParamRows().visit(deepcopy(table)))))
            case _:
                others = others or not re.match(r"(pytest|unittest)\.|mark\.|staticmethod", ast.unparse(decorator))
    parameters = node.args.args[skip:] if not is_decorated(node, "staticmethod") else node.args.args
    needed = parameters[: len(parameters) - len(node.args.defaults)] if node.args.defaults else parameters
    for parameter in needed:
        if parameter.arg not in arguments and parameter.arg in fixtures:
            arguments[parameter.arg] = fixture_call(parameter.arg, fixtures, ())
        elif parameter.arg not in arguments and not others:
            raise ValueError(
                f"line {node.lineno}: {node.name} needs the fixture {parameter.arg!r}, which the tests do not define: "
                "remove it"
            )
    return ", ".join(f"{name}={value}" for name, value in arguments.items()), loops[::-1]


def _parameter_names(names: ast.expr) -> list[str]:
    match names:
        case ast.Constant(value=str(text)):
            return [name.strip() for name in text.split(",") if name.strip()]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [str(item.value) for item in items if isinstance(item, ast.Constant)]
    raise ValueError(f"line {names.lineno}: parametrize has names that are not literal: write them as a string")


def _target(variables: list[str], names: ast.expr) -> str:
    several = len(variables) > 1 or not isinstance(names, ast.Constant)
    return "".join(f"{one}, " for one in variables) if several else variables[0]


class _ParamRows(ast.NodeTransformer):
    """Replace `pytest.param(1, 2, id="x")` by the row (1, 2)."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(attr="param"), args=args, keywords=keywords):
                if any(keyword.arg == "marks" for keyword in keywords):
                    raise ValueError(f"line {node.lineno}: marks of a pytest.param are not supported: remove them")
                return args[0] if len(args) == 1 else ast.Tuple(elts=args, ctx=ast.Load())
        return node


def _looped(body: list[ast.stmt], loops: list[tuple[str, str]]) -> list[ast.stmt]:
    for target, table in reversed(loops):
        loop = ast.parse(f"for {target} in {table}:\n    pass").body[0]
        assert isinstance(loop, ast.For)
        loop.body = body
        body = [loop]
    return body
