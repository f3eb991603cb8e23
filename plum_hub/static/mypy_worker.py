"""Worker process that compiles programs and type-checks them with mypy, without executing them.

It is started by its path and imports nothing of plum-hub:

    mypy_worker.py                        compile only
    mypy_worker.py CODES ARGUMENT...      also run mypy with these arguments; report errors of CODES (CODE,CODE...)

The current directory is mypy's cache; an empty one is filled with the types of the standard library first.

Protocol: each line of standard input is a batch, a JSON list of sources. For each source one line of standard output
holds `[number, status, errors]` as JSON, in any order, where `status` is one of

    checked    it compiles; `errors` are mypy's
    syntax     it does not compile
    stopped    mypy refused it, crashed at it, or ran out of time or memory
    killed     the check was killed twice at it from outside

and an error is `[code, line, message]`. `[]` ends the batch.

This process imports mypy once and never sees a program: forks of it do the work and are thrown away.
"""

import ast
import gc
import io
import json
import mmap
import os
import re
import resource
import signal
import sys
import tokenize
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

Errors: TypeAlias = list[tuple[str, int, str]]
"""Code, line (0 where there is none) and message of each error."""
Found: TypeAlias = list[tuple[str, Errors]]
"""Status and errors of each program of a batch."""

Span: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Line and column of the first character of a part of a program, and of the one behind its last."""
Excuses: TypeAlias = tuple[list[Span], set[Span]]
"""Annotations, or parts of them, that Python never evaluates, and calls of a class that mypy cannot know."""

_STEERS = re.compile(r"(?:type|mypy|coding)\s*[:=]")
_LINE_THAT_STEERS = re.compile(r"^# mypy:", re.MULTILINE)
_SYNTAX_SECONDS = 5.0  # CPU time to compile one program
_TYPES_SECONDS = 3.0  # CPU time of one mypy run, which starts in 0.07 s
_TYPES_SECONDS_EACH = 0.01  # more for each program of the run; an ordinary one takes 1 ms
_PARTS = 8  # into which a batch is split at which mypy failed, to find the program that is to blame
_MEMORY = 2 << 30  # bytes of address space, some 0.2 GiB of them mypy's own
_MAX_ERRORS = 50  # reported errors of one program
_MAX_MESSAGE = 500  # characters
_RECURSION = 1000  # Python's default: mypy raises it, and the compiler counts by it
_LIMIT_SIGNALS = (-signal.SIGPROF, -signal.SIGSEGV, -signal.SIGABRT)
"""Exit codes of a fork that ran out of CPU time, stack or memory."""
_UNSEEN, _COMPILED, _REFUSED = 0, 1, 2
_ENUMERATIONS = frozenset({"Enum", "IntEnum", "StrEnum", "ReprEnum", "Flag", "IntFlag"})


def _serve(find_errors: Callable[[Sequence[str]], Found] | None) -> None:
    """Answer batches until standard input ends."""
    for line in sys.stdin:
        sources = json.loads(line)
        compiled = _compiled(sources)
        if find_errors and compiled:
            _check_types(compiled, sources, find_errors)
        else:
            _write([number, "checked", []] for number in compiled)
        _write([[]])


def _compiled(sources: Sequence[str]) -> list[int]:
    """Compile a batch, report what does not compile, and return the numbers of the other programs.

    A fork marks each program in shared memory when it is done with it, so the first unmarked one is where it stopped.
    """
    marks = memoryview(mmap.mmap(-1, len(sources) + 1)).cast("B")
    killed_at = -1
    while (first := bytes(marks).index(_UNSEEN)) < len(sources):
        status = _fork(partial(_compile, sources, first, marks))
        if (number := bytes(marks).index(_UNSEEN)) == len(sources):
            break
        if status in _LIMIT_SIGNALS or killed_at == number:
            how = "syntax" if status in _LIMIT_SIGNALS else "killed"
            _write([[number, how, [("", 0, f"the compiler ended at it with status {status}")]]])
            marks[number] = _REFUSED
        killed_at = number
    return [number for number in range(len(sources)) if marks[number] == _COMPILED]


def _compile(sources: Sequence[str], first: int, marks: memoryview) -> None:
    sys.setrecursionlimit(_RECURSION)
    for number in range(first, len(sources)):
        signal.setitimer(signal.ITIMER_PROF, _SYNTAX_SECONDS)  # its signal ends the process, even inside compile()
        errors = _syntax_error(sources[number])
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        if errors:
            _write([[number, "syntax", errors]])
        marks[number] = _REFUSED if errors else _COMPILED


def _syntax_error(source: str) -> Errors:
    try:
        compile(source, "program.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return [("syntax", error.lineno or 0, error.msg[:_MAX_MESSAGE])]
    except (ValueError, MemoryError, RecursionError, OverflowError) as error:
        return [("syntax", 0, f"{type(error).__name__}: {error}"[:_MAX_MESSAGE])]
    return []


def _check_types(numbers: Sequence[int], sources: Sequence[str], find_errors: Callable[[Sequence[str]], Found]) -> None:
    """Run mypy over these programs and report each.

    Where the run does not end well, its parts are tried one by one, so that only the program to blame is `stopped`.
    """

    def report() -> None:
        signal.setitimer(signal.ITIMER_PROF, _TYPES_SECONDS + len(numbers) * _TYPES_SECONDS_EACH)
        found = find_errors([sources[number] for number in numbers])
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        _write([number, *one] for number, one in zip(numbers, found, strict=True))

    for _ in range(2):  # once more after a kill from outside
        status = _fork(report)
        if killed := status < 0 and status not in _LIMIT_SIGNALS:
            continue
        break
    if status and (killed or len(numbers) == 1):
        error = ("", 0, f"mypy ended at it with status {status}")
        _write([number, "killed" if killed else "stopped", [error]] for number in numbers)
    elif status:
        size = -(-len(numbers) // _PARTS)
        for start in range(0, len(numbers), size):
            _check_types(numbers[start : start + size], sources, find_errors)


def _fork(work: Callable[[], None]) -> int:
    """Do the work in a child; return its exit code, negative for a signal."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        sys.stdout = sys.stderr = io.StringIO()  # mypy prints when it crashes
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        work()
        status = 0
    finally:
        os._exit(status)


def _write(answers: Iterable[Sequence[object]]) -> None:
    assert sys.__stdout__
    sys.__stdout__.write("".join(json.dumps(answer) + "\n" for answer in answers))
    sys.__stdout__.flush()


def _without_steering_comments(source: str) -> str:
    """Blank `# type: ignore`, `# mypy: ...` and encoding lines, so that a program does not configure its own check.

    Raises:
        tokenize.TokenError, SyntaxError: Python's tokenizer refuses what its compiler accepts.
    """
    if not _STEERS.search(source):
        return source
    source = _LINE_THAT_STEERS.sub("#-mypy:", source)  # mypy takes these inside of strings, too
    lines = list(io.StringIO(source, newline=""))
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.type == tokenize.COMMENT and _STEERS.search(token.string):
            row, start = token.start
            lines[row - 1] = lines[row - 1][:start] + lines[row - 1][token.end[1] :]
    return "".join(lines)


def _mypy(codes: set[str], arguments: list[str]) -> Callable[[Sequence[str]], Found]:
    """Import mypy, fill an empty cache, and return the function that checks a batch.

    Each program is a module with an unguessable name, so none can import another, and a path without a file, so mypy
    reads the cache and writes nothing of a program into it.
    """
    from mypy import build, errors, main, modulefinder

    _, options = main.process_options([*arguments, "-c", ""])
    prefix = f"_plum_{os.urandom(8).hex()}_"

    def find_errors(sources: Sequence[str], codes: set[str] = codes) -> Found:
        names = [f"{prefix}{number}" for number in range(len(sources))]
        texts = {name: _without_steering_comments(source) for name, source in zip(names, sources, strict=True)}
        found: dict[str, tuple[str, Errors]] = {}
        reported: list[str] = []
        while texts:
            given = [modulefinder.BuildSource(f"{name}.py", name, text) for name, text in texts.items()]
            reported.clear()
            try:
                build.build(given, options, flush_errors=lambda _file, lines, _serious: reported.extend(lines))
                break
            except errors.CompileError as error:  # of one module, and it ends the run for all
                blocker = str(error.module_with_blocker)
                del texts[blocker]
                found[blocker] = ("stopped", [("", 0, "mypy cannot analyse it, as with a relative import")])
        found |= {name: ("checked", []) for name in texts}
        excused: dict[str, Excuses] = {}
        for entry in map(json.loads, reported):
            if entry["severity"] == "error" and entry["code"] in codes:
                name = entry["file"].removesuffix(".py")
                if name not in excused:
                    excused[name] = _excuses(texts[name])
                if _is_excused(entry, *excused[name]):
                    continue
                message = entry["message"].replace(f"{name}.", "")[:_MAX_MESSAGE]
                found[name][1].append((entry["code"], entry["line"], message))
        return [(status, several[:_MAX_ERRORS]) for status, several in map(found.__getitem__, names)]

    seed = "" if any(Path().iterdir()) else _imports(Path(main.__file__).with_name("typeshed"))
    _, (_, reported) = find_errors([seed, "print(missing)\n"], {"name-defined"})
    if not reported:
        raise SystemExit("mypy reports nothing about an undefined name")
    return find_errors


def _excuses(source: str) -> Excuses:
    """Find where mypy reports what does not go wrong.

    Python evaluates no annotation in quotes, of a function's variable, or behind `from __future__ import annotations`.
    `cls(...)`, `type(self)(...)` and `super().f(...)` may call a class that mypy takes for its base. The call of an
    enumeration looks a member up, or makes a new enumeration: its `__init__` gets other arguments.
    """
    unread: list[Span] = []
    calls: set[Span] = set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return unread, calls
    enumerations = _enumerations(tree)
    futures = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__")
    is_lazy = any(alias.name == "annotations" for node in futures for alias in node.names)
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, is_local = pending.pop()
        match node:
            case ast.Call(
                func=ast.Name(id="cls")
                | ast.Call(func=ast.Name(id="type"), args=[_])
                | ast.Attribute(attr="__class__")
                | ast.Attribute(value=ast.Call(func=ast.Name(id="super")))
            ):
                calls.add(_span(node))
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in enumerations:
                calls.add(_span(node))
            case ast.AnnAssign(annotation=annotation, simple=simple):
                unread += _unread(annotation, is_lazy or (is_local and bool(simple)))
            case ast.arg(annotation=ast.expr() as annotation) | ast.FunctionDef(returns=ast.expr() as annotation):
                unread += _unread(annotation, is_lazy)
            case ast.AsyncFunctionDef(returns=ast.expr() as annotation):
                unread += _unread(annotation, is_lazy)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_local = not isinstance(node, ast.ClassDef)
        pending += [(child, is_local) for child in ast.iter_child_nodes(node)]
    return unread, calls


def _enumerations(tree: ast.AST) -> set[str]:
    """Return the names of a program's classes that extend one of the module `enum`."""
    nodes = list(ast.walk(tree))
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "enum")
    given = {alias.asname or alias.name for node in imports for alias in node.names}
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                match base:
                    case ast.Name(id=name) if name in given | found or ("*" in given and name in _ENUMERATIONS):
                        found.add(node.name)
                    case ast.Attribute(attr=name) if name in _ENUMERATIONS:
                        found.add(node.name)
    return found


def _unread(annotation: ast.expr, is_lazy: bool) -> list[Span]:
    """Return what Python does not evaluate of an annotation."""
    if is_lazy:
        return [_span(annotation)]
    return [_span(node) for node in ast.walk(annotation) if isinstance(node, ast.Constant)]


def _span(node: ast.expr) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or 0)


def _is_excused(entry: dict[str, Any], unread: list[Span], calls: set[Span]) -> bool:
    span = (entry["line"], entry["column"]), (entry["end_line"], entry["end_column"])
    if entry["code"] == "call-arg":
        return span in calls
    return entry["code"] == "name-defined" and any(first <= span[0] and span[1] <= end for first, end in unread)


def _imports(typeshed: Path) -> str:
    """Return a program that imports all that mypy has types of; it ignores what this Python has not."""
    roots = [typeshed / "stdlib", *typeshed.glob("stubs/*")]
    paths = sorted(path.relative_to(root) for root in roots for path in root.rglob("*.pyi"))
    return "".join(f"import {'.'.join(path.with_suffix('').parts).removesuffix('.__init__')}\n" for path in paths)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr
    find_errors = _mypy(set(sys.argv[1].split(",")), sys.argv[2:]) if sys.argv[1:] else None
    gc.disable()  # a fork is short: collecting would cost more than it frees, and copy the pages that forks share
    gc.freeze()
    _serve(find_errors)
