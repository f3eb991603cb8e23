"""Analyse Python source without running it: whether it parses, and which names it defines and uses."""

import ast
import builtins
import warnings
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import TypeVar, cast

from plum_hub.execution.literals import syntax_tree

FunctionNode = (ast.FunctionDef, ast.AsyncFunctionDef)
DefinitionNode = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_RUNS = (
    ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.TryStar,
    ast.Match,
)  # fmt: skip
_MOST_CUTS = 40
_NodeT = TypeVar("_NodeT", bound=ast.AST)


def parse(source: str) -> ast.Module | None:
    """Parse a module.

    Args:
        source: Python source.

    Returns:
        The syntax tree; None for a syntax error, a null byte or nesting that is too deep.
    """
    return _parse_with_error_line(source)[0]


def tree_of(source: str) -> ast.Module | None:
    """Parse a module as `parse` does, but the same text once: the rules of extraction look at it again and again.

    Args:
        source: Python source.

    Returns:
        The syntax tree, which must not be changed; None if `parse` returns none.
    """
    return _parsed_lately(source)[0]


def _parse_with_error_line(source: str) -> tuple[ast.Module | None, int]:
    """Return the syntax tree and 0, or None and the line of the first syntax error (0 if no line is known)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about the source does not concern the caller
        try:
            return syntax_tree(source), 0
        except SyntaxError as error:
            return None, error.lineno or 0
        except (ValueError, MemoryError, RecursionError):
            return None, 0


_parsed_lately = lru_cache(maxsize=8)(_parse_with_error_line)


def longest_valid_prefix(lines: list[str]) -> str:
    """Cut a text at the first line that is not Python, such as prose or a truncated line.

    Args:
        lines: The lines of the text.

    Returns:
        The lines before it, joined; "" if there are none, or none were found in as many cuts as no real text needs.
    """
    for _ in range(_MOST_CUTS):
        if not lines:
            break
        tree, error_line = _parsed_lately("\n".join(lines))
        if tree is not None:
            return "\n".join(lines)
        lines = lines[: min(error_line - 1, len(lines) - 1)] if error_line else []
    return ""


def breaks_off(tree: ast.Module, rest: str) -> bool:
    """Tell whether what follows a program that was cut at a line belongs to its last statement, and may matter.

    Args:
        tree: The program, which is not empty.
        rest: The text behind it.

    Returns:
        True if the text is indented, and control could reach it.
    """
    last = tree.body[-1]
    return rest.lstrip("\n")[:1].isspace() and hasattr(last, "body") and _goes_on(last)


def _goes_on(node: ast.stmt) -> bool:
    match node:
        case ast.Return() | ast.Raise():
            return False
        case ast.FunctionDef(body=[*_, ast.stmt() as last]) | ast.AsyncFunctionDef(body=[*_, ast.stmt() as last]):
            return isinstance(last, DefinitionNode) or _goes_on(last)
        case ast.If(body=[*_, one], orelse=[*_, other]):
            return _goes_on(one) or _goes_on(other)
    return True


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """Map the names that a module binds at its top level to the statements that bind them last.

    Args:
        tree: The module.

    Returns:
        Statements by name, in source order.
    """
    return {name: statement for statement in tree.body for name in stored_names(statement)}


def stored_names(statement: ast.stmt) -> set[str]:
    """Find the names that a statement binds in its own scope.

    Args:
        statement: The statement.

    Returns:
        The names.
    """
    if isinstance(statement, DefinitionNode):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    names = {name for node in ast.walk(statement) for name in _bound_by(node)}
    return names.union(*map(stored_names, _inner(statement)))


def _bound_by(node: ast.AST) -> tuple[str, ...]:
    """Return the name that an assignment, a deletion or a pattern binds or deletes."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return (name,)
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return (name,)
    return ()


def _inner(statement: ast.AST) -> Iterator[ast.stmt]:
    """Yield the definitions and imports in the branches of a compound statement."""
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, (*DefinitionNode, ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _inner(node)


def loaded_names(node: ast.AST) -> set[str]:
    """Find every name that is read anywhere inside a node, whether or not it is also bound there.

    Args:
        node: Any node.

    Returns:
        The names.
    """
    return set(loads(node))


def loads(node: ast.AST) -> list[str]:
    """List the names that are read anywhere inside a node, as often as each is read.

    Args:
        node: Any node.

    Returns:
        The names.
    """
    return [item.id for item in ast.walk(node) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)]


def mentioned_names(node: ast.stmt) -> set[str]:
    """Find all names, attributes and texts in a statement.

    Args:
        node: The statement.

    Returns:
        Them; whatever it may reach by a name is among them.
    """
    found: set[str] = set()
    for item in ast.walk(node):
        match item:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                found.add(name)
    return found


def is_program(tree: ast.Module | None, name: str = "") -> bool:
    """Return whether a tree is a program, rather than a word or a number that happens to parse.

    Args:
        tree: The tree; None if the source did not parse.
        name: The name that it must define at its top level; "" for any program.

    Returns:
        True if the tree qualifies.
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
    """Find the names that a module reads but neither it nor Python defines.

    Args:
        tree: The module.

    Returns:
        The names.
    """
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                bound |= stored_names(node)
            case _:
                bound.update(_bound_by(node))
    return loaded_names(tree) - bound - _BUILTINS


def futures_first(code: str) -> str:
    """Move imports from `__future__` to the front, where Python requires them; they are elsewhere where code is joined.

    Args:
        code: Python source.

    Returns:
        The source with lines in the same order otherwise; unchanged where it does not parse or has no such import.
    """
    tree = parse(code) if "__future__" in code else None
    future = [] if tree is None else [node for node in tree.body if is_future(node)]
    if tree is None or future == tree.body[: len(future)]:
        return code
    lines = code.encode().split(b"\n")
    for node in reversed(future):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        rest = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [lines[first][: node.col_offset] + b"pass" + rest, *[b""] * (last - first)]
    return "\n".join([*dict.fromkeys(map(ast.unparse, future)), b"\n".join(lines).decode()])


def is_import(node: ast.stmt) -> bool:
    """Tell whether a statement is an import.

    Args:
        node: The statement.

    Returns:
        True if it is one.
    """
    return isinstance(node, ast.Import | ast.ImportFrom)


def is_future(node: ast.stmt) -> bool:
    """Tell whether a statement is an import from `__future__`.

    Args:
        node: The statement.

    Returns:
        True if it is one.
    """
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def is_stub(statement: ast.stmt) -> bool:
    """Return whether a function or class is only declared: its bodies are empty except for a docstring.

    Args:
        statement: A statement.

    Returns:
        True for a stub; False for any other statement.
    """
    if isinstance(statement, FunctionNode):
        return all(map(_does_nothing, statement.body))
    if isinstance(statement, ast.ClassDef):
        methods = [item for item in statement.body if isinstance(item, DefinitionNode)]
        stubs = [item for item in methods if is_stub(item)]
        return bool(stubs) and all(item in stubs or item.name == "__init__" for item in methods)
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
        """Evaluate `(1, 2)[0]` and `{"n": 3}["n"]`, which result from the substitution of table rows."""
        self.generic_visit(node)
        match node:
            case ast.Subscript(
                value=ast.List(elts=items) | ast.Tuple(elts=items), slice=ast.Constant(value=int(index))
            ) if not any(isinstance(item, ast.Starred) for item in items):
                return items[index] if index < len(items) else node
            case ast.Subscript(value=ast.Dict(keys=keys, values=values), slice=ast.Constant(value=wanted_key)) if all(
                isinstance(key, ast.Constant) for key in keys
            ):
                found = [
                    value
                    for key, value in zip(keys, values, strict=True)
                    if isinstance(key, ast.Constant) and key.value == wanted_key
                ]
                return found[-1] if found else node
        return node


def substitute(node: _NodeT, values: Mapping[str, ast.expr]) -> _NodeT:
    """Replace names by values, except names that the node itself binds.

    Args:
        node: A statement or expression; it is not modified.
        values: Expressions by name.

    Returns:
        A copy with the values in place.
    """
    bound = {item.arg for item in ast.walk(node) if isinstance(item, ast.arg)}
    for item in ast.walk(node):
        if isinstance(item, ast.comprehension):
            bound |= {name.id for name in ast.walk(item.target) if isinstance(name, ast.Name)}
    replaced = _Substitute({name: value for name, value in values.items() if name not in bound}).visit(deepcopy(node))
    return cast(_NodeT, ast.fix_missing_locations(replaced))


def unparse(statements: Iterable[ast.stmt]) -> str:
    """Convert statements to the source of a module.

    Args:
        statements: The statements, in order.

    Returns:
        The source, ending in a newline.
    """
    module = ast.Module(body=list(statements), type_ignores=[])
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"
