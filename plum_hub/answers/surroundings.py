"""Name what a suite takes from outside its program: random numbers, the clock, the machine, the order of sets.

Nothing is executed. A suite whose result rests on what no sandbox can vary is refused at once (`fixed_source`). For
everything else the proof decides: the reference runs again in other surroundings (`execution.base.Program.elsewhere`)
behind code that changes the rest (`elsewhere`), and if it then gives another result, `varying_sources` names the cause.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from plum_hub.answers.source import DefinitionNode, is_future, parse
from plum_hub.records import TestCase

REPEATS = 3
"""Further runs of a reference that draws random numbers or starts threads: chance may repeat itself once."""

_NETWORK = (
    "aiohttp", "ftplib", "http.client", "http.server", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket",
    "socketserver", "telnetlib", "urllib.request", "urllib3", "websockets", "xmlrpc", "asyncio.open_connection",
    "asyncio.start_server", "ssl.get_server_certificate",
)  # fmt: skip
_OFFLINE = re.compile(
    r"socket\.(?:inet_\w+|[hn]to[hn][sl]|gethostname)|requests\.(?:\w*Error|\w*Exception|exceptions\..*|Timeout)"
)
"""What modules of the network do without it."""
_LOCALE = (
    "locale.setlocale", "locale.getlocale", "locale.getdefaultlocale", "locale.getpreferredencoding", "locale.currency",
    "locale.localeconv", "locale.nl_langinfo",
)  # fmt: skip
_OPENS = ("open", "io.open", "os.open", "os.listdir", "os.scandir", "os.stat", "os.walk", "pathlib.Path")
_SCRATCH = ("/tmp", "/dev/")
_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]{6,}")
_CLOCK = (
    "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "datetime.date.today", "time.time",
    "time.time_ns", "time.ctime", "time.localtime", "time.gmtime", "time.strftime", "time.asctime",
)  # fmt: skip
_ARGUMENTS_FOR_NOW = {"time.ctime": 0, "time.localtime": 0, "time.gmtime": 0, "time.asctime": 0, "time.strftime": 1}
"""Most arguments with which a function reads the clock."""
_HOST = {
    "os.cpu_count": "7", "multiprocessing.cpu_count": "7", "os.getppid": "99990",
    "os.getlogin": "'elsewhere'", "getpass.getuser": "'elsewhere'", "socket.gethostname": "'elsewhere'",
    "platform.system": "'Elsewhere'", "platform.machine": "'elsewhere'", "platform.node": "'elsewhere'",
    "platform.platform": "'Elsewhere-1.0'", "platform.release": "'1.0'", "platform.version": "'1'",
    "platform.processor": "'elsewhere'", "platform.python_version": "'3.99.0'", "os.getuid": "99991",
}  # fmt: skip
"""What machines differ in, with a value that hardly any has, as source: one that programs can still work with, such as
a number of threads that a sandbox allows. A process's own id stays, since it may send itself a signal.
"""
_CHANCE = ("random.", "numpy.random.", "secrets.", "os.urandom", "uuid.uuid1", "uuid.uuid4")
_NO_CHANCE = frozenset({"random.seed", "random.getstate", "random.setstate", "numpy.random.seed"})
_THREADS = ("threading.", "concurrent.futures.", "multiprocessing.", "_thread.", "queue.")
_OTHERS = (
    "sys.getrecursionlimit", "os.getpid", "os.getcwd", "os.listdir", "os.scandir", "os.walk", "os.path.abspath",
    "os.path.realpath", "os.path.expanduser", "os.path.expandvars", "glob.glob", "pathlib.Path.cwd",
    "pathlib.Path.home", "tempfile.",
    "time.perf_counter", "time.monotonic", "time.process_time", "time.mktime", "time.localtime", "time.tzname",
    "time.timezone", "datetime.datetime.fromtimestamp", "datetime.date.fromtimestamp", "sys.getrefcount",
)  # fmt: skip
_IMPURE_BUILTINS = ("id", "hash")
_SETS = "the order of a set"
_PATCHED = re.compile(r"\bpatch\b|\bmonkeypatch\b|\bMagicMock\b")

_SHIFTED_CLOCK = """
    import datetime, time
    seconds, real, original = 37_775_820, vars(time).copy(), datetime.datetime
    clock = lambda: real["time"]() + seconds
    class moved(original):
        __slots__ = ()
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(clock(), tz)
        @classmethod
        def utcnow(cls):
            return cls.fromtimestamp(clock(), datetime.timezone.utc).replace(tzinfo=None)
        def __repr__(self):
            return "datetime." * (type(self) is moved) + original.__repr__(self)
    moved.__name__ = moved.__qualname__ = moved.__module__ = "datetime"
    moved.min, moved.max = moved(1, 1, 1), moved(9999, 12, 31, 23, 59, 59, 999999)
    changes += [(datetime, "datetime", moved), (time, "time", clock)]
    changes += [(time, "time_ns", lambda: real["time_ns"]() + seconds * 10**9)]
    for name in ("ctime", "localtime", "gmtime"):
        changes += [(time, name, lambda at=None, call=real[name]: call(clock() if at is None else at))]
    local = lambda at: real["localtime"](clock()) if at is None else at
    changes += [(time, "strftime", lambda form, at=None: real["strftime"](form, local(at)))]
    changes += [(time, "asctime", lambda at=None: real["asctime"](local(at)))]
"""
"""Moves the clock by 437 days, 5 hours and 17 minutes: to another year, month, day, weekday and hour.

The class behaves as the original: same name, text and pickles, no attributes of instances, and no metaclass, which
could conflict with that of a subclass.
"""
_CHANGED = """
def __elsewhere__():
    import sys, types
    changes = []
{changes}
    def apply():
        for change in changes:
            setattr(*change)
    apply()
    sys.modules["__elsewhere__"] = types.ModuleType("__elsewhere__")
    sys.modules["__elsewhere__"].apply = apply
__elsewhere__()
del __elsewhere__
"""
_CHANGED_AGAIN = "__import__('__elsewhere__').apply()\n"
"""Begins each statement: the sandbox restores the modules that a statement names, and half of a changed clock would
fail tests that compare its two halves.
"""
_FILE_TIMES = re.compile(r"\bst_[amc]time|\bget[amc]time\b|\butime\b")
"""Times that files have by a clock that cannot be moved: the other must stay where it is, or new files would be old."""


class _Use(NamedTuple):
    """One use of a name: its whole dotted name, and the call if it is called."""

    name: str
    call: ast.Call | None


def fixed_source(reference: str, cases: Iterable[TestCase]) -> str | None:
    """Name what the result of a suite rests on that no sandbox can vary.

    Tests that replace what they use (`unittest.mock.patch`) are left to the proof.

    Args:
        reference: The reference solution; "" for none.
        cases: The cases.

    Returns:
        The source, such as `socket.create_connection`, `the file /etc/passwd` or `a memory address`; None if there is
        none.
    """
    tests = list(cases)
    texts = [text for case in tests for text in (case.statement, case.call, case.expected, case.stdout) if text]
    if any(map(_ADDRESS.search, texts)):
        return "a memory address"
    if any("RecursionError" in text for text in texts):
        return "the recursion depth"
    if any(map(_PATCHED.search, texts)):
        return None
    for use in _uses(reference, tests):
        if use.call is None:
            continue
        if _is_below(use.name, _NETWORK) and not _OFFLINE.fullmatch(use.name):
            return use.name
        if use.name in _LOCALE:
            return use.name
        if use.name in _OPENS and (path := _constant(use.call)) and _is_outside(path):
            return f"the file {path}"
    return None


def varying_sources(reference: str, cases: Iterable[TestCase]) -> tuple[str, ...]:
    """Name everything that may give a suite another result in another run.

    Args:
        reference: The reference solution; "" for none.
        cases: The cases.

    Returns:
        The sources, the likeliest first: random numbers, clock, machine and environment, threads, others, sets.
    """
    uses = _uses(reference, list(cases))
    ranks = [
        [use.name for use in uses if _is_chance(use)],
        [use.name for use in uses if _reads_clock(use)],
        [use.name for use in uses if _is_host(use)],
        [use.name for use in uses if use.name.startswith(_THREADS)],
        [use.name for use in uses if _is_other(use)],
        [_SETS for use in uses if use.name in ("set", "frozenset", "{}")],
    ]
    return tuple(dict.fromkeys(name for rank in ranks for name in rank))


def is_steady(reference: str) -> bool:
    """Tell whether the values of a reference are the same on every day and machine, whatever it is called with.

    Args:
        reference: The reference solution.

    Returns:
        True if it uses nothing of `varying_sources` but sets: their order is the same in every run of the sandbox, and
        what rests on it fails the proof.
    """
    return set(varying_sources(reference, ())) <= {_SETS}


def repeats(reference: str, cases: Iterable[TestCase]) -> int:
    """Count the further runs that a reference needs because it may pass by chance.

    Args:
        reference: The reference solution.
        cases: The cases.

    Returns:
        `REPEATS` if random numbers are drawn or threads started, else 0.
    """
    uses = _uses(reference, list(cases))
    return REPEATS if any(_is_chance(use) or use.name.startswith(_THREADS) for use in uses) else 0


def elsewhere(reference: str, cases: Iterable[TestCase], number: int) -> tuple[str, tuple[TestCase, ...]]:
    """Change what a program finds around it: the clock, what machines differ in, environment, random numbers.

    Args:
        reference: A program.
        cases: Its cases; what they use is changed as well.
        number: Seed of the random numbers.

    Returns:
        The program behind the code that makes these changes, and the cases that keep them.
    """
    tests = tuple(cases)
    uses = _uses(reference, tests)
    texts = (reference, *(case.statement or case.call or "" for case in tests))
    changes = _changes(uses, clock=not any(map(_FILE_TIMES.search, texts)))
    front = [_CHANGED.format(changes=changes).strip("\n")] if changes else []
    if any(_is_chance(use) and use.name.startswith("random.") for use in uses):
        front.append(f"__import__('random').seed({number})")
    front += [f"__import__('os').environ[{name!r}] = 'elsewhere'" for name in dict.fromkeys(_variables(uses))]
    if changes:
        tests = tuple(
            replace(case, statement=_CHANGED_AGAIN + case.statement) if case.statement else case for case in tests
        )
    return _with_front(reference, front), tests


def _changes(uses: Sequence[_Use], *, clock: bool) -> str:
    """Return code that adds to `changes` what must be set: objects, names and values."""
    parts = [_SHIFTED_CLOCK.strip("\n")] if clock and any(map(_reads_clock, uses)) else []
    for name in dict.fromkeys(use.name for use in uses if use.name in _HOST):
        module, _, function = name.rpartition(".")
        parts.append(f"    changes += [(__import__({module!r}), {function!r}, lambda *_, **__: {_HOST[name]})]")
    return "\n".join(parts)


def _with_front(reference: str, front: Sequence[str]) -> str:
    """Insert code before everything but what must come first."""
    lines = reference.split("\n")
    tree = parse(reference)
    first = [node.end_lineno or 0 for node in tree.body if _is_first(node, tree)] if tree else []
    place = max(first, default=0)
    return "\n".join([*lines[:place], *front, *lines[place:]])


def _uses(reference: str, cases: Sequence[TestCase]) -> list[_Use]:
    """Return what reference and cases use by dotted name, with imports resolved, and set displays as `{}`."""
    tree = parse(reference) or ast.Module(body=[], type_ignores=[])
    names = _imported(tree, {name: name for name in (*_IMPURE_BUILTINS, "set", "frozenset", "open")})
    found = list(_dotted(tree, names))
    for case in cases:
        test = parse(case.statement or case.call or "")
        if test is not None:
            found += _dotted(test, _imported(test, names))
    return found


def _imported(tree: ast.Module, known: dict[str, str]) -> dict[str, str]:
    """Map names to what they stand for: those known, and those imported; what the module defines stands for nothing."""
    names = dict(known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, DefinitionNode):
            names.pop(node.name, None)
    return names


def _dotted(tree: ast.AST, names: dict[str, str]) -> Iterator[_Use]:
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.SetComp):
            yield _Use("{}", None)
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner and (name := _name(node, names)):
            yield _Use(name, calls.get(id(node)))
        elif isinstance(node, ast.Subscript) and _name(node.value, names) == "os.environ":
            yield _Use("os.environ", ast.Call(func=node.value, args=[node.slice], keywords=[]))


def _name(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return ""
    return ".".join([names[node.id], *reversed(parts)])


def _is_chance(use: _Use) -> bool:
    return use.call is not None and use.name.startswith(_CHANCE) and use.name not in _NO_CHANCE


def _reads_clock(use: _Use) -> bool:
    if use.name not in _CLOCK or use.call is None:
        return False
    return len(use.call.args) <= _ARGUMENTS_FOR_NOW.get(use.name, 9)


def _is_host(use: _Use) -> bool:
    return use.name in _HOST or use.name == "os.getenv" or use.name.startswith("os.environ")


def _is_other(use: _Use) -> bool:
    return use.name.startswith(_OTHERS) or (use.name in _IMPURE_BUILTINS and use.call is not None)


def _variables(uses: Iterable[_Use]) -> Iterator[str]:
    """Yield the names of the environment variables that are read by a constant name."""
    for use in uses:
        if use.call is not None and use.name in ("os.getenv", "os.environ", "os.environ.get") and use.call.args:
            name = _constant(use.call)
            if name and "=" not in name and "\0" not in name:
                yield name


def _constant(call: ast.Call) -> str:
    """Return the first argument of a call if it is a text, else an empty one."""
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _is_outside(path: str) -> bool:
    return path.startswith("/") and not path.startswith(_SCRATCH)


def _is_below(name: str, tops: Iterable[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def _is_first(node: ast.stmt, tree: ast.Module) -> bool:
    """Whether a statement must precede all others to keep its meaning: a docstring, or an import of the future."""
    return is_future(node) or (node is tree.body[0] and ast.get_docstring(tree) is not None)
