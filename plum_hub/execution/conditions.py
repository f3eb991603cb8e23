"""Expected values that are no single value: `is_in((1, 4.5))`, `above(0)`, `raises(('ValueError',), match='empty')`.

Like a closeness they take the place of a literal in a case, as source, and stay outside the program's process: there,
`assert f(2) in (1, 4.5)` is no more than `f(2)`, and a call that has to raise looks like any other.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plum_hub.execution.frames import Labelled
from plum_hub.execution.literals import equal
from plum_hub.execution.values import Array

MAX_HASHED = 10_000
"""Size of the largest set or dictionary that is compared with a condition, as no expected value limits it."""
_LONGEST_MESSAGE = 10_000
_REPEATS = re.compile(r"(?:[^\\*+?{}()|\[\]]|\\[^\w]|\\[dDwWsSbB])*")
"""Patterns without repetition, groups and sets: to search for one takes no more time than the message is long."""


def _is_in(actual: Any, container: Any) -> bool:
    if isinstance(container, str | bytes):
        return actual in container
    if isinstance(container, dict) or (isinstance(container, set | frozenset) and not isinstance(actual, set)):
        hash(actual)  # raises, as it does in Python
    return any(equal(actual, item) for item in container)


def _holds(actual: Any, item: Any) -> bool:
    if not isinstance(actual, str | bytes | list | tuple | set | frozenset | dict | range):
        raise TypeError
    return _is_in(item, actual)


def _differs(actual: Any, other: Any) -> bool:
    return not equal(actual, other)


def _meets(actual: Any, others: Any) -> bool:
    return any(_is_in(item, others) for item in actual)


_ACCEPTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "is_in": _is_in,
    "not_in": lambda actual, container: not _is_in(actual, container),
    "holds": _holds,
    "lacks": lambda actual, item: not _holds(actual, item),
    "meets": _meets,
    "differs": _differs,
    "below": operator.lt,
    "at_most": operator.le,
    "above": operator.gt,
    "at_least": operator.ge,
}
CONDITIONS = frozenset(_ACCEPTS)
"""Names of the conditions on a value."""


@dataclass(frozen=True)
class Condition:
    """What a value has to be to a literal."""

    name: str
    expected: Any

    def accepts(self, actual: Any) -> bool:
        """Tell whether a value fulfils the condition.

        Args:
            actual: Made of plain builtins.

        Returns:
            Whether Python's operator gives a true value.
        """
        if isinstance(actual, Array | Labelled):  # Python asks for the truth of as many answers as there are elements
            return False
        return bool(_ACCEPTS[self.name](actual, self.expected))


@dataclass(frozen=True)
class Raises:
    """That a call raises, and what."""

    expected: tuple[str, ...]
    """Names of the exceptions, any of which will do."""
    match: str | None = None
    """Pattern that is found in the message."""
    message: str | None = None
    """The whole message."""
    parts: tuple[str, ...] = ()
    """Texts in the message."""

    def accepts(self, raised: Any) -> bool:
        """Tell whether what was raised is what should have been.

        Args:
            raised: The names of the exception's classes, and its message. A value, which was not raised, is none.

        Returns:
            Whether it is.
        """
        if not isinstance(raised, Raised) or not set(self.expected) & set(raised.names):
            return False
        message = raised.message
        return (
            (self.match is None or re.search(self.match, message) is not None)
            and (self.message is None or message == self.message)
            and all(part in message for part in self.parts)
        )


@dataclass(frozen=True)
class Raised:
    """An exception as it leaves the sandbox."""

    names: tuple[str, ...]
    """The names that its classes have for the program."""
    message: str

    @classmethod
    def of(cls, content: bytes) -> "Raised":
        """Read what a program's process wrote.

        Args:
            content: The names, a line break, and the message; anything may have written it.

        Returns:
            The exception.
        """
        names, _, message = content.decode(errors="replace").partition("\n")
        return cls(tuple(names.split(" ")), message[:_LONGEST_MESSAGE])


def is_simple_pattern(pattern: str) -> bool:
    """Tell whether a pattern can be looked for in any text without taking long.

    Args:
        pattern: A regular expression.

    Returns:
        Whether it is valid and repeats nothing.
    """
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _REPEATS.fullmatch(pattern) is not None


def condition_of(name: str, value: Any, settings: Mapping[str, Any]) -> Condition | Raises:
    """Make a condition from the parts of its source.

    Args:
        name: `raises` or one of `CONDITIONS`.
        value: The literal in brackets.
        settings: Keyword arguments by name.

    Returns:
        The condition.

    Raises:
        ValueError: It is not one.
    """
    if name == "raises":
        texts = [settings[key] for key in ("match", "message") if key in settings] + list(settings.get("parts", ()))
        if not settings.keys() <= {"match", "message", "parts"} or not all(isinstance(one, str) for one in texts):
            raise ValueError("not a literal: raises() takes match, message and parts, which are texts")
        if not is_simple_pattern(settings.get("match", "")):
            raise ValueError("not a literal: the pattern of raises() repeats something")
        return Raises(tuple(map(str, value)), **settings)
    if settings or (
        name in ("is_in", "not_in", "meets")
        and not isinstance(value, str | list | tuple | set | frozenset | dict | range)
    ):
        raise ValueError(f"not a literal: {name}({value!r:.60})")
    return Condition(name, value)
