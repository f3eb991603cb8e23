"""Which variants may run in one process: those that leave nothing behind for the next."""

import ast

from plum_hub.answers.source import parse
from plum_hub.records import TestSuite

_STATELESS = frozenset(
    {"__future__", "abc", "array", "bisect", "calendar", "cmath", "collections", "copy", "dataclasses", "datetime"}
    | {"enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator", "re"}
    | {"statistics", "string", "textwrap", "typing", "unicodedata", "zlib", "base64", "binascii"}
    | {"random"}
)
"""Modules that keep nothing of what a program does with them; and `random`, whose state the runner sets."""
_OF_SYS = frozenset(
    {"byteorder", "float_info", "getrecursionlimit", "getsizeof", "hash_info", "int_info", "maxsize", "maxunicode"}
    | {"setrecursionlimit", "version", "version_info"}
)
"""What may be used of `sys`: constants, and the recursion limit, which the runner sets."""
_SHARED = frozenset({"__import__", "breakpoint", "input", "open"})
"""Builtins that reach beyond the program."""
_RESERVED = "__plum_"
"""Begins names that only the sandbox gives to cases."""


def can_share(suite: TestSuite) -> bool:
    """Tell whether variants of a suite's reference leave nothing behind, so that they may run in one process.

    Args:
        suite: The suite.

    Returns:
        True if they may: the suite calls a function or class, and neither reference nor cases use a module or builtin
        that has a state.
    """
    if not suite.entry_point or any(case.kind == "stdio" for case in suite.cases):
        return False
    cases = "\n".join(case.statement or case.call or "" for case in suite.cases)
    return _is_stateless(suite.reference) and _is_stateless(cases)


def _is_stateless(source: str) -> bool:
    tree = parse(source)
    if tree is None or _RESERVED in source:
        return False
    nodes = list(ast.walk(tree))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    if not (_SHARED - arguments).isdisjoint(names):
        return False
    return all(map(_is_harmless, nodes)) and names.count("sys") == sum(map(_is_of_sys, nodes))


def _is_harmless(node: ast.AST) -> bool:
    """Return whether a node imports nothing that has a state."""
    if isinstance(node, ast.ImportFrom) and node.module == "sys":
        return all(alias.name in _OF_SYS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in _STATELESS
    if isinstance(node, ast.Import):
        own = (alias.name for alias in node.names if alias.name != "sys" or alias.asname)
        return all(name.partition(".")[0] in _STATELESS for name in own)
    return True


def _is_of_sys(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
        and isinstance(node.ctx, ast.Load)
        and node.attr in _OF_SYS
    )
