"""Find the fixtures of pytest that tests use, and write the statements that make and end them."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plum_hub.answers.parameters import Variant
from plum_hub.answers.source import DefinitionNode, FunctionNode
from plum_hub.answers.stand_ins import ATTRIBUTES

STAND_INS = "__stand_ins__"
"""The variable that holds the stand-ins which a test uses (`stand_ins`)."""
_OF_ITS_TEST = ("request.cls", "request.instance")
_SCOPES = ("session", "package", "module", "class")


@dataclass(frozen=True)
class Fixture:
    """A fixture of pytest."""

    function: ast.FunctionDef | ast.AsyncFunctionDef
    owner: str
    """What stands before its name in a call: "case." for a method, "" for a function."""
    settings: Mapping[str, ast.expr]
    """The arguments of its decorator."""

    @property
    def is_automatic(self) -> bool:
        """Whether every test uses it."""
        value = self.settings.get("autouse")
        return isinstance(value, ast.Constant) and value.value is True

    @property
    def scope(self) -> str:
        """How long its value is kept: for a function, a class or more."""
        value = self.settings.get("scope")
        return str(value.value) if isinstance(value, ast.Constant) else "function"


@dataclass
class Shared:
    """What several tests have in common: a fixture, or the set-up of the module."""

    setup: list[str] = field(default_factory=list)
    """Statements before the first of them."""
    teardown: list[str] = field(default_factory=list)
    """Statements after the last of them, the last one first."""


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
        if isinstance(node, FunctionNode) and _is_decorated(node, "fixture"):
            words = [word for item in node.decorator_list if isinstance(item, ast.Call) for word in item.keywords]
            settings = {str(word.arg): word.value for word in words}
            named = settings.get("name")
            found[str(named.value) if isinstance(named, ast.Constant) else node.name] = Fixture(node, owner, settings)
    return found


class Wiring:
    """The fixtures of one test, in the order in which they are made.

    Attributes:
        setup: Statements before the test.
        teardown: Statements after it, the last one first.
        needs: Names of what it shares with other tests.
        name: The test, behind its class.
    """

    def __init__(
        self,
        fixtures: Mapping[str, Fixture],
        variant: Variant,
        name: str,
        shared: dict[str, Shared],
        *,
        is_shared: bool = False,
    ) -> None:
        """Begin with no fixture.

        Args:
            fixtures: The fixtures by name.
            variant: The arguments of the test.
            name: Its name, behind that of its class.
            shared: What tests share, by name; more is added.
            is_shared: Whether these fixtures are made for several tests.
        """
        self._is_shared = is_shared
        self.setup: list[str] = []
        self.teardown: list[str] = []
        self.needs: list[str] = []
        self.name = name
        self._fixtures, self._variant, self._shared = fixtures, variant, shared
        self._arguments, self._indirect = dict(variant.arguments), dict(variant.indirect)
        self._values: dict[str, str] = {}

    def automatic(self, owner: str) -> None:
        """Make the fixtures that every test uses.

        Args:
            owner: Those of the module ("") or of the class.
        """
        for name, fixture in self._fixtures.items():
            if fixture.is_automatic and fixture.owner == owner:
                self.value(name)

    def value(self, name: str, callers: tuple[str, ...] = ()) -> str:
        """Make a fixture, unless it is made.

        Args:
            name: Its name.
            callers: The fixtures that ask for it.

        Returns:
            An expression for its value.

        Raises:
            KeyError: There is no such fixture.
            ValueError: It needs an unsupported feature; the message names it.
        """
        if name in self._arguments:
            return self._arguments[name]
        if name not in self._values:
            if name in self._fixtures:
                self._values[name] = self._made(name, callers)
            elif name in ATTRIBUTES and name != "request":
                self._values[name] = self._generated(name, f"{STAND_INS}[{name!r}]()", self)
            else:
                raise KeyError(name)
        return self._values[name]

    def arguments(self, function: ast.FunctionDef | ast.AsyncFunctionDef, skip: int, *, injected: bool) -> str:
        """Make the fixtures that a test has as parameters.

        Args:
            function: The test.
            skip: Number of parameters before them.
            injected: Whether decorators give it other arguments.

        Returns:
            The arguments of its call.

        Raises:
            ValueError: There is no such fixture.
        """
        given = {
            name: value
            for name, value in self._arguments.items()
            if name in parameters_of(function, skip, with_defaults=True)
        }
        for name in parameters_of(function, skip):
            _check_uses(function, name)
            if name == "request":
                given[name] = self._request("", function)
            elif name not in given:
                try:
                    given[name] = self.value(name)
                except KeyError as error:
                    if not injected:
                        raise _missing(function, name) from error
        return ", ".join(f"{name}={value}" for name, value in given.items())

    def _made(self, name: str, callers: tuple[str, ...]) -> str:
        function = self._fixtures[name].function
        if name in callers:
            raise ValueError(f"line {function.lineno}: the fixture {name} asks for itself: give it another name")
        generates = any(isinstance(item, ast.Yield) for item in own_nodes(function))
        if generates and isinstance(function, ast.AsyncFunctionDef):
            raise ValueError(
                f"line {function.lineno}: the fixture {name} needs something that is not supported: an asynchronous "
                "generator; remove it"
            )
        if (key := self._key(name)) is None:
            return self._built(name, callers, self)
        self.needs += [key] if key not in self.needs else []
        if key not in self._shared:
            inner = Wiring(self._fixtures, self._variant, self.name, self._shared, is_shared=True)
            self._shared[key] = shared = Shared()
            value = inner._built(name, callers, inner, key)
            shared.setup, shared.teardown = inner.setup, inner.teardown
            self.needs[:0] = [one for one in inner.needs if one not in self.needs]
            return value
        return _variable(key)

    def _key(self, name: str) -> str | None:
        """Return under which name a fixture is shared between tests; None if it is made for one alone.

        The latter holds for one that asks for its class, which is defined again for each test.
        """
        fixture = self._fixtures[name]
        if fixture.owner or fixture.scope not in _SCOPES or name in self._indirect or _of_its_test(fixture.function):
            return None
        asked = [one for one in parameters_of(fixture.function, 0) if one in self._fixtures or one in self._arguments]
        if any(one in self._arguments or self._key(one) is None for one in asked):
            return None
        return name if fixture.scope != "class" else f"{name}_{self.name.rpartition('.')[0]}"

    def _built(self, name: str, callers: tuple[str, ...], into: "Wiring", key: str = "") -> str:
        fixture, function = self._fixtures[name], self._fixtures[name].function
        given = {}
        for parameter in parameters_of(function, 1 if fixture.owner else 0):
            _check_uses(function, parameter)
            try:
                is_request = parameter == "request" and parameter not in self._fixtures
                given[parameter] = (
                    self._request(name, function) if is_request else self.value(parameter, (*callers, name))
                )
            except KeyError as error:
                raise _missing(function, parameter) from error
        call = f"{fixture.owner}{function.name}({', '.join(f'{one}={value}' for one, value in given.items())})"
        if any(isinstance(item, ast.Yield) for item in own_nodes(function)):
            return self._generated(key or name, call, into)
        into.setup.append(f"{_variable(key or name)} = {awaited(function, call)}")
        return _variable(key or name)

    def _generated(self, name: str, call: str, into: "Wiring") -> str:
        variable = _variable(name)
        into.setup += [f"{variable}made = {call}", f"{variable} = {variable}made.__next__()"]
        into.teardown.append(f"[*{variable}made]")
        return variable

    def _request(self, name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        """Make what the parameter `request` of a fixture or test stands for."""
        asked = [
            item.args[0].value if item.args and isinstance(item.args[0], ast.Constant) else None
            for item in ast.walk(function)
            if isinstance(item, ast.Call) and ast.unparse(item.func) == "request.getfixturevalue"
        ]
        if None in asked:
            raise ValueError(f"line {function.lineno}: getfixturevalue needs a literal name: write it out")
        if self._variant.loops and "request.node" in ast.unparse(function):
            raise ValueError(f"line {function.lineno}: request.node of a parametrised test is not supported: remove it")
        values = ", ".join(f"{one!r}: {self.value(str(one))}" for one in dict.fromkeys(asked))
        owner, _, test = self.name.rpartition(".")
        node = f"__builtins__['type']('node', (), {{'name': {test!r}, 'originalname': {test!r}}})"
        names = {"node": node, "fixturename": repr(name or None), "cls": owner or "None"}
        if not self._is_shared:
            names |= {"function": f"case.{test}" if owner else "test", "instance": "case" if owner else "None"}
        if name in self._indirect:
            names["param"] = self._indirect[name]
        variable = f"{_variable(name or 'test')}request"
        text = ", ".join(f"{key!r}: {value}" for key, value in names.items())
        self.setup.append(f"{variable} = {STAND_INS}['request']({{{text}}}, lambda: {{{values}}})")
        self.teardown.append(f"{variable}.finish()")
        return variable


def _check_uses(function: ast.AST, name: str) -> None:
    """Refuse attributes of a built-in fixture, a parameter of the function, that its stand-in does not have."""
    known = ATTRIBUTES.get(name)
    if not known:
        return
    for node in ast.walk(function):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute) if owner == name and attribute not in known:
                raise ValueError(f"line {node.lineno}: {name}.{attribute} is not supported in tests: remove it")


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


def _is_decorated(node: ast.stmt, word: str) -> bool:
    """Tell if a decorator of a definition contains a word."""
    return any(re.search(rf"\b{word}\b", ast.unparse(item)) for item in getattr(node, "decorator_list", []))


def own_nodes(function: ast.AST) -> list[ast.AST]:
    """Return the nodes of a function without those of functions and classes inside it.

    Args:
        function: The function.

    Returns:
        The nodes.
    """
    found, pending = list[ast.AST](), list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        found.append(node)
        if not isinstance(node, (*DefinitionNode, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
    return found


def parameters_of(
    function: ast.FunctionDef | ast.AsyncFunctionDef, skip: int, *, with_defaults: bool = False
) -> list[str]:
    """Find the parameters that pytest gives a test or fixture.

    Args:
        function: The function.
        skip: Number of parameters before them.
        with_defaults: Whether to return those with a default as well.

    Returns:
        Their names.
    """
    named = [*function.args.posonlyargs, *function.args.args]
    plain = named if with_defaults or not function.args.defaults else named[: -len(function.args.defaults)]
    defaults = function.args.kw_defaults
    return [one.arg for one in plain[skip:]] + [
        one.arg
        for one, default in zip(function.args.kwonlyargs, defaults, strict=True)
        if with_defaults or default is None
    ]


def _of_its_test(function: ast.AST) -> bool:
    """Tell whether a fixture asks for the class or object of its test."""
    return any(ast.unparse(node) in _OF_ITS_TEST for node in ast.walk(function) if isinstance(node, ast.Attribute))


def _variable(name: str) -> str:
    return f"__fixture_{name}__"


def _missing(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ValueError:
    return ValueError(
        f"line {function.lineno}: {function.name} needs the fixture {name!r}, which the tests do not define: remove it"
    )
