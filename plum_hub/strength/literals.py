"""Literals in a program: what a reference is likely to decide at, and what may be changed in a call."""

import ast
from typing import TypeAlias

from plum_hub.answers.source import parse
from plum_hub.strength.sites import sites

PlainLiteral: TypeAlias = bool | int | float | str


def is_builtin_literal(node: ast.expr) -> bool:
    """Tell whether `ast.literal_eval` reads an expression.

    Args:
        node: The expression.

    Returns:
        True if it does.
    """
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def constants_of(reference: str) -> list[PlainLiteral]:
    """List the values at which a reference is likely to decide something.

    Args:
        reference: Python source.

    Returns:
        Its distinct numbers and strings, and the integers next to its integers.
    """
    tree = parse(reference)
    found: dict[PlainLiteral, None] = {}
    for site in sites(tree) if tree is not None else ():
        value = site.node.value if isinstance(site.node, ast.Constant) else None
        if isinstance(value, int) and not isinstance(value, bool):
            found |= dict.fromkeys((value + 1, value - 1, value))
        elif isinstance(value, float | str) and value:
            found[value] = None
    return list(found)
