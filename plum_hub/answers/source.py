"""What can be known of Python source without running it: whether it parses, which names it defines, which it uses."""

import ast
import builtins
import warnings
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import TypeVar, cast

FunctionNode = (ast.FunctionDef, ast.AsyncFunctionDef)
DefinitionNode = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_RUNS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.Try)
_NodeT = TypeVar("_NodeT", bound=ast.AST)


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where there is none: an error in the syntax, a null byte, nesting too deep."""
    return _parse_with_error_line(source)[0]


def _parse_with_error_line(source: str) -> tuple[ast.Module | None, int]:
    """The syntax tree and 0; or None and the line of the first syntax error (0 where no line is to blame)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in the source is not our caller's warning
        try:
            return ast.parse(source), 0
        except SyntaxError as error:
            return None, error.lineno or 0
        except (ValueError, MemoryError, RecursionError):
            return None, 0


def longest_valid_prefix(lines: list[str]) -> str:
    """The lines up to the first that is no Python (prose after a program, or a line cut in the middle); "" if none."""
    while lines:
        tree, line = _parse_with_error_line("\n".join(lines))
        if tree is not None:
            return "\n".join(lines)
        lines = lines[: min(line - 1, len(lines) - 1)] if line else []
    return ""


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """What the module defines at its top level: each name with the statement that binds it last."""
    return {name: statement for statement in tree.body for name in stored_names(statement)}


def stored_names(statement: ast.stmt) -> set[str]:
    """The names that a statement binds in its own scope."""
    if isinstance(statement, DefinitionNode):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {
        node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }


def loaded_names(node: ast.AST) -> set[str]:
    """Every name that is read anywhere inside, whether or not it is also bound there."""
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)}


def is_program(tree: ast.Module | None, name: str = "") -> bool:
    """Whether a tree is a program, rather than a word or a number that happens to parse.

    Args:
        tree: what was parsed; None for what does not parse.
        name: what it must define at its top level; "" for any program.
    """
    if tree is None:
        return False
    if name:
        return name in definitions(tree)
    return any(
        isinstance(node, DefinitionNode + _RUNS) or isinstance(getattr(node, "value", None), ast.Call)
        for node in tree.body
    )


def missing_names(tree: ast.Module) -> set[str]:
    """The names that the module reads, and that neither it nor Python defines: what it needs from elsewhere."""
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            bound |= stored_names(node)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return loaded_names(tree) - bound - _BUILTINS


def is_stub(statement: ast.stmt) -> bool:
    """Whether a function or class is only announced: its bodies are empty but for a docstring."""
    if isinstance(statement, FunctionNode):
        return all(map(_does_nothing, statement.body))
    if isinstance(statement, ast.ClassDef):
        methods = [item for item in statement.body if isinstance(item, DefinitionNode)]
        announced = [item for item in methods if is_stub(item)]
        return bool(announced) and all(item in announced or item.name == "__init__" for item in methods)
    return False


def _does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Return(value=None | ast.Constant(value=None)):
            return True
        case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
    return False


class _Substitute(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._values.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if value is None else deepcopy(value)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """`(1, 2)[0]` is 1, and `{"n": 3}["n"]` is 3: what a table of cases leaves behind."""
        self.generic_visit(node)
        match node:
            case ast.Subscript(value=ast.List(elts=items) | ast.Tuple(elts=items), slice=ast.Constant(value=int(at))):
                return items[at] if at < len(items) else node
            case ast.Subscript(value=ast.Dict(keys=keys, values=values), slice=ast.Constant(value=wanted)):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == wanted:
                        return value
        return node


def substitute(node: _NodeT, values: Mapping[str, ast.expr]) -> _NodeT:
    """A copy in which each name is replaced by its value; names that the node binds itself are left alone."""
    bound = {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
    for item in ast.walk(node):
        if isinstance(item, ast.comprehension):
            bound |= {name.id for name in ast.walk(item.target) if isinstance(name, ast.Name)}
    replaced = _Substitute({name: value for name, value in values.items() if name not in bound}).visit(deepcopy(node))
    return cast(_NodeT, ast.fix_missing_locations(replaced))


def unparse(statements: Iterable[ast.stmt]) -> str:
    """The statements as the source of a module."""
    module = ast.Module(body=list(statements), type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"
