"""What two programs share if they differ only in layout, comments and docstrings."""

import ast
import warnings
from hashlib import sha256

_WITH_DOCSTRING = frozenset({ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef})


def program_form(code: str) -> str:
    """Reduce a program to what `preferences.deduplicate` compares.

    Args:
        code: The program.

    Returns:
        A digest of its syntax tree without comments and docstrings; of the program itself where it has no tree.
    """
    parts: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _add(ast.parse(code), parts)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        parts = [code]
    return sha256("\n".join(parts).encode("utf-8", errors="surrogatepass")).hexdigest()


def _add(node: ast.AST, parts: list[str]) -> None:
    """Append a node and all below it, in half of the time of `ast.dump`."""
    kind = type(node)
    parts.append(kind.__name__)
    for name in kind._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            _add(value, parts)
        elif type(value) is list:
            if name == "body" and kind in _WITH_DOCSTRING:
                value = _without_docstring(value)
            parts.append("[")
            for item in value:
                if isinstance(item, ast.AST):
                    _add(item, parts)
                else:
                    parts.append(repr(item))
            parts.append("]")
        else:
            parts.append(repr(value))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest or [ast.Pass()]
    return body
