"""Sources that count their steps: each pass through a loop's body, item of a comprehension, and call of a function.

A variant of a reference is endless if it takes many times the steps of the reference. Steps are the same on every
machine and at every load, and one is counted in less time than the body of most loops takes.
"""

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from plum_hub.answers.source import FunctionNode
from plum_hub.strength.sites import is_docstring

_STEP = ast.parse("__step__()").body[0]
_ITEMS = "__items__"
"""The function that counts the items of what a comprehension goes over."""
_COUNTED = (*FunctionNode, ast.For, ast.AsyncFor, ast.While)


@dataclass(frozen=True)
class StepPlaces:
    """Where a tree counts its steps."""

    bodies: tuple[tuple[list[ast.stmt], int], ...]
    """Bodies, and where their steps are counted: before the first statement that is no docstring."""
    loops: tuple[ast.comprehension, ...]
    """The loops of comprehensions, whose items are counted; but for those in f-strings, whose place is not told."""

    @classmethod
    def of(cls, root: ast.AST) -> Self:
        """Find all places.

        Args:
            root: The tree.

        Returns:
            The places.
        """
        bodies: list[tuple[list[ast.stmt], int]] = []
        loops: list[ast.comprehension] = []
        left = [root]
        while left:
            node = left.pop()
            if isinstance(node, ast.JoinedStr):
                continue
            left += ast.iter_child_nodes(node)
            if isinstance(node, _COUNTED):
                place = int(isinstance(node, FunctionNode) and is_docstring(node.body[0]))
                if place < len(node.body):
                    bodies.append((node.body, place))
            elif isinstance(node, ast.comprehension) and not node.is_async:
                loops.append(node)
        return cls(tuple(bodies), tuple(loops))

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.bodies or self.loops)


@contextmanager
def counting(places: StepPlaces) -> Iterator[None]:
    """Let a tree count its steps.

    Args:
        places: Where it counts them.

    Yields:
        Nothing.
    """
    for body, place in places.bodies:
        body.insert(place, _STEP)
    sources = [loop.iter for loop in places.loops]
    for loop in places.loops:
        loop.iter = ast.Call(func=ast.Name(id=_ITEMS, ctx=ast.Load()), args=[loop.iter], keywords=[])
    try:
        yield
    finally:
        for loop, source in zip(places.loops, sources, strict=True):
            loop.iter = source
        for body, place in places.bodies:
            del body[place]


def step_insertions(places: StepPlaces, text: bytes, lines: Sequence[int]) -> list[tuple[int, bytes]]:
    """List what is to be put into a source so that it counts its steps.

    Args:
        places: Where its tree counts them.
        text: The source.
        lines: Where each of its lines starts.

    Returns:
        Offset and text of each insertion, in the order of the source.
    """
    found = []
    for body, place in places.bodies:
        statement = body[place]
        first = min([statement, *getattr(statement, "decorator_list", ())], key=lambda node: node.lineno)
        start = lines[first.lineno - 1]
        # A decorator is the expression behind the `@`.
        offset = start + first.col_offset if first is statement else text.index(b"@", start)
        is_simple = not hasattr(statement, "body") and not isinstance(statement, ast.Match)
        found.append((offset, b"__step__(); " if is_simple else b"__step__()\n" + text[start:offset]))
    for loop in places.loops:
        start, end = span_of(loop.iter, lines)
        found += [(start, f" {_ITEMS}(".encode()), (end, b")")]  # `in(1, 2)` needs a space
    return sorted(found)


def span_of(node: ast.expr | ast.stmt, lines: Sequence[int]) -> tuple[int, int]:
    """Find a node in the text of its source.

    Args:
        node: The node.
        lines: Where each line of the source starts.

    Returns:
        Offsets of its start and its end, in bytes.
    """
    end = lines[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    return lines[node.lineno - 1] + node.col_offset, end
