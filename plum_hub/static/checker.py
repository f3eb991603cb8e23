"""Check thousands of programs for syntax and by mypy, in processes that stay warm between calls."""

import errno
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from queue import SimpleQueue
from typing import Literal, Self

from plum_hub.errors import StaticCheckError
from plum_hub.static.process import (
    CheckingProcess,
    CheckReply,
    ProcessEndedError,
    does_not_run,
    mypy_arguments,
    mypy_cache,
)
from plum_hub.threads import cpu_count

DROP_CODES = frozenset({"name-defined", "call-arg", "used-before-def", "str-format"})
"""mypy's error codes for which a program may be rejected before it runs. mypy's own `syntax` is not one of them: in a
program that compiles, it complains about annotations such as `-> (int, int)`, which run well."""

NOT_CHECKED = "not-checked"
"""Code of the only error of a program that mypy could not check: it was too slow or too large, or crashed mypy. Such a
program is `ok` here; running it decides."""

_EXCUSES = 2
"""Version of the rules by which errors are not reported (`mypy_worker._excuses`)."""
_BATCH = 500  # programs of one mypy run; a run costs as much as 70 programs


@dataclass(frozen=True)
class StaticError:
    """One error in a program.

    Attributes:
        code: mypy's error code, `syntax` or `NOT_CHECKED`.
        line: The line, from 1; 0 where there is none.
        message: The text of the compiler or of mypy.
    """

    code: str
    line: int
    message: str


@dataclass(frozen=True)
class CheckResult:
    """The static check of one program.

    Attributes:
        status: `ok`, `syntax_error` (Python does not compile it) or `static_error` (mypy reports a code asked for).
        errors: The errors with the codes asked for, at most 50.
    """

    status: Literal["ok", "syntax_error", "static_error"]
    errors: tuple[StaticError, ...] = ()


def checker_version(codes: frozenset[str] = DROP_CODES) -> str:
    """Return a name for everything but the source that a result depends on; it is part of every verdict's id.

    Args:
        codes: mypy's error codes that are asked for.
    """
    rules = json.dumps([sorted(codes), mypy_arguments(), _EXCUSES])
    return f"mypy-{version('mypy')}/python-{platform.python_version()}/{hashlib.sha256(rules.encode()).hexdigest()[:8]}"


def known_codes() -> frozenset[str]:
    """Return mypy's error codes, without those that are off by default: they never make a `static_error`."""
    from mypy.errorcodes import error_codes  # needs nothing else of mypy

    return frozenset(code for code, about in error_codes.items() if about.default_enabled)


def check(sources: Mapping[str, str], codes: frozenset[str] = DROP_CODES) -> dict[str, CheckResult]:
    """Check programs once. For call after call keep a `Checker`, which has mypy loaded.

    Args:
        sources: The programs by any key.
        codes: mypy's error codes that make a `static_error`; with none, mypy does not run.

    Returns:
        A result for each key, in the same order.

    Raises:
        StaticCheckError: The check does not run on this machine, or there is no room for its files.
    """
    if not sources:
        return {}
    with Checker(codes, workers=min(_cores(), -(-len(sources) // _BATCH))) as checker:
        return checker.check(sources)


class Checker:
    """Checks programs for syntax and by mypy, without executing them. A context manager.

    Args:
        codes: mypy's error codes, of `known_codes()`, that make a `static_error`; with none, mypy does not run.
        workers: Number of checking processes, some 0.1 GiB each. Default: one a core, at most 8.

    Raises:
        StaticCheckError: The check does not run on this machine, or there is no room for its files.
    """

    def __init__(self, codes: frozenset[str] = DROP_CODES, workers: int | None = None) -> None:
        self._codes = codes
        self._workers = workers or _cores()
        self._idle: SimpleQueue[CheckingProcess] = SimpleQueue()
        with _room_needed("PLUM_HUB_HOME"):
            self._cache = mypy_cache() if codes else None
        try:
            for _ in range(self._workers):
                self._idle.put(self._start())
        except StaticCheckError:
            self.close()
            raise

    def check(self, sources: Mapping[str, str]) -> dict[str, CheckResult]:
        """Check programs.

        Args:
            sources: The programs by any key.

        Returns:
            A result for each key, in the same order.

        Raises:
            StaticCheckError: The check does not run, or is killed from outside; never because of a program.
        """
        items = list(sources.items())
        size = max(1, min(_BATCH, -(-len(items) // self._workers)))
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        with ThreadPoolExecutor(self._workers) as pool:
            return {key: result for found in pool.map(self._check_batch, batches) for key, result in found.items()}

    def _check_batch(self, batch: list[tuple[str, str]]) -> dict[str, CheckResult]:
        replies = self._replies([source for _, source in batch])
        return {key: _result(key, reply) for (key, _), reply in zip(batch, replies, strict=True)}

    def _replies(self, sources: list[str]) -> list[CheckReply]:
        """Check a batch in the next idle process; replace the process and try once more if it dies."""
        process = self._idle.get()
        try:
            return process.answers(sources)
        except ProcessEndedError:
            process.close()
            process = self._start()
            try:
                return process.answers(sources)
            except ProcessEndedError as error:
                raise does_not_run(error) from error
        finally:
            self._idle.put(process)

    def _start(self) -> CheckingProcess:
        with _room_needed("TMPDIR"):
            return CheckingProcess(self._codes, self._cache)

    def close(self) -> None:
        """End the processes."""
        while not self._idle.empty():
            self._idle.get().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _room_needed(variable: str) -> Iterator[None]:
    """Turn a failure to write into an error that names the variable which says where."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = f"{'free some space, or ' if is_full else ''}set {variable} to another folder"
        raise StaticCheckError(f"the static check cannot write its files: {error}; {mend}") from error


def _cores() -> int:
    return min(cpu_count(), 8)


def _result(key: str, reply: CheckReply) -> CheckResult:
    errors = tuple(StaticError(*error) for error in reply.errors)
    if reply.status == "killed":
        raise StaticCheckError(
            f"the static check was killed twice at program {key!r}, and not by the program: {errors[0].message}; "
            "free some memory and space, and run the same command again"
        )
    if reply.status == "stopped":
        return CheckResult("ok", (StaticError(NOT_CHECKED, 0, errors[0].message),))
    if reply.status == "syntax":
        return CheckResult("syntax_error", tuple(StaticError("syntax", error.line, error.message) for error in errors))
    return CheckResult("static_error" if errors else "ok", errors)
