"""Find what in a test decides about the program, and what cannot run elsewhere than where it stands."""

import ast
from collections.abc import Set
from copy import deepcopy

from plum_hub.answers.fixtures import own_nodes
from plum_hub.answers.plain import is_check
from plum_hub.answers.rewriting import UndividedError
from plum_hub.answers.source import DefinitionNode

_STAND_IN_CHECKS = frozenset({"_Raises", "_Warns"})
_KINDS = frozenset({"isinstance", "issubclass", "callable", "hasattr"})
_LEAVES = frozenset({"fail", "exit", "_exit", "quit", "abort"})
_REFLECTS = frozenset({"locals", "vars", "globals", "eval", "exec", "dir", "super", "__class__"})
_FRAMES = frozenset({"_getframe", "currentframe", "f_back", "UnboundLocalError"})
"""Names by which code sees whether it is in a function."""


def has_check(node: ast.AST, checked: Set[str]) -> bool:
    """Tell whether something decides about the program.

    Args:
        node: A statement or expression.
        checked: Names of what does.

    Returns:
        Whether it checks something, or uses one of these.
    """
    for item in ast.walk(node):
        match item:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in checked:
                return True
            case ast.Subscript(value=ast.Name(), slice=ast.Constant(value=str(name))) if name in _STAND_IN_CHECKS:
                return True
        if is_check(item):
            return True
    return False


def checked_names(tree: ast.Module) -> frozenset[str]:
    """Find the functions, classes and methods that check something, directly or through each other.

    Args:
        tree: A whole test.

    Returns:
        Their names.
    """
    nodes = [*ast.walk(tree)]
    named = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    names, found = {node.name for node in named}, set[str]()
    while True:
        more = {node.name for node in named if has_check(node, found)}
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_given(node, found):
                more |= {node.func.id} & names
        if more <= found:
            return frozenset(found)
        found |= more


def _is_given(call: ast.Call, checked: set[str]) -> bool:
    """Tell whether a function is given one that checks something, which it may call."""
    given = [*call.args, *(word.value for word in call.keywords)]
    return any(isinstance(one, ast.Name) and one.id in checked for one in given)


def stub_of(method: ast.stmt) -> ast.stmt:
    """Make what is left of a method that is written out where it is called: its name and docstring.

    Args:
        method: The method.

    Returns:
        A copy that does nothing else.
    """
    stub = deepcopy(method)
    body = [*getattr(method, "body", ())]
    is_documented = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    vars(stub)["body"] = [*body[:is_documented], *ast.parse("raise __builtins__['NotImplementedError']").body]
    return stub


def refuse_outlook(node: ast.AST) -> None:
    """Refuse what looks at the frames and names around it, or leaves them.

    Args:
        node: What would run elsewhere.

    Raises:
        UndividedError: It does.
    """
    for item in [] if isinstance(node, DefinitionNode) else [node, *own_nodes(node)]:
        if isinstance(item, ast.Name) and item.id in _REFLECTS:
            raise UndividedError
    for item in ast.walk(node):
        match item:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _FRAMES:
                raise UndividedError
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _LEAVES:
                raise UndividedError
            case ast.NamedExpr() | ast.Global() | ast.Nonlocal() | ast.Match() | ast.ImportFrom(module="__future__"):
                raise UndividedError


def tells_kind(test: ast.expr, *, holds: bool = True) -> bool:
    """Tell whether a condition is only about what kind of value there is: its type, or that it is not None.

    Args:
        test: The condition.
        holds: Whether it is to hold, or not to.

    Returns:
        True if any value of that kind meets it.
    """
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return tells_kind(inner, holds=not holds)
        case ast.BoolOp(op=ast.And(), values=parts) if holds:
            return all(map(tells_kind, parts))
        case ast.Call(func=function):
            return _called(function) in _KINDS
        case ast.Compare(ops=[ast.Is() | ast.Eq()], comparators=[ast.Constant(value=None)]):
            return not holds
        case ast.Compare(ops=[ast.IsNot() | ast.NotEq()], comparators=[ast.Constant(value=None)]):
            return holds
        case ast.Compare(left=ast.Call(func=ast.Name(id="type")), ops=[ast.Is() | ast.Eq() | ast.In()]):
            return holds
    return False


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=str(name))):  # `__builtins__['isinstance']`
            return name
    return ""
