"""Read the role that each test of an answer was given: typical, edge, large or invalid input.

The prompt `suite_roles` asks for a comment behind each assertion. Models also write a comment above a group of
assertions, a message, or a telling name of the test function, and often nothing: such a test has no role.
"""

import ast
import io
import re
import tokenize
from collections.abc import Mapping, Sequence

from plum_hub.answers.source import DefinitionNode
from plum_hub.records import UNSPECIFIED, CaseRole

_WORDS: Mapping[str, CaseRole] = {
    "typical": "typical", "normal": "typical", "basic": "typical", "ordinary": "typical",
    "edge": "edge", "corner": "edge", "boundary": "edge",
    "large": "large", "big": "large", "stress": "large",
    "invalid": "invalid", "illegal": "invalid", "error": "invalid",
}  # fmt: skip
_ANY = "|".join(_WORDS)
_ROLE = re.compile(
    rf"(?i)^\W*(?:\d+\W+)?(?:role|case|test|an?)?\W*(?P<first>{_ANY})\b"
    rf"|\b(?P<named>{_ANY})[\s_-]+(?:cases?|inputs?|tests?|values?)\b"
)
"""A role word at the beginning, or before "case" and the like; elsewhere in a sentence it is no role."""


def role_of(text: str) -> CaseRole:
    """Read a role from a comment, a message, a test's name, or a value that should be one.

    Args:
        text: The text.

    Returns:
        The role; `unspecified` if the text has none.
    """
    found = _ROLE.search(text.replace("_", " "))
    return UNSPECIFIED if found is None else _WORDS[(found["first"] or found["named"]).lower()]


def roles_by_line(source: str, statements: Sequence[ast.stmt]) -> dict[int, CaseRole]:
    """Find the roles of statements, those inside functions, classes and loops included.

    The nearest text counts: a comment behind the statement, its message, the comment above it, and then what stands
    for the function or class around it.

    Args:
        source: The Python source that the statements were parsed from.
        statements: The statements.

    Returns:
        The role of each statement that has one, by the number of its first line.
    """
    reader = _Reader(source)
    reader.read(statements, UNSPECIFIED, 0)
    return reader.roles


class _Reader:
    """Collects the roles of the statements of one source."""

    def __init__(self, source: str) -> None:
        self.roles: dict[int, CaseRole] = {}
        self._behind: dict[int, str] = {}
        """Comments behind code, by line."""
        self._above: dict[int, CaseRole] = {}
        """The role of each comment that has its line for itself; lines without a break share the first one's."""
        try:
            tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        except (tokenize.TokenError, SyntaxError, ValueError):  # the source parses, but its last line may be torn
            return
        for token in tokens:
            line = token.start[0]
            if token.type != tokenize.COMMENT:
                continue
            if token.line[: token.start[1]].strip():
                self._behind[line] = token.string
            else:
                before = self._above.get(line - 1, UNSPECIFIED)
                self._above[line] = before if before != UNSPECIFIED else role_of(token.string)

    def read(self, statements: Sequence[ast.stmt], inherited: CaseRole, begin: int) -> None:
        """Read the statements of one body, which begins behind line `begin`."""
        for node in statements:
            inner = [body for name in ("body", "orelse", "finalbody") if (body := getattr(node, name, None))]
            inner = [body for body in inner if isinstance(body, list)]
            last = node.end_lineno or node.lineno
            whole = not inner or isinstance(node, ast.With | ast.Try)
            head = last if whole else max(node.lineno, inner[0][0].lineno - 1)
            role = self._own(node, head) or self._heading(begin, node.lineno) or inherited
            if role != UNSPECIFIED:
                self.roles[node.lineno] = role
            for body in inner:
                self.read(body, role, node.lineno)
            begin = last if inner else begin  # a comment within a block is no heading for what follows it

    def _own(self, node: ast.stmt, head: int) -> CaseRole | None:
        """Return the role that a statement itself states, in its lines up to `head`."""
        texts = [self._behind[line] for line in range(node.lineno, head + 1) if line in self._behind]
        if isinstance(node, ast.Assert) and isinstance(node.msg, ast.Constant):
            texts.append(str(node.msg.value))
        if isinstance(node, DefinitionNode):
            texts.append(node.name.removeprefix("test"))
        return next((role for text in texts if (role := role_of(text)) != UNSPECIFIED), None)

    def _heading(self, begin: int, line: int) -> CaseRole | None:
        """Return the role of the last comment between two lines; None without such a comment."""
        lines = [number for number in self._above if begin < number < line]
        return self._above[max(lines)] if lines else None
