"""What happens in a program's own process, between the fork and its end.

The program can read and change nearly everything here, so nothing reported from here is believed without proof:

- For a call, the program only sees the expression; the judge, outside, holds the expected value. Lying about a value
  gains nothing.
- The steps of a statement that was taken apart are such calls, and statements that decide nothing.
- Any other statement can only be judged here. Its success is proved by a random token from the zygote, written once the
  statement has completed, and not if it raises. Only C iterators hold the tokens, the buffer and the order of events:
  no Python frame of ours is below a statement but `run`, whose locals are empty, and the garbage collector's queries
  are removed (see `internals.py`). Before each statement, the builtins and the modules that it names are restored.
"""

import __future__

import ast
import builtins
import io
import linecache
import marshal
import mmap
import operator
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from typing import Any, NamedTuple, TypeAlias

from plum_hub.execution import trusted
from plum_hub.execution.leaving import end_interpreter, leave_fork
from plum_hub.execution.reserved import RESERVED, reserved
from plum_hub.execution.values import MAX_ALL_BYTES, TooLargeValueError, UnsupportedValueError, encode, name_of
from plum_hub.execution.wire import (
    COMPILED,
    DONE,
    FRAME,
    KINDS,
    LOADED,
    NO_ROOM,
    NOT_LOADED,
    OUT_OF_MEMORY,
    RAISED,
    TOKEN,
    TOKEN_BYTES,
    TOO_LARGE,
    UNSUPPORTED,
    VALUE,
)  # fmt: skip

RESULTS = 256
"""Offset of the results in the buffer."""
RESULT_BYTES = MAX_ALL_BYTES + (4 << 20)
"""Size of the buffer, for all results of a run and frames without a value; pages are allocated as they are written."""


class PlainCall(NamedTuple):
    """A call whose arguments are values: `name(*arguments)`, perhaps with a CPU limit of its own, in seconds."""

    name: str
    cpu_seconds: float | None
    arguments: list[Any]


Sources: TypeAlias = tuple[tuple[str, str | PlainCall], ...]
"""Cases as received: kind (`call`, `statement`, or `step` for a statement that decides nothing) and source, or `plain`
and the call.
"""
_STATEMENTS = ("statement", "step")


class CompiledCases(NamedTuple):
    """Compiled cases. In place of a code object there can be the result frame that says why it did not compile."""

    calls: tuple[types.CodeType | PlainCall | bytes, ...]
    groups: tuple[int | tuple[types.CodeType | bytes, tuple[trusted.Module, ...]], ...]
    """In order: a number of calls, or one statement with the modules that it names."""


Modules: TypeAlias = tuple[types.ModuleType, types.ModuleType]
"""The module that a program becomes, and its own copy of the builtins, so that changes stay with it."""

_PRISTINE = tuple(vars(builtins).items())
_DETAIL = 200
_LONGEST_MESSAGE = 10_000
_BASES = vars(type)["__mro__"]
_COMPILED = (FRAME.pack(COMPILED, 0),)
_GUARD: Any = ast.parse(
    f"try: pass\nexcept {reserved('BaseException')} as __error__:\n    __note__(__error__)\n"
    f"    raise {reserved('StopIteration')} from None\nelse: __note__(None)"
).body[0]
"""Wrapped around every statement; `__note__` is told how it ends. A `StopIteration` ends a C iterator without an error,
before it yields anything.
"""


def _new_modules() -> Modules:
    module, own_builtins = types.ModuleType("solution"), types.ModuleType("builtins")
    vars(own_builtins).update(_PRISTINE)
    vars(module).update(__builtins__=own_builtins, __file__="solution.py")
    return module, own_builtins


class _Lines:
    """The program's entry of `linecache.cache`. Tracebacks and `inspect` read it; its lines are made when one does."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[object]:
        return iter((len(_SOURCE[0]), None, io.StringIO(_SOURCE[0], newline=None).readlines(), "<program>"))

    def __getitem__(self, place: int) -> object:
        return tuple(self)[place]


_SOURCE = [""]
"""The program's source."""
vars(linecache)["cache"].update(dict.fromkeys(("<program>", "solution.py", "program.py"), _Lines()))

# Made before the fork: touching every builtin once copies many pages.
_MODULES, _CALLS_BUILTINS = _new_modules(), dict(_PRISTINE)
_SPARE_BUILTINS: list[dict[str, Any]] = []
"""Builtins for statements, one copy each, made before the program starts."""

_TYPICAL = """
import collections, functools, heapq, itertools, math, re, string
from collections import Counter, defaultdict
from typing import Any, Dict, List, Optional, Set, Tuple, Union
class Thing:
    def __init__(self, name: str, size: int = 0) -> None:
        self.name, self.size = name, size
    def __repr__(self) -> str:
        return f"{self.name}: {self.size:.2f}"
def typical(numbers: List[int], words: Dict[str, Any], one: Optional[Tuple[str, ...]] = None) -> Union[int, list]:
    seen, best = set(), defaultdict(list)
    for index, number in enumerate(sorted(numbers, key=lambda item: -item)):
        if number % 2 == 0 and number not in seen:
            seen.add(number)
            best[str(number)].append(math.sqrt(abs(number)) + index / 2)
    while len(numbers) > 3:
        numbers = numbers[1:]
    try:
        words["missing"]
    except KeyError as error:
        text = " ".join([word.strip().lower() for word in f"{error} {Thing('a', 1)!r}".split(" ") if word])
    return [value for values in best.values() for value in values] + [float(text.count("a")), max(numbers)]
"""
_TYPICAL_CASES = (
    ("call", "typical([1, 2, 3, 4, -5], {'a': 1})"), ("call", "(True, 'text', {'a': [1.5]}, (2,), {3})"),
    ("call", "typical()"), ("plain", PlainCall("typical", None, [[1, 2, 3, 4, -5], {"a": 1}])),
    ("plain", PlainCall("typical", None, [])), ("statement", "assert typical([4, 4], {}) is not None"),
)  # fmt: skip


def warm_up() -> None:
    """Exercise what every program makes the interpreter do, often enough that the interpreter specialises its code."""
    programs: list[str | bytes] = [_TYPICAL, marshal.dumps((_TYPICAL, _made(_TYPICAL)))]
    for code in programs * 20:
        with mmap.mmap(-1, 1 << 16) as buffer:
            parts = module_parts(code, "typical", _TYPICAL_CASES, bytes(TOKEN_BYTES), _new_modules())
            deque(pipeline(buffer, parts), maxlen=0)
    _SPARE_BUILTINS[:] = [dict(_PRISTINE) for _ in range(8)]
    sys.modules["builtins"] = builtins
    del sys.modules["solution"]


def pipeline(buffer: mmap.mmap, parts: Iterable[Iterable[bytes]]) -> Iterator[object]:
    """Build an iterator that writes results to the buffer, one after the other, as it is consumed.

    Args:
        buffer: Shared with the zygote.
        parts: The results, from `module_parts` or `script_parts`.

    Returns:
        The iterator; its elements have no meaning.
    """
    buffer.seek(RESULTS)
    return map(buffer.write, chain.from_iterable(parts))


def extend_timers(factor: float) -> None:
    """Extend the CPU limits of single calls, in this process.

    Args:
        factor: Multiplies the limits.
    """
    if factor != 1.0:
        setitimer = RESERVED[reserved("setitimer")]
        RESERVED[reserved("setitimer")] = lambda which, seconds: setitimer(which, factor * seconds)


def run(work: list[Iterator[object]]) -> None:
    """Consume the pipeline, then end the process. Never returns.

    Args:
        work: A list with one pipeline, which is taken out.
    """
    leave = os._exit
    try:
        deque(work.pop(), maxlen=0)
        leave(0)
    finally:
        leave(1)


def compiled(cases: Sources) -> CompiledCases:
    """Compile cases.

    Args:
        cases: Kind and source of each; a plain call stays as it is.

    Returns:
        The code objects.
    """
    groups: list[int | tuple[types.CodeType | bytes, tuple[trusted.Module, ...]]] = []
    for are_statements, alike in groupby(cases, lambda case: case[0] in _STATEMENTS):
        if are_statements:
            groups += [
                (_code("statement", str(source)), trusted.named(str(source)) if kind == "statement" else ())
                for kind, source in alike
            ]
        else:
            groups.append(len(list(alike)))
    others = ((kind, source) for kind, source in cases if kind not in _STATEMENTS)
    calls = (source if isinstance(source, PlainCall) else _code(kind, source) for kind, source in others)
    return CompiledCases(tuple(calls), tuple(groups))


def _code(kind: str, source: str) -> types.CodeType | bytes:
    try:
        if kind == "call":
            return compile(source, "<case>", "eval", dont_inherit=True)
        tree = ast.parse(source)
        flags = _take_future(tree)
        if tree.body:
            guard = ast.Try(body=tree.body, handlers=_GUARD.handlers, orelse=_GUARD.orelse, finalbody=[])
            tree.body = [ast.copy_location(guard, tree.body[0])]
        code: types.CodeType = compile(tree, "<case>", "exec", flags, dont_inherit=True)
        return code
    except (AttributeError, SyntaxError, ValueError, MemoryError, RecursionError, OverflowError) as error:
        return _raised(error)


def _take_future(tree: ast.Module) -> int:
    """Remove imports from `__future__`, which cannot stand inside the guard, and return their compiler flags."""
    flags, rest = 0, []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__" and not node.level:
            flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
        else:
            rest.append(node)
    tree.body = rest
    return flags


def _made(code: str | bytes) -> types.CodeType:
    """Return a program's code object; raise what compiling raises."""
    _SOURCE[0], made = (code, None) if isinstance(code, str) else marshal.loads(code)
    found: types.CodeType = made or compile(_SOURCE[0], "<program>", "exec", dont_inherit=True)
    return found


def module_parts(
    code: str | bytes,
    entry_point: str | None,
    cases: Sources | CompiledCases,
    tokens: bytes,
    modules: Modules | None = None,
) -> list[Iterable[bytes]]:
    """Build the results of a module: compiling the cases, loading the program, then each case, in order.

    A program that does not load or runs out of memory has no further results.

    Args:
        code: The program's source, or its marshalled code.
        entry_point: The name that it must define; None for any.
        cases: Sources, or compiled.
        tokens: A token of `wire.TOKEN_BYTES` for each statement, concatenated.
        modules: The modules to run it in; None for those made before the fork.

    Returns:
        Iterables of frames; the program runs as they are consumed.
    """
    plan = cases if isinstance(cases, CompiledCases) else compiled(cases)
    scope: dict[str, Any] = {}
    owner = os.getpid()
    load = _load(code, entry_point, modules or _MODULES, scope, owner)
    calls = _calls(plan.calls, scope, owner)
    if len(plan.groups) == 1 and plan.calls:  # most suites
        return [_COMPILED, load, calls]
    parts: list[Iterable[bytes]] = [_COMPILED, load]
    raised: deque[bytes] = deque()
    said, start = _said(raised), 0

    def note(error: BaseException | None) -> None:
        leave_fork(owner, error)
        if error is not None:
            raised.append(_raised(error))

    for group in plan.groups:
        if isinstance(group, int):
            parts.append(islice(calls, group))
            continue
        statement, modules_named = group
        proof = FRAME.pack(TOKEN, TOKEN_BYTES) + tokens[start : start + TOKEN_BYTES]
        start += TOKEN_BYTES
        if isinstance(statement, bytes):
            parts.append((statement,))
            continue
        own = _SPARE_BUILTINS.pop() if _SPARE_BUILTINS else dict(_PRISTINE)
        scopes = map(operator.ior, iter([scope]), iter([{**RESERVED, "__builtins__": own, "__note__": note}]))
        parts += [_attempt(statement, scopes, proof, modules_named), islice(said, 1)]
    return parts


def _attempt(
    code: types.CodeType, scopes: Iterator[dict[str, Any]], proof: bytes, modules: tuple[trusted.Module, ...]
) -> Iterator[bytes]:
    """Yield the proof if the code completes.

    Everything waits until it is requested, in this order: the modules are restored, the scope gets its own builtins,
    the code runs.
    """
    restored, ran = trusted.restored(modules), map(exec, iter([code]), scopes)
    return map(operator.itemgetter(0), zip(iter([proof]), restored, ran, strict=False))


def _said(raised: deque[bytes]) -> Iterator[bytes]:
    """Yield the result of a statement after its end; a success only counts with the proof before it."""
    while True:
        yield raised.pop() if raised else FRAME.pack(DONE, 0)


def _calls(cases: tuple[types.CodeType | PlainCall | bytes, ...], scope: dict[str, Any], owner: int) -> Iterator[bytes]:
    """Yield the values of the expressions, each when it is requested.

    Names are bound first, because the program may change what modules and builtins hold.
    """
    catch, unsupported, too_large = BaseException, UnsupportedValueError, TooLargeValueError
    exactly, size, left = bytes, len, MAX_ALL_BYTES
    evaluate, pack, to_bytes, raised, kinds = eval, FRAME.pack, encode, _raised, _kinds
    no_room = FRAME.pack(NO_ROOM, 0)
    plain, call, limit, leave = PlainCall, _called, RESERVED[reserved("setitimer")], leave_fork
    for case in cases:
        try:
            if isinstance(case, exactly):
                frame = case
            else:
                if isinstance(case, plain):
                    name, seconds, arguments = case
                    if seconds:
                        limit(2, seconds)
                    value = call(scope[name] if name in scope else evaluate(name, scope), arguments)
                else:
                    value = evaluate(case, scope)
                leave(owner, None)
                text = to_bytes(value)
                left -= size(text)
                frame = pack(VALUE, size(text)) + text if left >= 0 else no_room
        except unsupported as error:
            frame = raised(error, UNSUPPORTED)
        except too_large as error:
            frame = raised(error, TOO_LARGE)
        except catch as error:
            leave(owner, error)
            frame = kinds(error, scope) + raised(error)
        yield frame


def _called(function: Any, arguments: list[Any]) -> object:
    """Call a function below a frame of its own, so that it can recurse as deep as below an expression's."""
    return function(*arguments)


def _load(
    code: str | bytes, entry_point: str | None, modules: Modules, scope: dict[str, Any], owner: int
) -> Iterator[bytes]:
    """Run the module, and fill the scope of its cases with its names and with builtins that it has not changed."""
    module, own_builtins = modules
    sys.modules["solution"], sys.modules["builtins"] = module, own_builtins
    try:
        exec(_made(code), module.__dict__)
        leave_fork(owner, None)
        if entry_point is not None and entry_point not in module.__dict__:
            raise NameError(f"the program does not define {entry_point!r}")
    except MemoryError as error:
        leave_fork(owner, error)
        yield FRAME.pack(OUT_OF_MEMORY, 0)
        raise SystemExit(1) from None
    except BaseException as error:  # noqa: BLE001  what the program raises is its result
        leave_fork(owner, error)
        yield _raised(error, NOT_LOADED)
        raise SystemExit(1) from None
    scope.update(module.__dict__)
    scope.update(RESERVED)
    scope["__builtins__"] = _CALLS_BUILTINS
    yield FRAME.pack(LOADED, 0)


def _raised(error: BaseException, kind: bytes = RAISED) -> bytes:
    if type(error) is MemoryError and kind == RAISED:
        return FRAME.pack(OUT_OF_MEMORY, 0)
    text = _describe(error)
    return FRAME.pack(kind, len(text)) + text


def _describe(error: BaseException) -> bytes:
    """Return the exception's type and message, whatever its own code does."""
    name = name_of(type(error))
    return f"{name}: {_message(error)[:_DETAIL]}"[:_DETAIL].encode(errors="backslashreplace")


def _message(error: BaseException) -> str:
    try:
        return str.__getitem__(str(error), slice(_LONGEST_MESSAGE))  # a `str`, whatever `__str__` returns
    except BaseException:  # noqa: BLE001  the program's own code runs here, and may raise anything
        return ""


def _kinds(error: BaseException, scope: dict[str, Any]) -> bytes:
    """Return the names by which a test can refer to the classes of an exception, and its whole message.

    Every call that raises tells them, so that none shows whether it should.
    """
    classes = {id(kind) for kind in _BASES.__get__(type(error))}
    held = {**_CALLS_BUILTINS, **scope}
    names = [name for name, value in held.items() if id(value) in classes and type(name) is str]
    text = f"{' '.join(names)}\n{_message(error)}"[:_LONGEST_MESSAGE].encode(errors="backslashreplace")
    return FRAME.pack(KINDS, len(text)) + text


def script_parts(code: str | bytes) -> list[Iterable[bytes]]:
    """Build the result of a program that runs as `__main__` over file descriptors 0 and 1.

    Args:
        code: The program's source, or its marshalled code.

    Returns:
        One iterable with one frame; the program runs as it is consumed.
    """
    return [_script(code)]


def _script(code: str | bytes) -> Iterator[bytes]:
    owner = os.getpid()
    try:
        program = _made(code)
    except BaseException as error:  # noqa: BLE001  a compiler bomb may raise anything
        yield _raised(error, NOT_LOADED)
        return
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__file__, sys.argv = "program.py", ["program.py"]
    try:
        _run_script(program, module)
    except BaseException as error:  # noqa: BLE001  what the program raises is its result
        leave_fork(owner, error)
        yield _raised(error)
    else:
        leave_fork(owner, None)
        yield FRAME.pack(DONE, 0)


def _run_script(program: types.CodeType, module: types.ModuleType) -> None:
    """Run a script, then end as an interpreter does."""
    output = sys.stdout
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # normally added by `site`, which a jail does not import
    try:
        exec(program, module.__dict__)
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    finally:
        end_interpreter(module.__dict__, output)
