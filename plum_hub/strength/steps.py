"""Sources that count their steps: each pass through a loop's body and each call of a function is one.

A variant of a reference is endless if it takes many times the steps of the reference. Steps are the same on every
machine and at every load, and one is counted in less time than the body of most loops takes.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from plum_hub.answers.source import FunctionNode
from plum_hub.strength.sites import is_docstring

_STEP = ast.parse("__step__()").body[0]
_COUNTED = (*FunctionNode, ast.For, ast.AsyncFor, ast.While)


def counted_bodies(nodes: Iterable[ast.AST]) -> Iterator[tuple[list[ast.stmt], int]]:
    """Find the bodies that count steps.

    Args:
        nodes: All nodes of a tree.

    Yields:
        Each body, and where its steps are counted: before its first statement that is no docstring.
    """
    for node in nodes:
        if isinstance(node, _COUNTED):
            place = int(isinstance(node, FunctionNode) and is_docstring(node.body[0]))
            if place < len(node.body):
                yield node.body, place


@contextmanager
def counting(bodies: Iterable[tuple[list[ast.stmt], int]]) -> Iterator[None]:
    """Let a tree count its steps.

    Args:
        bodies: Its bodies that count (`counted_bodies`).

    Yields:
        Nothing.
    """
    found = list(bodies)
    for body, place in found:
        body.insert(place, _STEP)
    try:
        yield
    finally:
        for body, place in found:
            del body[place]


def step_insertions(
    bodies: Iterable[tuple[list[ast.stmt], int]], text: bytes, lines: Sequence[int]
) -> list[tuple[int, bytes]]:
    """List what is to be put into a source so that it counts its steps.

    Args:
        bodies: The bodies of its tree that count (`counted_bodies`).
        text: The source.
        lines: Where each of its lines starts.

    Returns:
        Offset and text of each insertion, in the order of the source.
    """
    found = []
    for body, place in bodies:
        statement = body[place]
        first = min([statement, *getattr(statement, "decorator_list", ())], key=lambda node: node.lineno)
        start = lines[first.lineno - 1]
        # A decorator is the expression behind the `@`.
        offset = start + first.col_offset if first is statement else text.index(b"@", start)
        is_simple = not hasattr(statement, "body") and not isinstance(statement, ast.Match)
        found.append((offset, b"__step__(); " if is_simple else b"__step__()\n" + text[start:offset]))
    return sorted(found)
