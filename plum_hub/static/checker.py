"""`check`: syntax first, then mypy over thousands of programs at once, each in child processes with limits."""

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from plum_hub.errors import StaticCheckError
from plum_hub.static.cache import copy_cache, mypy_arguments, seed_cache

DROP_CODES = frozenset({"name-defined", "call-arg", "used-before-def", "str-format"})
"""The mypy error codes for which a program may be rejected without running it. Mypy's own `syntax` is not among them:
what compiles and still has it is an annotation such as `-> (int, int)`, which runs well."""

NOT_CHECKED = "not-checked"
"""The code of the one entry in the errors of a program that mypy could not check: too slow, too large, or it crashed
mypy. Such a program is `ok` here, and judged by running it."""

_BATCH = 2000  # programs a process: start-up is paid once, memory stays near 1 GiB
_SMALL = 250  # below this a second process costs more than it saves
_PARTS = 16  # a batch that breaks mypy is divided so
_MEMORY = 3 << 30  # bytes, one mypy process
_CHILD = Path(__file__).with_name("child.py")
_BY_ITS_SOURCE = (-signal.SIGVTALRM, -signal.SIGSEGV, -signal.SIGABRT)
"""How a compiler ends for want of the time, the stack or the memory that it has for one program (see child.py)."""


@dataclass(frozen=True)
class StaticError:
    """One error: mypy's code or `syntax`, the line it is on (0 where there is none), and what is said of it."""

    code: str
    line: int
    message: str


@dataclass(frozen=True)
class Finding:
    """What was found about one program. `errors` holds only those of the codes asked for."""

    status: Literal["ok", "syntax_error", "static_error"]
    errors: tuple[StaticError, ...] = ()


def checker_version(codes: frozenset[str] = DROP_CODES) -> str:
    """Names everything a finding depends on beside the source; part of every verdict's id."""
    rules = json.dumps([sorted(codes), mypy_arguments()])
    return f"mypy-{version('mypy')}/python-{platform.python_version()}/{hashlib.sha256(rules.encode()).hexdigest()[:8]}"


def known_codes() -> frozenset[str]:
    """The codes that mypy reports, by its own list, without those that it leaves out unless each is asked for (it is
    not asked here). A code outside these never makes a `static_error`."""
    from mypy.errorcodes import error_codes  # needs nothing else of mypy

    return frozenset(code for code, about in error_codes.items() if about.default_enabled)


def check(sources: Mapping[str, str], codes: frozenset[str] = DROP_CODES) -> dict[str, Finding]:
    """Check many programs at once; nothing of them is executed.

    Args:
        sources: source code by id.
        codes: the mypy error codes that make a `static_error`, of `known_codes()`; with none, mypy is not run.

    Returns:
        A finding for each id.

    Raises:
        StaticCheckError: the check does not run on this machine, or there is no room for its files.
    """
    if not sources:
        return {}
    workers = min(len(os.sched_getaffinity(0)), 8)
    size = max(_SMALL, min(_BATCH, -(-len(sources) // workers)))
    items = list(sources.items())
    batches = [dict(items[start : start + size]) for start in range(0, len(items), size)]
    try:
        cache = seed_cache(lambda arguments, folder: _run_mypy(arguments, folder, cpu_seconds=120)) if codes else None
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda batch: _check_batch(batch, codes, cache), batches))
    except OSError as error:
        raise StaticCheckError(f"no room for the static check: {error}; free some space or set TMPDIR") from error
    return {key: finding for batch in found for key, finding in batch.items()}


def _check_batch(sources: Mapping[str, str], codes: frozenset[str], cache: Path | None) -> dict[str, Finding]:
    with tempfile.TemporaryDirectory(prefix="plum-static-") as name:
        folder = Path(name)
        keys = {f"_plum_sample_{index:05}": key for index, key in enumerate(sources)}
        found = {module: _syntax_finding(line, message) for module, line, message in _compile(keys, sources, folder)}
        whole = [module for module in keys if found[module].status == "ok"]
        for module, errors in _type_errors(whole, folder, cache) if cache is not None else ():
            kept = tuple(error for error in errors if error.code in codes)
            found[module] = Finding("static_error", kept) if kept else Finding("ok", _unchecked(errors))
        return {key: found[module] for module, key in keys.items()}


def _syntax_finding(line: int, message: str) -> Finding:
    return Finding("syntax_error", (StaticError("syntax", line, message),)) if message else Finding("ok")


def _unchecked(errors: Sequence[StaticError]) -> tuple[StaticError, ...]:
    return tuple(error for error in errors if error.code == NOT_CHECKED)


def _compile(keys: dict[str, str], sources: Mapping[str, str], folder: Path) -> Iterator[tuple[str, int, str]]:
    """Module, line and message of each program; the message is empty where it compiles. A program that kills the
    compiler is noted, and the next process goes on behind it. A compiler that ends in any other way says nothing about
    the program: that one is compiled once more, alone in its process."""
    owed = {module: sources[key] for module, key in keys.items()}
    again = ""
    while owed:
        sent = {again: owed[again]} if again else dict(owed)
        (folder / "sources.json").write_text(json.dumps(sent))
        child = _child(["syntax", str(folder)], folder, wall_seconds=600.0)
        for line in child.stdout.splitlines():
            module, number, message = json.loads(line)
            del owed[module], sent[module]
            yield module, number, message
        stopped_at = next(iter(sent), "")
        if stopped_at and child.returncode in _BY_ITS_SOURCE:
            del owed[stopped_at]
            yield stopped_at, 0, f"the compiler stopped at it (status {child.returncode})"
            stopped_at = ""
        if stopped_at and stopped_at == again:
            raise _stopped(keys[stopped_at], child)
        again = stopped_at


def _type_errors(modules: list[str], folder: Path, cache: Path) -> Iterator[tuple[str, list[StaticError]]]:
    """What mypy says about each module, all in one process; where that breaks, in ever smaller groups."""
    if not modules:
        return
    copy_cache(cache, folder / "cache")  # afresh each time: a process that was stopped may have left half a write
    result = _run_mypy([f"{module}.py" for module in modules], folder, cpu_seconds=5 + len(modules) // 50)
    if isinstance(result, str):
        if len(modules) == 1:
            _prove_mypy(folder)
            yield modules[0], [StaticError(NOT_CHECKED, 0, result)]
            return
        step = -(-len(modules) // _PARTS)
        for start in range(0, len(modules), step):
            yield from _type_errors(modules[start : start + step], folder, cache)
        return
    errors: dict[str, list[StaticError]] = {module: [] for module in modules}
    for entry in result:
        if entry["severity"] == "error" and (module := Path(entry["file"]).stem) in errors:
            errors[module].append(StaticError(entry["code"] or "misc", entry["line"], entry["message"]))
    yield from errors.items()


def _prove_mypy(folder: Path) -> None:
    """Before a program is said to break mypy, mypy must run without it."""
    (folder / "_plum_control.py").write_text("x: int = 1\n")
    if isinstance(result := _run_mypy(["_plum_control.py"], folder, cpu_seconds=60), str):
        raise _broken(result)


def _run_mypy(files: Sequence[str], folder: Path, cpu_seconds: int) -> list[dict[str, Any]] | str:
    """The messages of a run that came to its end; else, in words, how it ended."""
    arguments = ["mypy", str(_MEMORY), str(cpu_seconds), *mypy_arguments(), "--cache-dir", "cache", *files]
    child = _child(arguments, folder, wall_seconds=60.0 + 10.0 * cpu_seconds)
    try:
        result = json.loads(child.stdout)
    except ValueError:
        return f"mypy ended with status {child.returncode}: {child.stderr.strip()[-300:]}"
    if result["status"] not in (0, 1):
        return f"mypy gave up: {(result['err'] or result['out']).strip()[-300:]}"
    return [json.loads(line) for line in result["out"].splitlines() if line.startswith("{")]


def _child(arguments: list[str], folder: Path, wall_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run the child program in the folder with an empty environment; one that is stopped has status -9."""
    command = [sys.executable, "-I", str(_CHILD), *arguments]
    try:
        return subprocess.run(
            command, cwd=folder, env={"PYTHONDONTWRITEBYTECODE": "1"}, stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", errors="replace", timeout=wall_seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        seen = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return subprocess.CompletedProcess(command, -9, seen, f"no end after {wall_seconds:.0f} s")


def _stopped(key: str, child: subprocess.CompletedProcess[str]) -> StaticCheckError:
    how = f"status {child.returncode}: {child.stderr.strip()[-300:]}".rstrip(": ")
    return StaticCheckError(
        f"the compiler was stopped twice at program {key!r}, and not by the program ({how}); "
        "free some memory and space, and run the same command again"
    )


def _broken(detail: str) -> StaticCheckError:
    detail = detail.strip()[-300:]
    return StaticCheckError(f"the static check does not run here: {detail}; try  pip install --force-reinstall mypy")
