"""Settle before a test runs whether it skips itself, by `pytest.skip`, `pytest.xfail` or unittest's `skipTest`.

What that depends on has to be known: otherwise a program could decide that it is not tested.
"""

import ast
from collections.abc import Iterable, Sequence

from plum_hub.answers.marks import holds
from plum_hub.answers.plain import called_name
from plum_hub.answers.source import DefinitionNode, FunctionNode

_CALLS = ("pytest.skip", "pytest.xfail")
_RAISED = ("unittest.SkipTest", "unittest.case.SkipTest", "pytest.skip.Exception", "pytest.xfail.Exception")
_NO_IMPORT = ("ImportError", "ModuleNotFoundError", "Exception")
_SKIPPED = ast.parse("pytest.mark.skip", mode="eval").body


def settle_skips(statements: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Remove the skips of a module: those that never happen, and what stands behind those that do.

    Args:
        statements: The statements, which name the frameworks as `pytest` and `unittest`.

    Returns:
        The statements. A test that begins with its skip is marked as skipped.

    Raises:
        ValueError: The whole module is skipped, or it depends on what is not known whether a test is.
    """
    kept, ended = _settled(list(statements))
    if ended:
        raise ValueError("all of its tests are skipped, or may fail by a mark: remove the marks")
    for node in kept:
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(function, FunctionNode) and any(map(_is_skip, ast.walk(function))):
                _settle(function)
    return kept


def _settle(function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Settle the skips of a test, or of what runs before tests."""
    line = function.lineno
    body, ended = _settled(function.body)
    if ended and not function.name.startswith("test"):
        raise ValueError(f"line {line}: {function.name} skips the tests that use it: remove it, or the skip")
    if ended and all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body):
        function.decorator_list = [*function.decorator_list, _SKIPPED]
    function.body = body or [ast.Pass()]


def _settled(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], bool]:
    """Return the statements before a skip, and whether there is one."""
    kept: list[ast.stmt] = []
    for node in body:
        if _is_skip(node):
            return kept, True
        if isinstance(node, DefinitionNode) or not any(map(_is_skip, ast.walk(node))):
            kept.append(node)
            continue
        match node:
            case ast.If(test=test, body=then, orelse=otherwise):
                inner = then if holds(test) else otherwise
            case ast.Try(body=inner, handlers=handlers) if _only_skips_without(inner, handlers):
                inner = [*inner, *node.orelse, *node.finalbody]
            case _:
                kind = type(node).__name__.lower()
                raise ValueError(f"line {node.lineno}: a skip in a {kind} is not supported in tests: remove it")
        found, ended = _settled(inner)
        kept += found
        if ended:
            return kept, True
    return kept, False


def _only_skips_without(body: Sequence[ast.stmt], handlers: Sequence[ast.ExceptHandler]) -> bool:
    """Tell whether a `try` imports modules, and skips where they are missing: one that is not there is refused."""
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in body) and all(
        called_name(one.type or ast.Constant(None)) in _NO_IMPORT and _settled(one.body) == ([], True)
        for one in handlers
    )


def _is_skip(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name) as function)):
            return name == "skipTest" or ast.unparse(function) in _CALLS
        case ast.Raise(exc=ast.Call(func=raised) | (ast.Attribute() as raised)):
            return ast.unparse(raised) in _RAISED
    return False
