"""Choose the definitions of a test module that one of its tests carries along."""

import ast
import builtins
from collections.abc import Sequence

from plum_hub.answers.source import FunctionNode, mentioned_names

LOOKUPS = frozenset({"getattr", "dir", "vars", "__dict__", "eval", "exec", "inspect"})
"""By these a test may reach others that it does not name."""
_ALL = LOOKUPS | {"globals", "locals", "sys", "__import__", "importlib"}


class Carried:
    """What stands before the tests of a module, of which a test carries only what it may use.

    A function is left out where nothing that a test runs names it, and where its definition does nothing: it has no
    decorators, and its defaults and annotations are constants and builtins. All else is carried by every test, so that
    each is as long as itself, and a module as long as its tests.
    """

    def __init__(self, preamble: Sequence[ast.stmt]) -> None:
        """Read the statements.

        Args:
            preamble: The statements before the tests.
        """
        self._preamble = preamble
        self._inert = {id(node): node for node in preamble if _is_inert(node)}
        self._mentioned = {key: mentioned_names(node) for key, node in self._inert.items()}
        fixed = [node for node in preamble if id(node) not in self._inert]
        self._always = {name for node in fixed for name in mentioned_names(node)}

    def by(self, test: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Choose what a test carries along.

        Args:
            test: Its statements.

        Returns:
            Those statements before it, in their order.
        """
        left = dict(self._inert)
        pending = [self._always, *map(mentioned_names, test)]
        while pending and left:
            names = pending.pop()
            if names & _ALL:
                return list(self._preamble)
            found = [key for key, node in left.items() if vars(node)["name"] in names]
            pending += [self._mentioned[key] for key in found]
            for key in found:
                del left[key]
        return [node for node in self._preamble if id(node) not in left]


def _is_inert(node: ast.stmt) -> bool:
    """Tell whether a statement defines a function, and does nothing else."""
    if not isinstance(node, FunctionNode) or node.decorator_list:
        return False
    given = [*node.args.defaults, *(one for one in node.args.kw_defaults if one)]
    said = [one.annotation for one in ast.walk(node.args) if isinstance(one, ast.arg) and one.annotation]
    said += [node.returns] if node.returns else []
    return all(isinstance(one, ast.Constant) for one in given) and all(
        isinstance(one, ast.Constant) or (isinstance(one, ast.Name) and one.id in vars(builtins)) for one in said
    )
