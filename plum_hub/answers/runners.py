"""Collect the tests that a test runner would run.

These are pytest's functions and classes, unittest's classes, and an uncalled `check`. Each test becomes its
definition followed immediately by a call. A program under test cannot replace the function, because it is defined
again before each call and nothing runs between the two.
"""

import ast
import re
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from plum_hub.answers.aliases import FRAMEWORKS, with_quoted_annotations, without_aliases
from plum_hub.answers.fixtures import STAND_INS, Shared, own_nodes
from plum_hub.answers.marks import is_marking
from plum_hub.answers.parameters import without_params
from plum_hub.answers.plain import lower_closeness, to_plain_body
from plum_hub.answers.reporters import reached_names, reported_tests, without_reports
from plum_hub.answers.runs import Runs, TestRun, bare
from plum_hub.answers.skips import settle_skips
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, stored_names, substitute
from plum_hub.answers.stand_ins import source_of
from plum_hub.answers.standalone import standalone, without_exits
from plum_hub.execution.literals import syntax_tree

_TEST = re.compile(r"test|check$|run_\w*tests?$|main$")
_RUNNERS = frozenset(
    {"main", "TestLoader", "TextTestRunner", "TestSuite", "makeSuite", "defaultTestLoader", "TestCase"}
)
_NOT_RUN = frozenset({
    "addClassCleanup", "enterClassContext", "addAsyncCleanup", "enterAsyncContext", "addTypeEqualityFunc",
})  # fmt: skip
"""Features of the frameworks that are not supported; a refusal names them."""
_AS_STAND_IN = {"raises": "_Raises", "warns": "_Warns", "MonkeyPatch": "_MonkeyPatch", "fail": "_fail"}
_DEPRECATIONS = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")


@dataclass
class TestModule:
    """A test module, ready to run.

    Attributes:
        preamble: Statements before the tests.
        tests: Each test that nothing in the module calls.
        shared: What tests share, by name.
        has_skipped: Whether the module has tests that are marked to be skipped, or that may fail.
    """

    preamble: list[ast.stmt]
    tests: list[TestRun] = field(default_factory=list)
    shared: dict[str, Shared] = field(default_factory=dict)
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
    named = settle_skips(without_aliases(with_quoted_annotations(_with_plain_names(body))))
    statements = to_plain_body(standalone(named, entry_point))
    frameworks = FRAMEWORKS | {name for node in statements for name in _framework_names(node)}
    statements = [_StandIns().visit(node) for node in without_exits(_without_runners(statements, frameworks))]
    _refuse_unknown(statements)
    runs = Runs(statements)
    module = TestModule([], shared=runs.shared)
    defined = [fixture.function for fixture in runs.fixtures.values()]
    statements, reported = _without_reports(statements, runs, defined, entry_point)
    used = _reached(statements)
    _refuse_hidden(statements, runs)
    tests = [node for node in statements if node not in defined and _is_test(node, runs, used - reported)]
    last = {vars(node)["name"]: node for node in tests}  # a definition replaces an earlier one of its name
    statements = [node for node in statements if node not in tests or node in last.values()]
    tests = list(last.values())
    prefixed = [node for node in tests if isinstance(node, ast.ClassDef) or str(vars(node)["name"]).startswith("test")]
    selected = prefixed or tests
    module.preamble = [
        without_params(bare(node))
        for node in statements
        if (node not in selected or vars(node)["name"] in used) and not is_marking(node)
    ]
    for node in selected:
        if isinstance(node, ast.ClassDef):
            found = runs.of_class(node)
        else:
            assert isinstance(node, FunctionNode)
            found = runs.of_function(node, entry_point)
        module.has_skipped = module.has_skipped or not found
        module.tests += found
    bodies = [module.preamble, *(test.body for test in module.tests), *map(_steps, module.shared.values())]
    _refuse_frameworks([node for nodes in bodies for node in nodes], frameworks)
    return module


def with_stand_ins(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Put the stand-ins that statements use before them.

    Args:
        body: The statements.

    Returns:
        The statements; the same ones if they use none.
    """
    names = {
        str(node.slice.value)
        for top in body
        for node in ast.walk(top)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == STAND_INS
        if isinstance(node.slice, ast.Constant)
    }
    if not names:
        return list(body)
    first = f"{STAND_INS} = {{'__builtins__': __builtins__, '__name__': 'stand_ins'}}\n"
    return [*ast.parse(f"{first}__builtins__['exec']({source_of(sorted(names))!r}, {STAND_INS})").body, *body]


def _steps(shared: Shared) -> list[ast.stmt]:
    return syntax_tree("\n".join([*shared.setup, *shared.teardown])).body


class _StandIns(ast.NodeTransformer):
    """Replace what the frameworks give to tests as values, such as `pytest.raises(...)` in a table."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = self._name(node.func)
        if name == "deprecated_call":
            kinds = ", ".join(f"__builtins__[{one!r}]" for one in _DEPRECATIONS)
            words = [word for word in node.keywords if word.arg == "match"]
            return ast.Call(_parsed(f"{STAND_INS}['_Warns']"), [_parsed(f"({kinds})"), *node.args], words)
        if name == "importorskip" and node.args and isinstance(node.args[0], ast.Constant):
            _refuse_module(str(node.args[0].value), node.lineno)
            return _parsed(f"__builtins__['__import__']('importlib').import_module({node.args[0].value!r})")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr == "Exception" and ast.unparse(node.value) == "pytest.fail":
            return _parsed("__builtins__['BaseException']")
        self.generic_visit(node)
        name = self._name(node)
        return _parsed(f"{STAND_INS}[{_AS_STAND_IN[name]!r}]") if name in _AS_STAND_IN else node

    def _name(self, node: ast.expr) -> str:
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in FRAMEWORKS:
                return name
        return ""


def _parsed(source: str) -> ast.expr:
    return ast.parse(source, mode="eval").body


def _with_plain_names(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Write what a module uses of the frameworks as `pytest.raises`, however it imports it."""
    full = {
        alias.asname or alias.name: alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name) in _framework_names(node) - {"*"}
    }
    bound = {
        getattr(item, "id", getattr(item, "name", ""))
        for top in body
        for item in ast.walk(top)
        if isinstance(item, DefinitionNode) or (isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load))
    }
    expressions = {name: _parsed(path) for name, path in full.items() if name not in bound and name != path}
    if not expressions:
        return list(body)
    found: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom) and _framework_names(node):
            rest = [alias for alias in node.names if (alias.asname or alias.name) not in expressions]
            other = ast.Import(rest) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, rest, node.level)
            found += [ast.copy_location(other, node)] if rest else []
        else:
            found.append(substitute(node, expressions))
    return found


def _framework_names(node: ast.stmt) -> set[str]:
    match node:
        case ast.Import(names=names):
            return {alias.asname or alias.name for alias in names if alias.name in FRAMEWORKS}
        case ast.ImportFrom(module=str(module), names=names) if module in FRAMEWORKS or module.startswith("_pytest."):
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


def _without_reports(
    statements: list[ast.stmt], runs: Runs, fixtures: Sequence[ast.stmt], entry_point: str
) -> tuple[list[ast.stmt], set[str]]:
    """Remove the code that runs tests and only reports what fails; return the names of these tests, too."""
    tests: dict[str, set[str]] = {}
    for node in statements:
        if isinstance(node, ast.ClassDef) and _has_tests(node, runs):
            tests[node.name] = set(runs.test_names(node))
        elif isinstance(node, FunctionNode) and node.name.startswith("test") and node not in fixtures:
            tests[node.name] = {node.name} | ({""} if _needs_arguments(node) else set())
    collected = {name: calls for name, calls in tests.items() if "" not in calls}
    reported = reported_tests(statements, collected)
    if not reported:
        return statements, reported
    return without_reports(statements, reported, tests.keys() - reported, entry_point), reported


def _needs_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = node.args
    return len([*given.posonlyargs, *given.args]) > len(given.defaults) or None in given.kw_defaults


def _refuse_unknown(statements: Sequence[ast.stmt]) -> None:
    for top in statements:
        for node in ast.walk(top):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in _NOT_RUN and isinstance(node, ast.Attribute):
                raise ValueError(f"line {getattr(node, 'lineno', 0)}: {name} is not supported in tests: remove it")
        if isinstance(top, ast.Import | ast.ImportFrom):
            names = [top.module or ""] if isinstance(top, ast.ImportFrom) else [alias.name for alias in top.names]
            for name in names:
                _refuse_module(name, top.lineno)


def _refuse_hidden(statements: Sequence[ast.stmt], runs: Runs) -> None:
    """Refuse tests that exist only once the module has run; left out in silence, they could fail no program."""
    others = [node for node in statements if not isinstance(node, DefinitionNode)]
    called = reached_names(statements, others)
    defined = {node.name for node in statements if isinstance(node, DefinitionNode)}
    tested = {name: one for name, one in runs.classes.items() if name.startswith("Test") or runs.is_unit(one)}
    for node in (item for top in others for item in own_nodes(top)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) if (
                name.lower().startswith("test") and name not in called
            ):
                raise ValueError(f"line {node.lineno}: {name} is defined in a branch or loop: define it outside")
            case ast.Name(id=name, ctx=ast.Del()) if name.startswith("test") and name in defined:
                raise ValueError(f"line {node.lineno}: {name} is deleted, so that nothing runs it: remove either")
            case ast.Call(func=ast.Name(id="setattr"), args=[ast.Name(id=name), attribute, *_]) if (
                name in tested and str(getattr(attribute, "value", "test")).startswith("test")
            ):
                raise ValueError(f"line {node.lineno}: setattr gives {name} tests: write them in the class")
    functions = {node.name: node for node in statements if isinstance(node, FunctionNode)}
    for node in [*others, *(item for one in tested.values() for item in one.body)]:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.startswith("test"):
                if _is_function(value, functions):
                    raise ValueError(f"line {node.lineno}: {name} is given a function: define it with def")


def _is_function(value: ast.expr, functions: Mapping[str, ast.stmt]) -> bool:
    """Tell whether a value is a function: a lambda, one of the module, or what one of the module makes."""
    match value:
        case ast.Lambda():
            return True
        case ast.Name(id=name):
            return name in functions
        case ast.Call(func=ast.Name(id=name)) if name in functions:
            inner = [node for node in ast.walk(functions[name]) if node is not functions[name]]
            made = {node.name for node in inner if isinstance(node, FunctionNode)}
            given = [node.value for node in inner if isinstance(node, ast.Return)]
            return any(isinstance(one, ast.Lambda) or (isinstance(one, ast.Name) and one.id in made) for one in given)
    return False


def _refuse_module(name: str, line: int) -> None:
    if name.split(".", maxsplit=1)[0] not in {*sys.stdlib_module_names, "numpy", "pandas", "solution"}:
        raise ValueError(f"line {line}: it imports {name}, which is not available in a sandbox: remove the import")


def _refuse_frameworks(statements: Sequence[ast.stmt], frameworks: Set[str]) -> None:
    """Reject uses of the frameworks that remain after all supported ones have been rewritten."""
    bound = {name for node in statements for name in stored_names(node)}
    for top in statements:
        for node in ast.walk(lower_closeness(top)):
            if isinstance(node, ast.Name) and node.id in frameworks - bound and isinstance(node.ctx, ast.Load):
                where = f"line {node.lineno}: " if hasattr(node, "lineno") else ""
                raise ValueError(f"{where}this use of {node.id} is not supported in tests: write it as an assert")


def _reached(statements: Sequence[ast.stmt]) -> set[str]:
    """Return the names of definitions that the module itself uses, directly or indirectly."""
    start = [node for node in statements if not isinstance(node, DefinitionNode)]
    return reached_names(statements, start) & {node.name for node in statements if isinstance(node, DefinitionNode)}


def _is_test(node: ast.stmt, runs: Runs, used: set[str]) -> bool:
    if isinstance(node, FunctionNode):
        return node.name not in used and _TEST.match(node.name) is not None
    return isinstance(node, ast.ClassDef) and node.name not in used and _has_tests(node, runs)


def _has_tests(node: ast.ClassDef, runs: Runs) -> bool:
    return bool(runs.test_names(node)) or (
        node.name.startswith("Test")
        and any(isinstance(one, ast.ClassDef) and _has_tests(one, runs) for one in node.body)
    )
