"""Sources that differ from another in one node."""

import ast
from dataclasses import dataclass
from itertools import accumulate

from plum_hub.answers.source import parse
from plum_hub.strength.sites import Site
from plum_hub.strength.steps import counted_bodies, counting, step_insertions

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
        nodes = list(ast.walk(tree))
        self._bodies = list(counted_bodies(nodes))
        self._steps = step_insertions(self._bodies, self._text, self._lines)
        around = (one for one in nodes if isinstance(one, ast.JoinedStr | ast.pattern))
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
            with counting(self._bodies):
                return EditedSource(text, ast.unparse(self._tree))

    def _edited(self, old: ast.AST, new: ast.AST) -> EditedSource | None:
        """Return the source with other text for a node; None if that takes more than one line, or has no place."""
        if id(old) in self._no_place or isinstance(new, _BLOCKS) or not isinstance(old, ast.expr | ast.stmt):
            return None
        start = self._lines[old.lineno - 1] + old.col_offset
        end = self._lines[(old.end_lineno or old.lineno) - 1] + (old.end_col_offset or 0)
        text = ast.unparse(ast.fix_missing_locations(new)).strip("\n")
        text = f"({text})" if isinstance(new, ast.expr) and not isinstance(new, ast.Slice) else text
        code = self._text[:start] + text.encode() + self._text[end:]
        # Steps are before statements, and what is written anew here has no statements of its own.
        before, after = (self._counting(0, start), self._counting(end, len(self._text) + 1))
        return EditedSource(code.decode(), (before + text.encode() + after).decode())

    def _counting(self, start: int, end: int) -> bytes:
        """Return a part of the source, up to a step at its end."""
        parts = []
        for offset, step in self._steps:
            if start < offset <= end:
                parts += [self._text[start:offset], step]
                start = offset
        return b"".join([*parts, self._text[start:end]])


def _differing(old: ast.AST, new: ast.AST) -> tuple[ast.AST, ast.AST]:
    """Return what differs between two nodes: their conditions, if it is only these."""
    blocks = (ast.If, ast.While)
    if isinstance(old, blocks) and isinstance(new, blocks) and old.body is new.body and old.orelse is new.orelse:
        return old.test, new.test
    return old, new
