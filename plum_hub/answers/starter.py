"""Starter code: what a solver is given. Signatures and docstrings stay, bodies go."""

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
    """Starter code made of a reference solution: the entry point, and whatever else the tests use.

    Classes that only hold data are kept whole, because a solver could not guess them; so are the imports, constants
    and base classes that the kept signatures need.
    """
    defined = definitions(reference)
    wanted = {entry_point, *used} & defined.keys()
    while True:
        kept = [_emptied(statement, entry_point) for statement in reference.body if stored_names(statement) & wanted]
        missing = missing_names(ast.Module(body=kept, type_ignores=[]))
        needed = missing & defined.keys() if missing <= defined.keys() else missing & defined.keys() | {"*"}
        if needed & defined.keys() <= wanted:
            return unparse(kept)
        wanted |= needed  # "*" is what `from typing import *` binds, as far as anyone can see


def is_valid_starter(starter_code: str, reference: ast.Module, entry_point: str, used: Iterable[str]) -> bool:
    """Whether given starter code can serve: it parses, gives nothing away, has the reference's parameters, and defines
    every name that the tests use."""
    tree = parse(starter_code)
    if tree is None:
        return False
    given, wanted = definitions(tree), definitions(reference)
    entry = given.get(entry_point)
    if entry is None or not is_stub(entry) or not set(used) <= given.keys():
        return False
    return _signatures(entry) == _signatures(wanted[entry_point])


Stub: TypeAlias = Literal["none", "raises", "echo"]
"""What every function of a stub does: return None, raise, return its first argument."""


def make_stub_code(starter_code: str, entry_point: str, stub: Stub = "none") -> str:
    """A program with the starter code's names in which every function does the same. It loads, whatever the starter
    code refers to: annotations are not evaluated, and foreign imports, decorators and base classes are left out.

    Args:
        stub: what the functions do. Constructors do nothing.
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
    """A copy of a definition with empty bodies; any other statement as it is."""
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
        given = [one.arg for one in parameters if one.arg not in ("self", "cls")]
        if function.name == "__init__" or not isinstance(function.body[-1], ast.Pass):
            continue
        if stub == "raises":
            function.body[-1:] = ast.parse("raise NotImplementedError").body
        elif stub == "echo" and given:
            function.body[-1:] = [ast.Return(value=ast.Name(id=given[0], ctx=ast.Load()))]
    return statement


def is_data_class(statement: ast.stmt) -> bool:
    """A class with no method but `__init__`, `__eq__` and their like."""
    return isinstance(statement, ast.ClassDef) and all(
        item.name.startswith("__") for item in statement.body if isinstance(item, FunctionNode)
    )


def _loadable(statement: ast.stmt, known: set[str]) -> ast.stmt:
    """Without the parts of a definition that are evaluated when it is loaded and may not be there."""
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
    """What a class body may hold that cannot fail when it is loaded."""
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
    """The parameter names of a function, or of every public method of a class, by the function's name."""
    functions = [node for node in ast.walk(statement) if isinstance(node, FunctionNode)]
    if isinstance(statement, FunctionNode):
        functions = [statement]
    return {
        function.name: [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        for function in functions
        if not function.name.startswith("_") or function.name == "__init__"
    }
