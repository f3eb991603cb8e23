"""Sources that differ from another in one node."""

import ast
from dataclasses import dataclass
from itertools import accumulate

from plum_hub.answers.source import parse
from plum_hub.strength.sites import Site
from plum_hub.strength.steps import StepPlaces, counting, span_of, step_insertions

_BLOCKS = (ast.If, ast.While, ast.For, ast.With, ast.Try)


@dataclass(frozen=True)
class EditedSource:
    """A source."""

    code: str
    counting: str
    """The same, with its steps counted (`steps.py`)."""


class SourceEditor:
    """Writes one node of a source anew; all else stays, as far as that can be done.

    Args:
        source: Python source.
        tree: Its tree.
    """

    def __init__(self, source: str, tree: ast.Module) -> None:
        self._tree, self._text = tree, source.encode()
        self._lines = [0, *accumulate(map(len, self._text.splitlines(keepends=True)))]
        self._steps = step_insertions(StepPlaces.of(tree), self._text, self._lines)
        around = (one for one in ast.walk(tree) if isinstance(one, ast.JoinedStr | ast.pattern))
        # What is within an f-string is not where it says, and not all patterns may be put in parentheses.
        self._no_place = {id(node) for one in around for node in ast.walk(one)}

    def with_node(self, site: Site, new: ast.AST) -> EditedSource | None:
        """Write another node at a site.

        Args:
            site: A place in the tree.
            new: The other node.

        Returns:
            Python source; None if it does not parse.
        """
        edited = self._edited(*_differing(site.node, new))
        if edited is not None:
            return edited
        with site.holding(new):
            text = ast.unparse(self._tree)
            if parse(text) is None:
                return None
            with counting(StepPlaces.of(self._tree)):
                return EditedSource(text, ast.unparse(self._tree))

    def _edited(self, old: ast.AST, new: ast.AST) -> EditedSource | None:
        """Return the source with other text for a node; None if that takes more than one line, or has no place."""
        if id(old) in self._no_place or isinstance(new, _BLOCKS):
            return None
        if not isinstance(old, ast.expr | ast.stmt) or not isinstance(new, ast.expr | ast.stmt):
            return None
        start, end = span_of(old, self._lines)
        ast.fix_missing_locations(new)
        counted = text = _written(new)
        if places := StepPlaces.of(new):
            with counting(places):
                counted = _written(new)
        code = self._text[:start] + text + self._text[end:]
        return EditedSource(code.decode(), (self._counting(0, start) + counted + self._counting(end)).decode())

    def _counting(self, start: int, end: int | None = None) -> bytes:
        """Return a part of the source that counts its steps, with what is put in at its start or end."""
        parts = []
        for offset, step in self._steps:
            if start <= offset and (end is None or offset <= end):
                parts += [self._text[start:offset], step]
                start = offset
        return b"".join([*parts, self._text[start:end]])


def _written(node: ast.expr | ast.stmt) -> bytes:
    text = ast.unparse(node).strip("\n")
    return (f"({text})" if isinstance(node, ast.expr) and not isinstance(node, ast.Slice) else text).encode()


def _differing(old: ast.AST, new: ast.AST) -> tuple[ast.AST, ast.AST]:
    """Return what differs between two nodes: their conditions, if it is only these."""
    blocks = (ast.If, ast.While)
    if isinstance(old, blocks) and isinstance(new, blocks) and old.body is new.body and old.orelse is new.orelse:
        return old.test, new.test
    return old, new
