"""Find tests that a module runs itself and whose failures it may only report.

A loop over a table of tests that prints what fails, or counts it, fails no program. Such tests are run as pytest would
run them, and the code that reports on them is left out.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from plum_hub.answers.fixtures import own_nodes
from plum_hub.answers.plain import called_name
from plum_hub.answers.proof import catches, suppresses
from plum_hub.answers.source import DefinitionNode, FunctionNode, loaded_names, missing_names, stored_names


def reached_names(statements: Sequence[ast.stmt], start: Sequence[ast.stmt]) -> set[str]:
    """Find the names that statements use, directly or through what other statements define.

    Args:
        statements: All statements.
        start: Those to begin with.

    Returns:
        The names.
    """
    defined = {node.name: node for node in statements if isinstance(node, DefinitionNode)}
    queue = [name for node in start for name in loaded_names(node)]
    reached: set[str] = set()
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            queue += loaded_names(defined[name]) if name in defined else ()
    return reached


def reported_tests(statements: Sequence[ast.stmt], tests: Mapping[str, Set[str]]) -> set[str]:
    """Find the tests that a module uses without calling them where a failure certainly leaves it.

    Args:
        statements: The statements of the module.
        tests: The functions and classes that pytest would run, each with the names that must be called to run it.

    Returns:
        The names of those that pytest should run. None that is bound again, or marked by `__test__`, is among them.
    """
    others = [node for node in statements if not isinstance(node, DefinitionNode)]
    bound = Counter(name for node in statements for name in stored_names(node))
    marked = {
        node.value.id
        for top in others
        for node in ast.walk(top)
        if isinstance(node, ast.Attribute) and node.attr == "__test__" and isinstance(node.value, ast.Name)
    }
    alone = {name for name in tests if bound[name] == 1} - marked
    used = reached_names(statements, others) & alone
    called = _surely_called(statements, others) if used else set()
    return {name for name in used if not tests[name] <= called}


def without_reports(statements: Sequence[ast.stmt], tests: Set[str], others: Set[str], program: str) -> list[ast.stmt]:
    """Leave out the statements that only run tests and report on them.

    Args:
        statements: The statements of the module.
        tests: The names of the tests that are run otherwise.
        others: Those of all other tests.
        program: The name that the program must define; "" if unknown.

    Returns:
        The rest; all statements if one of these does anything else with the program or with other tests.
    """
    names = {program} if program else missing_names(ast.Module(body=list(statements), type_ignores=[]))
    definitions = {node.name for node in statements if isinstance(node, DefinitionNode)} - tests
    helpers = [node for node in statements if getattr(node, "name", None) not in tests]
    gone: set[str] = set()
    kept: list[ast.stmt] = []
    for node in statements:
        reached = set() if isinstance(node, DefinitionNode) else reached_names(helpers, [node])
        if not reached & (tests | gone):
            kept.append(node)
        elif reached & (names | others):
            return list(statements)
        else:
            gone |= stored_names(node) - definitions
    return kept


def _surely_called(statements: Sequence[ast.stmt], start: Sequence[ast.stmt]) -> set[str]:
    """Return the names that are called where a failure leaves the module."""
    defined = {node.name: node for node in statements if isinstance(node, DefinitionNode)}
    found: set[str] = set()
    pending: list[ast.AST] = list(start)
    while pending:
        for name in set(_calls(pending.pop(), defined.keys())) - found:
            found.add(name)
            function = defined.get(name)
            if isinstance(function, FunctionNode) and not any(
                isinstance(one, ast.Yield) for one in own_nodes(function)
            ):
                pending += function.body
    return found


def _is_generator(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))


def _calls(node: ast.AST, own: Set[str]) -> Iterator[str]:
    """Yield the names that a statement calls, unless a failure there, or the call itself, is uncertain."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda() | ast.GeneratorExp():
            return
        case ast.If(test=test) | ast.IfExp(test=test):
            yield from _calls(test, own)
            return
        case ast.With(items=items) | ast.AsyncWith(items=items) if any(_may_suppress(one, own) for one in items):
            return
        case ast.Try() if any(catches(one.type) and not _reports(one) for one in node.handlers):
            children: Sequence[ast.AST] = [*node.orelse, *node.finalbody]
        case _:
            children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call):
        yield called_name(node.func)
    for child in children:
        yield from _calls(child, own)


def _may_suppress(item: ast.withitem, own: Set[str]) -> bool:
    context = item.context_expr
    return suppresses(context) or (isinstance(context, ast.Call) and called_name(context.func) in own)


def _reports(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise | ast.Assert) for node in handler.body)
