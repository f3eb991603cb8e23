"""Stand-ins for pytest's and unittest's objects that check or observe; see `stand_ins`."""

import contextlib
import functools
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

_LOG_FORMAT = "%(levelname)-8s %(name)s:%(filename)s:%(lineno)d %(message)s"


class _LogHandler(logging.StreamHandler[Any]):
    """Keeps records, and their text."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.records: list[logging.LogRecord] = []
        self.setFormatter(logging.Formatter(_LOG_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        super().emit(record)


class _CapturedLog:
    """Stand in for the object of the fixture `caplog`."""

    def __init__(self) -> None:
        self.handler = _LogHandler()
        self.undo: list[Callable[[], object]] = []

    @property
    def records(self) -> list[logging.LogRecord]:
        return self.handler.records

    @property
    def text(self) -> str:
        return str(self.handler.stream.getvalue())

    @property
    def messages(self) -> list[str]:
        return [one.getMessage() for one in self.records]

    @property
    def record_tuples(self) -> list[tuple[str, int, str]]:
        return [(one.name, one.levelno, one.getMessage()) for one in self.records]

    def clear(self) -> None:
        self.records.clear()
        self.handler.stream = io.StringIO()

    def set_level(self, level: Any, logger: str | None = None) -> None:
        for one in (logging.getLogger(logger), self.handler):
            self.undo.append(functools.partial(one.setLevel, one.level))
            one.setLevel(level)

    @contextlib.contextmanager
    def at_level(self, level: Any, logger: str | None = None) -> Iterator[None]:
        named = logging.getLogger(logger)
        before = named.level, self.handler.level
        named.setLevel(level)
        self.handler.setLevel(level)
        try:
            yield
        finally:
            named.setLevel(before[0])
            self.handler.setLevel(before[1])


def caplog() -> Iterator[Any]:
    """Stand in for the fixture: what is logged.

    Yields:
        The fixture.
    """
    made = _CapturedLog()
    logging.getLogger().addHandler(made.handler)
    yield made
    logging.getLogger().removeHandler(made.handler)
    for step in reversed(made.undo):
        step()


def request(names: dict[str, Any], values: Callable[[], dict[str, Any]]) -> Any:
    """Stand in for the fixture: what a fixture is made for.

    Args:
        names: Its attributes.
        values: Gives the values of fixtures by name.

    Returns:
        The fixture, with `finish` for its end.
    """
    steps: list[Callable[[], object]] = []

    class FixtureRequest:
        def addfinalizer(self, finalizer: Callable[[], object]) -> None:
            steps.append(finalizer)

        def getfixturevalue(self, name: str) -> Any:
            return values()[name]

        def finish(self) -> None:
            while steps:
                steps.pop()()

    made = FixtureRequest()
    vars(made).update(names)
    return made


class Failed(BaseException):
    """What `pytest.fail` raises: no `except Exception` catches it."""


def _fail(reason: str = "", pytrace: bool = True, msg: str | None = None) -> None:  # noqa: ARG001 - as pytest's own
    """Stand in for `pytest.fail`."""
    raise Failed(reason or msg or "")


class _Raises:
    """Stand in for `pytest.raises` and what it gives: `value`, `type`, `typename`, `match`."""

    failure: type[BaseException] = Failed

    def __init__(
        self, expected: Any = Exception, *called: Any, match: Any = None, check: Any = None, **named: Any
    ) -> None:
        """Expect an exception."""
        self._expected = named.pop("expected_exception", expected)
        self._match, self._check = match, check
        if called:
            with self:
                called[0](*called[1:], **named)

    def __enter__(self) -> Any:
        """Begin to expect it."""
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Fail where none was raised, or one that does not match; let others pass through."""
        if error is None:
            raise self.failure(f"DID NOT RAISE {self._expected!r}")
        if not isinstance(error, self._expected):
            return False
        self.value, self.type, self.typename, self.tb = error, type(error), type(error).__name__, trace
        self.exception = error
        assert self._match is None or self.match(self._match)
        assert self._check is None or self._check(error)
        return True

    def match(self, pattern: Any) -> bool:
        """Check the text of the exception."""
        text = "\n".join([str(self.value), *getattr(self.value, "__notes__", [])])
        assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"
        return True

    def errisinstance(self, kind: Any) -> bool:
        """Tell whether the exception is of a class."""
        return isinstance(self.value, kind)

    def exconly(self) -> str:
        """Describe the exception."""
        return f"{self.typename}: {self.value}".removesuffix(": ")


class _Warns:
    """Stand in for `pytest.warns`, which gives the list of warnings, and for unittest's `assertWarns`."""

    failure: type[BaseException] = Failed

    def __init__(self, expected: Any = Warning, *called: Any, match: Any = None, **named: Any) -> None:
        """Expect a warning."""
        self._expected, self._match = named.pop("expected_warning", expected), match
        self._manager = warnings.catch_warnings(record=True)
        self.list: list[warnings.WarningMessage] = []
        if called:
            with self:
                called[0](*called[1:], **named)

    def __enter__(self) -> Any:
        """Begin to expect it."""
        found = self._manager.__enter__()
        self.list = [] if found is None else found
        warnings.simplefilter("always")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        """Fail where there was none, or none that matches."""
        self._manager.__exit__(kind, error, trace)
        if error is not None:
            return
        for one in self.list:
            if issubclass(one.category, self._expected) and (
                self._match is None or re.search(self._match, str(one.message))
            ):
                self.warning, self.filename, self.lineno = one.message, one.filename, one.lineno
                return
        raise self.failure(f"DID NOT WARN {self._expected!r}")

    def __len__(self) -> int:
        """Return the number of warnings."""
        return len(self.list)

    def __getitem__(self, place: Any) -> Any:
        """Return a warning."""
        return self.list[place]

    def __iter__(self) -> Iterator[Any]:
        """Go over the warnings."""
        return iter(self.list)

    def clear(self) -> None:
        """Forget the warnings."""
        self.list.clear()

    def pop(self, kind: type[Warning] = Warning) -> Any:
        """Take out a warning."""
        return self.list.pop(next(place for place, one in enumerate(self.list) if issubclass(one.category, kind)))


class _CaseRaises(_Raises):
    """Stand in for unittest's `assertRaises`."""

    failure = AssertionError


class _CaseWarns(_Warns):
    """Stand in for unittest's `assertWarns`."""

    failure = AssertionError


def recwarn() -> Iterator[Any]:
    """Stand in for the fixture: the warnings of a test.

    Yields:
        The fixture.
    """
    made = _Warns(Warning)
    made.__enter__()
    warnings.simplefilter("default")
    yield made
    made._manager.__exit__(None, None, None)


def record_property() -> Iterator[Any]:
    """Stand in for the fixture: a function that adds to a report, which there is none of.

    Yields:
        The fixture.
    """
    yield lambda _name, _value: None


class _Logs:
    """Stand in for unittest's `assertLogs` and `assertNoLogs`."""

    def __init__(self, logger: Any = None, level: Any = None, *, none: bool = False) -> None:
        """Expect messages, or none."""
        self._logger = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
        self._level, self._none = level or logging.INFO, none
        self.records: list[logging.LogRecord] = []
        self.output: list[str] = []

    def __enter__(self) -> Any:
        """Begin to collect messages."""
        handler, formatter = logging.Handler(), logging.Formatter("%(levelname)s:%(name)s:%(message)s")

        def emit(record: logging.LogRecord) -> None:
            self.records.append(record)
            self.output.append(formatter.format(record))

        vars(handler)["emit"] = emit
        handler.setLevel(self._level)
        self._kept = {name: getattr(self._logger, name) for name in ("handlers", "level", "propagate")}
        vars(self._logger).update(handlers=[handler], propagate=False)
        self._logger.setLevel(self._level)
        return None if self._none else self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        """Fail where there was no message, or one that should not be."""
        level = self._kept.pop("level")
        vars(self._logger).update(self._kept)
        self._logger.setLevel(level)
        if error is None and bool(self.records) is self._none:
            raise AssertionError(f"messages: {self.output}")


class _Case:
    """Stand in for `unittest.TestCase`, without the assertions, which become plain Python."""

    maxDiff, longMessage = 640, True
    failureException = AssertionError
    _testMethodName = _cleanups = None

    def id(self) -> str:
        """Name the test."""
        return f"__main__.{type(self).__qualname__}.{self._testMethodName}"

    def __str__(self) -> str:
        """Name the test as unittest does."""
        return f"{self._testMethodName} ({self.id()})"

    def shortDescription(self) -> str | None:
        """Return the first line of the test's docstring."""
        text = getattr(self, str(self._testMethodName)).__doc__
        return text.strip().split("\n")[0].strip() if text else None

    def addCleanup(self, function: Callable[..., object], /, *given: Any, **named: Any) -> None:
        """Have a function called after the test."""
        vars(self).setdefault("_cleanups", []).append(lambda: function(*given, **named))

    def doCleanups(self) -> None:
        """Call these functions, the last one first."""
        while steps := vars(self).get("_cleanups"):
            steps.pop()()

    def enterContext(self, context: Any) -> Any:
        """Enter a context until the test has ended."""
        given = type(context).__enter__(context)
        self.addCleanup(type(context).__exit__, context, None, None, None)
        return given

    def subTest(self, *_given: Any, **_named: Any) -> Any:
        """Stand in for a part of a test."""
        return contextlib.nullcontext()

    def assertRaises(self, expected: Any, *called: Any, **named: Any) -> Any:
        """Expect an exception; see `_Raises`."""
        named.pop("msg", None)
        return _CaseRaises(expected, *called, **named)

    def assertRaisesRegex(self, expected: Any, pattern: Any, *called: Any, **named: Any) -> Any:
        """Expect an exception with a text; see `_Raises`."""
        return _called(_CaseRaises(expected, match=pattern), *called, **named)

    def assertWarns(self, expected: Any, *called: Any, **named: Any) -> Any:
        """Expect a warning; see `_Warns`."""
        return _called(_CaseWarns(expected), *called, **named)

    def assertWarnsRegex(self, expected: Any, pattern: Any, *called: Any, **named: Any) -> Any:
        """Expect a warning with a text; see `_Warns`."""
        return _called(_CaseWarns(expected, match=pattern), *called, **named)

    def assertLogs(self, logger: Any = None, level: Any = None) -> Any:
        """Expect messages; see `_Logs`."""
        return _Logs(logger, level)

    def assertNoLogs(self, logger: Any = None, level: Any = None) -> Any:
        """Expect no messages; see `_Logs`."""
        return _Logs(logger, level, none=True)


class _CheckingCase(_Case):
    """Stand in for a `unittest.TestCase` whose assertions are used as values; `stand_ins` adds most of them."""

    def fail(self, msg: Any = None) -> None:
        """Fail."""
        raise AssertionError(msg)

    def assertAlmostEqual(
        self, first: Any, second: Any, places: Any = None, msg: Any = None, delta: Any = None
    ) -> None:
        """Expect close numbers."""
        assert _close(first, second, places, delta), msg

    def assertNotAlmostEqual(
        self, first: Any, second: Any, places: Any = None, msg: Any = None, delta: Any = None
    ) -> None:
        """Expect numbers that are not close."""
        assert not _close(first, second, places, delta), msg


def _close(first: Any, second: Any, places: Any, delta: Any) -> Any:
    if first == second:
        return True
    if delta is not None:
        return abs(first - second) <= delta
    return round(abs(first - second), 7 if places is None else places) == 0


def _called(context: Any, *called: Any, **named: Any) -> Any:
    named.pop("msg", None)
    if not called:
        return context
    with context:
        called[0](*called[1:], **named)
    return None
