"""Make starter code, the signatures and docstrings that a solver receives, and stubs from a reference solution."""

import ast
import builtins
import sys
from collections.abc import Iterable
from typing import Literal, TypeAlias

from plum_hub.answers.assertions import is_literal
from plum_hub.answers.source import (
    DefinitionNode,
    FunctionNode,
    definitions,
    is_stub,
    loaded_names,
    missing_names,
    parse,
    stored_names,
    unparse,
)  # fmt: skip

_HARMLESS_DECORATORS = frozenset({"staticmethod", "classmethod", "property", "dataclass"})


def make_starter(reference: ast.Module, entry_point: str, used: Iterable[str]) -> str:
    """Make starter code from a reference solution: the entry point and whatever else the tests use, with empty bodies.

    Classes that only hold data are kept whole, because a solver could not guess them, and so are the imports,
    constants and base classes that the kept signatures need.

    Args:
        reference: The reference solution.
        entry_point: The name that the tests call.
        used: Other names that the tests use.

    Returns:
        The source of the starter code.
    """
    defined = definitions(reference)
    names = {entry_point, *used} & defined.keys()
    while True:
        kept = [_emptied(statement, entry_point) for statement in reference.body if stored_names(statement) & names]
        missing = missing_names(ast.Module(body=kept, type_ignores=[]))
        needed = missing & defined.keys() if missing <= defined.keys() else missing & defined.keys() | {"*"}
        if needed & defined.keys() <= names:
            return unparse(kept)
        names |= needed  # `from typing import *` binds "*", as far as the source tells


def is_valid_starter(starter_code: str, reference: ast.Module, entry_point: str, used: Iterable[str]) -> bool:
    """Return whether starter code of an answer can be used.

    Args:
        starter_code: The starter code.
        reference: The reference solution.
        entry_point: The name that the tests call.
        used: Other names that the tests use.

    Returns:
        True if it parses, does not implement the entry point, has the reference's parameters, and defines all used
        names.
    """
    tree = parse(starter_code)
    if tree is None:
        return False
    starter, expected = definitions(tree), definitions(reference)
    entry = starter.get(entry_point)
    if entry is None or not is_stub(entry) or not set(used) <= starter.keys():
        return False
    return _signatures(entry) == _signatures(expected[entry_point])


Stub: TypeAlias = Literal["none", "raises", "echo"]
"""Behavior of every function of a stub: return None, raise NotImplementedError, or return its first argument."""


def make_stub_code(starter_code: str, entry_point: str, stub: Stub = "none") -> str:
    """Make a program that defines the starter code's names and solves nothing.

    The program always loads: annotations are not evaluated, and foreign imports, decorators and base classes are
    removed.

    Args:
        starter_code: The starter code.
        entry_point: The name that the tests call.
        stub: What the functions do. Constructors do nothing.

    Returns:
        The source of the stub.
    """
    tree = parse(starter_code)
    if tree is None:
        return "pass\n"
    known = set(dir(builtins))
    body: list[ast.stmt] = []
    for statement in tree.body:
        match statement:
            case ast.Import(names=[alias]) if alias.name.split(".")[0] in sys.stdlib_module_names:
                body.append(statement)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in sys.stdlib_module_names - {"__future__"}:
                body.append(statement)
            case ast.Assign(value=value) if is_literal(value):
                body.append(statement)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                body.append(_acting(_loadable(_emptied(statement, entry_point), known), stub))
            case _:
                continue
        known |= stored_names(statement)
    return "from __future__ import annotations\n\n" + unparse(body)


def _emptied(statement: ast.stmt, entry_point: str) -> ast.stmt:
    """Return a copy of a definition with empty bodies; other statements and data classes unchanged."""
    if not isinstance(statement, DefinitionNode) or (statement.name != entry_point and is_data_class(statement)):
        return statement
    copy = ast.parse(ast.unparse(statement)).body[0]
    for function in [node for node in ast.walk(copy) if isinstance(node, FunctionNode)]:
        docstring = function.body[:1] if ast.get_docstring(function) is not None else []
        function.body = [*docstring, ast.Pass()]
    return copy


def _acting(statement: ast.stmt, stub: Stub) -> ast.stmt:
    for function in [node for node in ast.walk(statement) if isinstance(node, FunctionNode)]:
        parameters = [*function.args.posonlyargs, *function.args.args]
        arguments = [parameter.arg for parameter in parameters if parameter.arg not in ("self", "cls")]
        if function.name == "__init__" or not isinstance(function.body[-1], ast.Pass):
            continue
        if stub == "raises":
            function.body[-1:] = ast.parse("raise NotImplementedError").body
        elif stub == "echo" and arguments:
            function.body[-1:] = [ast.Return(value=ast.Name(id=arguments[0], ctx=ast.Load()))]
    return statement


def is_data_class(statement: ast.stmt) -> bool:
    """Return whether a statement is a class whose only methods are special ones, such as `__init__` and `__eq__`.

    Args:
        statement: A statement.

    Returns:
        False for any other statement, too.
    """
    return isinstance(statement, ast.ClassDef) and all(
        item.name.startswith("__") for item in statement.body if isinstance(item, FunctionNode)
    )


def _loadable(statement: ast.stmt, known: set[str]) -> ast.stmt:
    """Remove the parts of a definition that are evaluated at load time and may be undefined."""
    for node in ast.walk(statement):
        if isinstance(node, DefinitionNode):
            node.decorator_list = [item for item in node.decorator_list if _is_harmless(item, known)]
        if isinstance(node, ast.ClassDef):
            node.bases = [base for base in node.bases if isinstance(base, ast.Name) and base.id in known]
            node.keywords = []
            node.body = [item for item in node.body if _is_declaration(item, known)] or [ast.Pass()]
        if isinstance(node, ast.arguments):
            node.defaults = [_literal_or_none(value) for value in node.defaults]
            node.kw_defaults = [None if value is None else _literal_or_none(value) for value in node.kw_defaults]
    return statement


def _is_declaration(item: ast.stmt, known: set[str]) -> bool:
    """Return whether a statement of a class body cannot fail at load time."""
    match item:
        case ast.Assign(value=value):
            return is_literal(value)
        case ast.AnnAssign(value=value):
            return value is None or loaded_names(value) <= known  # `items: list = field(default_factory=list)`
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
    return isinstance(item, DefinitionNode)


def _literal_or_none(value: ast.expr) -> ast.expr:
    return value if is_literal(value) else ast.Constant(value=None)


def _is_harmless(decorator: ast.expr, known: set[str]) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(called, ast.Attribute):
        return called.attr in ("setter", "getter", "deleter")
    return isinstance(called, ast.Name) and called.id in _HARMLESS_DECORATORS & known


def _signatures(statement: ast.stmt) -> dict[str, list[str]]:
    """Return the parameter names of a function, or of every public method of a class, by function name."""
    functions = [node for node in ast.walk(statement) if isinstance(node, FunctionNode)]
    if isinstance(statement, FunctionNode):
        functions = [statement]
    return {
        function.name: [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        for function in functions
        if not function.name.startswith("_") or function.name == "__init__"
    }
