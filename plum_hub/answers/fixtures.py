"""Find the fixtures of pytest that tests use, and write calls for their values."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from plum_hub.answers.source import FunctionNode


@dataclass(frozen=True)
class Fixture:
    """A fixture of pytest."""

    function: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    """What stands before its name in a call: "case." for a method, "" for a function."""

    @property
    def parameters(self) -> list[str]:
        """The names of the fixtures that it uses."""
        return [one.arg for one in self.function.args.args][1 if self.owner else 0 :]

    @property
    def is_automatic(self) -> bool:
        """Whether every test uses it."""
        return is_decorated(self.function, "autouse=True")


def read_fixtures(body: Sequence[ast.stmt], owner: str) -> dict[str, Fixture]:
    """Find the fixtures that a module or class defines.

    Args:
        body: The statements.
        owner: What stands before their names in a call.

    Returns:
        The fixtures by the name that tests ask for.
    """
    found: dict[str, Fixture] = {}
    for node in body:
        if isinstance(node, FunctionNode) and _is_fixture(node):
            words = [word for item in node.decorator_list if isinstance(item, ast.Call) for word in item.keywords]
            named = next((word.value for word in words if word.arg == "name"), None)
            name = named.value if isinstance(named, ast.Constant) else node.name
            found[str(name)] = Fixture(node, owner)
    return found


def automatic_calls(fixtures: dict[str, Fixture]) -> list[str]:
    """Write calls of the fixtures that every test uses.

    Args:
        fixtures: The fixtures by name.

    Returns:
        An expression for each.

    Raises:
        ValueError: One needs an unsupported feature; the message names it.
    """
    return [fixture_call(name, fixtures, ()) for name, fixture in fixtures.items() if fixture.is_automatic]


def fixture_call(name: str, fixtures: dict[str, Fixture], callers: tuple[str, ...]) -> str:
    """Write an expression for the value of a fixture.

    Args:
        name: Name of the fixture.
        fixtures: The fixtures by name.
        callers: The fixtures that ask for it.

    Returns:
        The expression.

    Raises:
        ValueError: It needs an unsupported feature; the message names it.
    """
    fixture, function = fixtures[name], fixtures[name].function
    inner = fixture.parameters
    generates = any(isinstance(item, ast.Yield) for item in ast.walk(function))
    unknown = name in callers or not set(inner) <= fixtures.keys() or is_decorated(function, "params")
    if unknown or (generates and isinstance(function, ast.AsyncFunctionDef)):
        raise ValueError(f"line {function.lineno}: the fixture {name} needs something that is not supported: remove it")
    given = ", ".join(f"{parameter}={fixture_call(parameter, fixtures, (*callers, name))}" for parameter in inner)
    call = awaited(function, f"{fixture.owner}{function.name}({given})")
    return f"{call}.__next__()" if generates else call


def awaited(function: ast.stmt, call: str) -> str:
    """Run the coroutine that a call gives.

    Args:
        function: The function that is called.
        call: The call.

    Returns:
        The call; of a coroutine function, within one that runs the coroutine.
    """
    asynchronous = isinstance(function, ast.AsyncFunctionDef)
    return f"__builtins__['__import__']('asyncio').run({call})" if asynchronous else call


def is_decorated(node: ast.stmt, word: str) -> bool:
    """Tell if a decorator of a definition contains a word.

    Args:
        node: The definition.
        word: The word.

    Returns:
        Whether one does.
    """
    return any(re.search(rf"\b{word}\b", ast.unparse(item)) for item in getattr(node, "decorator_list", []))


def _is_fixture(node: ast.stmt) -> bool:
    return is_decorated(node, "fixture")
